// Audit: where the noise is. The estimated noise rate by group, and who is behind it.

import { choice } from "../lib/choice.js";
import { empty, failure, field, h, replace } from "../lib/dom.js";
import { count, percent } from "../lib/format.js";
import { writeHash } from "../lib/route.js";
import { table } from "../lib/table.js";
import { noiseChart } from "../parts/noise_chart.js";
import { suspects } from "../parts/suspects.js";
import { HOURS, searchedWords } from "../parts/words.js";

export const title = "Audit";

const FIRST = { by: "duration", hours: "24", kind: "user" };
const GROUPS = { duration: "Duration", position: "Position", surface: "Surface", hour: "Hour", flag: "Watch" };
const LEAD = "How often the watch says one thing and all the evidence another, and where.";

export async function mount(root, context) {
  const { api, session, announce, params } = context;
  const head = h("header", { class: "head" }, h("h1", null, title), h("p", { class: "lead" }, LEAD));
  if (!session.labels.available) {
    replace(root, head, empty("The label log cannot be read here.", session.labels.why ?? ""));
    return undefined;
  }
  const asked = Object.fromEntries(Object.entries(FIRST).map(([name, first]) => [name, params.get(name) ?? first]));
  const noise = h("div");
  const ranked = suspects(asked, api, (kind) => ask({ kind }));
  let turn = 0;
  replace(root, head, controls(), noise, ranked);

  function ask(changes) {
    Object.assign(asked, changes);
    history.replaceState(null, "", writeHash("audit", asked));
    if (!("by" in changes)) void ranked.show(asked);
    if (!("kind" in changes)) void showNoise();
  }

  function controls() {
    const chosen = (words) => ask({ by: Object.keys(GROUPS).find((by) => GROUPS[by] === words) });
    const by = choice("Noise by", Object.values(GROUPS), GROUPS[asked.by], chosen);
    const options = HOURS.map(([value, words]) => h("option", { value }, words));
    const hours = h("select", { value: asked.hours, on: { change: () => ask({ hours: hours.value }) } }, options);
    const save = () =>
      api.download("audit/export", { by: asked.by, hours: asked.hours, format: "csv" }).catch((problem) => announce(problem.message));
    return h(
      "div",
      { class: "form" },
      h("div", { class: "field" }, h("span", { class: "label" }, "Noise by"), by),
      field("From the", hours),
      h("button", { type: "button", on: { click: save } }, "Save as CSV"),
    );
  }

  async function showNoise() {
    const mine = (turn += 1);
    noise.setAttribute("aria-busy", "true");
    try {
      const found = await api.get("audit", { by: asked.by, hours: asked.hours });
      if (mine !== turn) return;
      replace(noise, noiseOf(found));
      announce(`Noise by ${asked.by}: ${percent(found.overall?.noise_rate)} overall.`);
    } catch (problem) {
      if (mine === turn) replace(noise, failure(problem, showNoise));
    } finally {
      if (mine === turn) noise.removeAttribute("aria-busy");
    }
  }

  await Promise.all([showNoise(), ranked.show(asked)]);
  return undefined;
}

function noiseOf({ by, rows, overall, prior, definition, searched }) {
  if (!rows.length) return empty("No labels in these hours.", "`winnow demo` plays some events; a checkpoint writes their labels.");
  return h(
    "section",
    { class: "panel" },
    h("h2", null, `Estimated noise rate by ${GROUPS[by].toLowerCase()}`),
    noiseChart(rows, overall),
    h("p", { class: "definition" }, definition),
    figures(by, rows, overall),
    h("p", { class: "muted below" }, `Prior of relevance ${percent(prior, 2)}. `, searchedWords(searched)),
  );
}

function figures(by, rows, overall) {
  const all = overall ? [{ ...overall, group: "all together", last: true }] : [];
  const called = (value, row) => [count(value), h("span", { class: "muted" }, ` ${percent(row.rows ? value / row.rows : null)}`)];
  const columns = [
    { key: "group", label: GROUPS[by], format: (group, row) => (row.last ? h("strong", null, group) : String(group)) },
    { key: "noise_rate", label: "Noise", numeric: true, sort: true, format: (value) => percent(value) },
    { key: "noise_low", label: "95 % interval", numeric: true, format: (low, row) => `${percent(low)} to ${percent(row.noise_high)}` },
    { key: "rows", label: "Views", numeric: true, sort: true, format: count },
    { key: "watch_positives", label: "Watch says yes", numeric: true, sort: true, format: called },
    { key: "false_positive", label: "False positives", numeric: true, sort: true, format: (value) => percent(value), help: "of what the watch says yes to" },
    { key: "missed", label: "Missed", numeric: true, sort: true, format: (value) => percent(value), help: "of what is relevant" },
  ];
  return table({ columns, rows: [...rows, ...all], caption: `Noise by ${GROUPS[by].toLowerCase()}, with the figures behind it`, hideCaption: true });
}
