// What stands around a plot: its title, a legend that names the values, the words for those who do not see it, a table.

import { h, replace, say } from "./dom.js";
import * as format from "./format.js";

const ROWS = 40; // of the table; more is for an export

// frame(el, {title, series, note, nameX, level}) -> {plot, values, tip, retell, remove}.
export function frame(el, { title, series, note, height = 180, formatX = format.clock, nameX = "Time", level = 3 }) {
  const entries = series.map((each) => entry(each));
  const at = h("span", { class: "chart-at" });
  const plot = h("div", { class: "plot", role: "img", "aria-label": title, style: { height: `${height}px` } });
  const bubble = h("div", { class: "tip", hidden: true });
  const body = h("div", { class: "chart-table", tabindex: "0", role: "region", "aria-label": `${title}, as a table` });
  const fold = h("details", { on: { toggle: () => fold.open && table() } }, h("summary", null, "Show as table"), body);
  const head = h(
    "figcaption",
    null,
    h(`h${level}`, null, title),
    at,
    h(
      "ul",
      { class: "legend" },
      entries.map((each) => each.el),
    ),
  );
  const figure = h("figure", { class: "chart" }, head, note && h("p", { class: "chart-note muted" }, note), plot, fold);
  plot.append(bubble);
  el.append(figure);
  let latest = { raw: [[]], marks: [] };

  function table() {
    const { raw, marks } = latest;
    const step = Math.max(1, Math.ceil(raw[0].length / ROWS));
    const picked = raw[0].map((_, place) => place).filter((place) => (raw[0].length - 1 - place) % step === 0);
    const lines = picked
      .reverse()
      .map((place) => [formatX(raw[0][place]), ...series.map((each, nr) => told(each, raw[nr + 1][place]))]);
    const markLines = marks.slice(-10).map((mark) => h("li", null, markWords(mark)));
    replace(
      body,
      plain([nameX, ...series.map((each) => each.label)], lines),
      markLines.length ? h("ul", { class: "mark-list" }, markLines) : null,
    );
  }

  return {
    plot,
    // Shows the values at one place of the data, or the newest.
    values(raw, place, name) {
      const shown = place ?? raw[0].length - 1;
      entries.forEach((each, nr) => say(each.value, told(series[nr], raw[nr + 1]?.[shown])));
      say(at, name);
    },
    tip(found) {
      bubble.hidden = found === null;
      if (found === null) return;
      say(bubble, markWords(found.mark));
      const axis = 52;
      const right = found.left > (plot.clientWidth - axis) / 2;
      bubble.style.setProperty("left", right ? "auto" : `${found.left + axis + 10}px`);
      bubble.style.setProperty("right", right ? `${plot.clientWidth - found.left - axis + 10}px` : "auto");
    },
    retell(raw, marks) {
      latest = { raw, marks };
      const end = raw[0].length - 1;
      const words = series.map((each, nr) => `${each.label} ${told(each, raw[nr + 1]?.[end])}`).join(", ");
      plot.setAttribute(
        "aria-label",
        end < 0 ? `${title}: no data yet` : `${title}, at ${formatX(raw[0][end])}: ${words}`,
      );
      plot.classList.toggle(
        "bare",
        !raw.slice(1).some((values) => values.some((value) => value !== null && value !== undefined)),
      );
      if (fold.open) table();
    },
    remove: () => figure.remove(),
  };
}

function entry(each) {
  const value = h("span", { class: "legend-value" }, format.NOTHING);
  const swatch = h("span", { class: each.dash ? "swatch dashed" : "swatch", style: { color: `var(${each.color})` } });
  return { value, el: h("li", null, swatch, h("span", null, each.label), value) };
}

function told(each, value) {
  const number = (each.format ?? format.count)(value);
  return each.unit && number !== format.NOTHING
    ? `${number}${each.unit.startsWith("/") ? "" : " "}${each.unit}`
    : number;
}

function markWords(mark) {
  return [mark.label, mark.note].filter(Boolean).join(": ");
}

function plain(names, lines) {
  const head = h(
    "tr",
    null,
    names.map((name) => h("th", { scope: "col" }, name)),
  );
  const rows = lines.map(([name, ...cells]) =>
    h(
      "tr",
      null,
      h("th", { scope: "row" }, name),
      cells.map((cell) => h("td", { class: "number" }, cell)),
    ),
  );
  return h("table", null, h("thead", null, head), h("tbody", null, rows));
}
