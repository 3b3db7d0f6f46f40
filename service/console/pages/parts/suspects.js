// Viewers and items whose watches and whose relevance are furthest apart, ranked, with why.

import { empty, failure, h, replace } from "../lib/dom.js";
import { count, percent, signed } from "../lib/format.js";
import { table } from "../lib/table.js";
import { searchedWords } from "./words.js";

const KINDS = [["user", "Viewers"], ["item", "Items"]];
const SHOWN = 50;

// The section; `asked` is {kind, hours}; onAsk(changes) is told what to ask instead.
export function suspects(asked, api, onAsk) {
  const found = h("div", { "aria-busy": "true" });
  const press = (kind) => ({ type: "button", "aria-pressed": String(kind === asked.kind), on: { click: () => onAsk({ kind }) } });
  const choice = KINDS.map(([kind, words]) => h("button", press(kind), words));
  void show();
  return h(
    "section",
    { class: "panel" },
    h("div", { class: "row spread" }, h("h2", null, "Suspects"), h("div", { class: "choice", role: "group", "aria-label": "Suspects among" }, choice)),
    h("p", { class: "muted" }, "Ranked by how surely their watches promise more, or less, than what is known of them bears out."),
    found,
  );

  async function show() {
    try {
      const { rows, searched } = await api.get("audit/suspects", { kind: asked.kind, hours: asked.hours, limit: SHOWN });
      const none = empty("No suspects.", "Nobody has enough views in these hours to be told from chance.");
      replace(found, rows.length ? ranked(rows, asked.kind) : none, h("p", { class: "muted below" }, searchedWords(searched)));
    } catch (problem) {
      replace(found, failure(problem, show));
    } finally {
      found.removeAttribute("aria-busy");
    }
  }
}

function ranked(rows, kind) {
  const link = (id) => h("a", { href: `#/labels?${kind}=${encodeURIComponent(id)}`, class: "id" }, id);
  const columns = [
    { key: "rank", label: "#", numeric: true, sort: true },
    { key: "id", label: kind === "user" ? "Viewer" : "Item", sort: true, format: link },
    { key: "views", label: "Views", numeric: true, sort: true, format: count },
    { key: "watch_says", label: "Watch says", numeric: true, sort: true, format: (value) => percent(value), help: "share that the watch alone calls positive" },
    { key: "relevance", label: "Relevance", numeric: true, sort: true, format: (value) => percent(value), help: "mean relevance after all evidence" },
    { key: "excess", label: "Excess", numeric: true, sort: true, format: (value) => `${signed(100 * value, 1)} pts` },
    { key: "z", label: "z", numeric: true, sort: true, format: (value) => signed(value, 1), help: "excess in standard errors" },
    { key: "why", label: "Why", format: (why) => h("div", { class: "wrap" }, (why ?? []).join("; ")) },
  ];
  const numbered = rows.map((row, n) => ({ ...row, rank: n + 1 }));
  return table({ columns, rows: numbered, caption: `Suspect ${kind === "user" ? "viewers" : "items"}`, hideCaption: true });
}
