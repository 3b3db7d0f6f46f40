// Two versions beside each other: do their scores agree, and which pairs moved most.

import { empty, failure, field, h, replace } from "../lib/dom.js";
import { count, percent, probability, ratio, signed } from "../lib/format.js";
import { table } from "../lib/table.js";
import { gauge } from "./words.js";

const MEASURED = ["auc", "gauc", "window_auc", "window_ece", "holdout_auc"];

// The section; `asked` is {a, b}; onAsk({a, b}) is told what is compared.
export function compare(versions, asked, api, onAsk) {
  const usable = versions.filter((each) => each.state !== "quarantined").map((each) => each.version);
  const options = () => usable.map((version) => h("option", { value: version }, version));
  const [first, second] = [asked.a || usable[1], asked.b || usable[0]]; // the older, and the newer beside it
  const a = h("select", { value: first }, options());
  const b = h("select", { value: second }, options());
  const found = h("div", { class: "compared", "aria-live": "polite" });
  const submit = (event) => {
    event.preventDefault();
    onAsk({ a: a.value, b: b.value });
    void show();
  };
  const form = h("form", { class: "form", on: { submit } }, field("Version", a), field("Beside", b), h("button", { type: "submit" }, "Compare"));
  if (asked.a && asked.b) void show();
  const few = empty("One version so far.", "With a second one they can be compared.");
  return h("section", { class: "panel" }, h("h2", null, "Compare two"), usable.length > 1 ? [form, found] : few);

  async function show() {
    replace(found, h("p", { class: "busy" }, "Scoring recent pairs with both…"));
    try {
      replace(found, resultOf(await api.get("models/compare", { a: a.value, b: b.value })));
    } catch (problem) {
      replace(found, failure(problem, show));
    }
  }
}

function resultOf(told) {
  const share = told.pairs ? told.label_changes / told.pairs : null;
  const tiles = [
    ["Rank agreement", ratio(told.spearman), "Spearman, 1 is the same order"],
    ["Mean difference", probability(told.mean_abs_difference), "of scores, either way"],
    ["Labels that change", count(told.label_changes), `${percent(share)} of ${count(told.pairs)} pairs`],
  ];
  return [
    h("dl", { class: "tiles" }, tiles.map(([name, value, beside]) => h("div", { class: "tile" }, h("dt", null, name), h("dd", null, value), h("dd", { class: "beside" }, beside)))),
    measured(told),
    moved(told),
  ];
}

function measured({ a, b }) {
  const rows = MEASURED.map((name) => ({ name: name.replaceAll("_", " "), a: a.metrics?.[name], b: b.metrics?.[name] }));
  const columns = [
    { key: "name", label: "Measured" },
    { key: "a", label: a.version, numeric: true, format: gauge },
    { key: "b", label: b.version, numeric: true, format: gauge },
    { key: "change", label: "Change", numeric: true, format: (_, row) => signed(Number.isFinite(row.a) && Number.isFinite(row.b) ? row.b - row.a : null, 4) },
  ];
  return table({ columns, rows, caption: "What they measured when they were made" });
}

function moved({ a, b, moved: pairs }) {
  if (!pairs.length) return h("p", { class: "muted" }, "No pair moved.");
  const link = (kind) => (id) => h("a", { href: `#/labels?${kind}=${encodeURIComponent(id)}`, class: "id" }, id);
  const by = (row) => row.score_b - row.score_a;
  const columns = [
    { key: "user_id", label: "User", format: link("user") },
    { key: "item_id", label: "Item", format: link("item") },
    { key: "score_a", label: a.version, numeric: true, sort: true, format: probability },
    { key: "score_b", label: b.version, numeric: true, sort: true, format: probability },
    { key: "by", label: "Moved", numeric: true, sort: by, format: (_, row) => signed(by(row), 4) },
  ];
  return table({ columns, rows: pairs, caption: "Pairs that moved most" });
}
