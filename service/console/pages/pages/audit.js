// Audit: where the noise is. The estimated noise rate by group, and who is behind it.

import { empty, failure, field, h, replace } from "../lib/dom.js";
import { count, percent } from "../lib/format.js";
import { writeHash } from "../lib/route.js";
import { table } from "../lib/table.js";
import { noiseChart } from "../parts/noise_chart.js";
import { suspects } from "../parts/suspects.js";
import { searchedWords } from "../parts/words.js";

export const title = "Audit";

const FIRST = { by: "duration", hours: "24", kind: "user" };
const GROUPS = [["duration", "Duration"], ["position", "Position"], ["surface", "Surface"], ["hour", "Hour"], ["flag", "Watch"]];
const HOURS = [["1", "last hour"], ["6", "6 hours"], ["24", "24 hours"], ["72", "3 days"], ["168", "7 days"]];
const LEAD = "How often the watch says one thing and all the evidence another, and where.";

export async function mount(root, context) {
  const { api, session, announce, params } = context;
  const head = h("header", { class: "head" }, h("h1", null, title), h("p", { class: "lead" }, LEAD));
  if (!session.labels.available) {
    replace(root, head, empty("The label log cannot be read here.", session.labels.why ?? ""));
    return undefined;
  }
  let asked = Object.fromEntries(Object.entries(FIRST).map(([name, first]) => [name, params.get(name) ?? first]));
  let turn = 0;
  const controls = h("div");
  const noise = h("div", { class: "stack" });
  const ranked = h("div");
  replace(root, head, controls, noise, ranked);

  function ask(changes) {
    const before = asked;
    asked = { ...asked, ...changes };
    history.replaceState(null, "", writeHash("audit", asked));
    draw();
    const changed = (name) => before[name] !== asked[name];
    if (changed("kind") || changed("hours")) replace(ranked, suspects(asked, api, ask));
    return changed("by") || changed("hours") ? showNoise() : focusOn("kind");
  }

  function draw() {
    const on = (by) => ({ click: () => void ask({ by }) });
    const press = ([by, words]) => h("button", { type: "button", dataset: { by }, "aria-pressed": String(by === asked.by), on: on(by) }, words);
    const held = controls.contains(document.activeElement) ? document.activeElement : null;
    const hours = h("select", { value: asked.hours, on: { change: () => void ask({ hours: hours.value }) } }, options());
    const choice = h("div", { class: "choice", role: "group", "aria-label": "Noise by" }, GROUPS.map(press));
    const by = h("div", { class: "field" }, h("span", { class: "label" }, "Noise by"), choice);
    replace(controls, h("div", { class: "form" }, by, field("From the", hours), exportButton()));
    if (held) (held.dataset.by ? controls.querySelector(`[data-by="${asked.by}"]`) : hours).focus();
  }

  function focusOn() {
    ranked.querySelector('[aria-pressed="true"]')?.focus();
  }

  function exportButton() {
    const save = () =>
      api.download("audit/export", { by: asked.by, hours: asked.hours, format: "csv" }).catch((problem) => announce(problem.message));
    return h("button", { type: "button", on: { click: save } }, "Save as CSV");
  }

  async function showNoise() {
    const mine = (turn += 1);
    noise.setAttribute("aria-busy", "true");
    try {
      const found = await api.get("audit", { by: asked.by, hours: asked.hours });
      if (mine === turn) replace(noise, noiseOf(found));
      if (mine === turn) announce(`Noise by ${asked.by}: ${percent(found.overall?.noise_rate)} overall.`);
    } catch (problem) {
      if (mine === turn) replace(noise, failure(problem, showNoise));
    } finally {
      noise.removeAttribute("aria-busy");
    }
  }

  draw();
  replace(ranked, suspects(asked, api, ask));
  await showNoise();
  return undefined;
}

const options = () => HOURS.map(([value, words]) => h("option", { value }, words));

function noiseOf({ by, rows, overall, prior, definition, searched }) {
  if (!rows.length) return empty("No labels in these hours.", "`winnow demo` plays some events; a checkpoint writes their labels.");
  return h(
    "section",
    { class: "panel" },
    h("h2", null, `Estimated noise rate by ${Object.fromEntries(GROUPS)[by].toLowerCase()}`),
    noiseChart(rows, overall),
    h("p", { class: "definition" }, definition),
    figures(by, rows, overall),
    h("p", { class: "muted below" }, `Prior of relevance ${percent(prior, 2)}. `, searchedWords(searched)),
  );
}

function figures(by, rows, overall) {
  const all = { ...overall, group: "all together", last: true };
  const share = (value, row) => [count(value), h("span", { class: "muted" }, ` ${percent(row.rows ? value / row.rows : null)}`)];
  const columns = [
    { key: "group", label: Object.fromEntries(GROUPS)[by], format: (group, row) => (row.last ? h("strong", null, group) : String(group)) },
    { key: "noise_rate", label: "Noise", numeric: true, sort: true, format: (value) => percent(value) },
    { key: "noise_low", label: "95 % interval", numeric: true, format: (low, row) => `${percent(low)} to ${percent(row.noise_high)}` },
    { key: "rows", label: "Views", numeric: true, sort: true, format: count },
    { key: "watch_positives", label: "Watch says yes", numeric: true, sort: true, format: share },
    { key: "false_positive", label: "False positives", numeric: true, sort: true, format: share },
    { key: "missed", label: "Missed", numeric: true, sort: true, format: share },
  ];
  return table({ columns, rows: [...rows, ...(overall ? [all] : [])], caption: `Noise by ${by}, with the figures behind it`, hideCaption: true });
}
