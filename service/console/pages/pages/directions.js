// Directions: what held-out feedback makes of the unlabelled examples, decision by decision and minute by minute.

import { lean } from "../lib/bar.js";
import { bars } from "../lib/chart.js";
import { choice } from "../lib/choice.js";
import { empty, h, replace, say, words } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { painter } from "../lib/paint.js";
import { GROUPS, WAYS, binned, tried } from "../lib/shares.js";
import { table } from "../lib/table.js";

export const title = "Directions";

const LISTED = 50;
const WORDS = {
  direct: ["→", "The target is followed, as it stands."],
  keep: ["=", "The examples are left out: neither way helps what was held out."],
  inverse: ["←", "The target is doubted: training goes the other way."],
};

export async function mount(root, { live }) {
  let group = "all";
  let held = false;
  const acted = h("p", { class: "lead" });
  const hold = h("button", { type: "button", "aria-pressed": "false", on: { click: () => turn() } }, "Hold the list");
  const groups = choice("Evidence group", ["all", ...GROUPS], group, (name) => {
    group = name;
    paint.ask();
  });
  const plotted = h(
    "section",
    { class: "panel" },
    h("div", { class: "row spread" }, h("h2", null, "Share of each direction"), groups),
  );
  const list = decisionTable();
  const weigh = weighed();
  const listed = h(
    "section",
    { class: "panel" },
    h("div", { class: "row spread" }, h("h2", null, "Latest decisions"), hold),
    list,
  );
  const body = h("div", { class: "page" }, plotted, listed);
  const nothing = empty(
    "No decisions yet",
    "The trainer weighs directions once it has feedback to hold out. ",
    h("code", null, "winnow demo"),
    " plays some.",
  );
  root.append(h("h1", null, title), acted, meanings(), nothing, body);
  const share = {
    label: "share of examples",
    format: (value) => format.percent(value, 0),
    axis: (value) => format.percent(value, 0),
  };
  const series = WAYS.map((way) => ({ ...share, label: way, color: `--${way}` }));
  const plot = bars(plotted, {
    title: "Examples by direction",
    series,
    ceiling: 1,
    least: 12,
    height: 200,
    formatX: format.clock,
  });

  function turn() {
    held = !held;
    hold.setAttribute("aria-pressed", String(held));
    say(hold, held ? "Go on" : "Hold the list");
    paint.ask();
  }

  const paint = painter(() => {
    const { directions } = live;
    nothing.hidden = directions.length > 0;
    body.hidden = !directions.length;
    const how = whatIsDone(directions.at(-1));
    if (how.key !== acted.dataset.key) replace(acted, how.words);
    acted.dataset.key = how.key;
    plot.set(binned(directions, group));
    if (!held) list.setRows(weigh(directions.slice(-LISTED).reverse()));
  });
  const heard = ["hello", "direction"].map((kind) => live.subscribe(kind, paint.ask));
  paint.ask();
  return () => {
    heard.forEach((stop) => stop());
    paint.stop();
    plot.destroy();
  };
}

// Whether decisions are acted on, in words; `key` changes with them.
function whatIsDone(last) {
  const how = "A small part of what viewers said is held out. It judges each batch of views that nobody spoke about: ";
  const acts = "here **it is acted on**";
  const told = !last
    ? "would a step toward their targets make the held-out part more likely, or less?"
    : last.acted === false
      ? "here the decision is **only logged**; training follows every target (`--meta none`)."
      : tried(last)
        ? `${acts}.`
        : `${acts}, group by group; this method compares gradients and tries no losses.`;
  const strong = (part, place) => (place % 2 ? h("strong", null, part) : words(part));
  return { key: told, words: [how, told.split("**").map(strong)] };
}

function meanings() {
  const each = (way) => [h("dt", null, badge(way)), h("dd", null, WORDS[way][1])];
  return h(
    "dl",
    { class: "panel meanings" },
    WAYS.map((way) => h("div", null, each(way))),
  );
}

function badge(way) {
  return h("span", { class: `badge way ${way}` }, h("span", { "aria-hidden": "true" }, WORDS[way]?.[0] ?? "?"), way);
}

// Returns a function that gives each decision its gains: what direct and inverse would save over keep, and the scale of
// their bars. A decision stays the same object, so that its line in the table stays, until the scale must change.
function weighed() {
  let known = new WeakMap();
  let scale = 0;
  const gain = (row, way) => (tried(row) && row.losses[way] !== null ? row.losses.keep - row.losses[way] : null);
  const most = (rows) => Math.max(...rows.flatMap((row) => WAYS.map((way) => Math.abs(gain(row, way) ?? 0))), 1e-9);
  return (rows) => {
    const wanted = 2 ** Math.ceil(Math.log2(most(rows)));
    if (wanted > scale || wanted < scale / 4) {
      scale = wanted;
      known = new WeakMap();
    }
    const digits = Math.min(9, Math.max(4, 1 - Math.floor(Math.log10(scale)))); // enough to see a difference
    for (const row of rows.filter((each) => !known.has(each)))
      known.set(row, {
        ...row,
        gains: { direct: gain(row, "direct"), inverse: gain(row, "inverse") },
        most: scale,
        digits,
      });
    return rows.map((row) => known.get(row));
  };
}

function decisionTable() {
  const trial = (way) => ({
    key: way,
    label: `Loss: ${way}`,
    numeric: true,
    help: "On what is held out, had the batch been trained this way; the bar is what that gains over keep",
    format: (_, row) => cell(row, way),
  });
  return table({
    caption:
      "Loss on the held-out part after a trial step each way. Bars: to the right, less loss than keep; to the left, more.",
    tall: true,
    reuse: true,
    empty: "No decisions yet.",
    columns: [
      { key: "at_ms", label: "At", format: format.clock },
      { key: "direction", label: "Decision", format: badge },
      trial("direct"),
      trial("keep"),
      trial("inverse"),
      { key: "examples", label: "Examples", numeric: true, format: format.count },
      { key: "groups", label: "Directions by evidence", format: (found) => split(found ?? {}) },
    ],
  });
}

function cell(row, way) {
  if (!tried(row)) return format.NOTHING;
  const loss = h("span", { class: row.direction === way ? "least" : null }, format.ratio(row.losses[way], row.digits));
  const mark = row.direction === way && h("span", { class: "unseen" }, " least");
  if (way === "keep") return h("span", { class: "trial" }, loss, mark);
  return h(
    "span",
    { class: "trial" },
    lean(row.gains[way], row.most, { width: 64, plus: "--good", minus: "--keep" }),
    loss,
    mark,
  );
}

// A little stack a group: how many of its examples went which way.
function split(groups) {
  const told = GROUPS.filter((name) => groups[name]).map((name) => {
    const counts = WAYS.map((way) => groups[name][way] ?? 0);
    const sum = counts.reduce((a, b) => a + b, 0);
    if (!sum) return null;
    const words = WAYS.map((way, place) => `${way} ${counts[place]}`).join(", ");
    const parts = WAYS.map((way, place) =>
      h("i", { style: { flex: `${counts[place]} 0 0`, background: `var(--${way})` } }),
    );
    return h(
      "span",
      { class: "split", title: `${name}: ${words}` },
      h("small", null, name),
      h("b", { role: "img", "aria-label": `${name}: ${words}` }, parts),
    );
  });
  return h("span", { class: "splits" }, told);
}
