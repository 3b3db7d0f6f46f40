// Users and items whose watches and whose relevance are furthest apart, ranked, with why.

import { choice } from "../lib/choice.js";
import { empty, failure, h, replace } from "../lib/dom.js";
import { count, percent, signed } from "../lib/format.js";
import { table } from "../lib/table.js";
import { searchedWords } from "./words.js";

const KINDS = { user: "Users", item: "Items" };
const SHOWN = 50;

// The section; `asked` is {kind, hours}; onKind(kind) is told which was chosen. show(asked) asks anew.
export function suspects(asked, api, onKind) {
  const found = h("div");
  const chosen = (words) => onKind(Object.keys(KINDS).find((kind) => KINDS[kind] === words));
  const kinds = choice("Suspects among", Object.values(KINDS), KINDS[asked.kind], chosen);
  const told = "Ranked by how surely their watches promise more, or less, than what is known of them bears out.";
  const section = h("section", { class: "panel" }, h("div", { class: "row spread" }, h("h2", null, "Suspects"), kinds), h("p", { class: "muted" }, told), found);
  let turn = 0;

  section.show = async ({ kind, hours }) => {
    const mine = (turn += 1);
    found.setAttribute("aria-busy", "true");
    try {
      const { rows, searched } = await api.get("audit/suspects", { kind, hours, limit: SHOWN });
      if (mine !== turn) return;
      const none = empty("No suspects.", "Nobody has enough views in these hours to be told from chance.");
      replace(found, rows.length ? ranked(rows, kind) : none, h("p", { class: "muted below" }, searchedWords(searched)));
    } catch (problem) {
      if (mine === turn) replace(found, failure(problem, () => section.show({ kind, hours })));
    } finally {
      if (mine === turn) found.removeAttribute("aria-busy");
    }
  };
  return section;
}

function ranked(rows, kind) {
  const link = (id) => h("a", { href: `#/labels?${kind}=${encodeURIComponent(id)}`, class: "id" }, id);
  const columns = [
    { key: "rank", label: "#", numeric: true, sort: true },
    { key: "id", label: kind === "user" ? "User" : "Item", sort: true, format: link },
    { key: "views", label: "Views", numeric: true, sort: true, format: count },
    { key: "watch_says", label: "Watch says", numeric: true, sort: true, format: (value) => percent(value), help: "share that the watch alone calls positive" },
    { key: "relevance", label: "Relevance", numeric: true, sort: true, format: (value) => percent(value), help: "mean relevance after all evidence" },
    { key: "excess", label: "Excess", numeric: true, sort: true, format: (value) => `${signed(100 * value, 1)} pts` },
    { key: "z", label: "z", numeric: true, sort: true, format: (value) => signed(value, 1), help: "excess in standard errors" },
    { key: "why", label: "Why", format: (why) => h("div", { class: "wrap" }, (why ?? []).join("; ")) },
  ];
  const numbered = rows.map((row, n) => ({ ...row, rank: n + 1 }));
  return table({ columns, rows: numbered, caption: `Suspect ${KINDS[kind].toLowerCase()}`, hideCaption: true });
}
