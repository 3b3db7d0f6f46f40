// The parts of a logit, one a line: why an item has the score it has.

import { lean } from "./bar.js";
import { h } from "./dom.js";
import * as format from "./format.js";

const MEANS = {
  base: "what holds for everyone",
  user: "what this viewer says of anything",
  item: "what all viewers say of this item",
  match: "how well the two fit, learned from both",
  context: "the surface and, for a new item, what was sent of it",
};

// The panel about one row of the ranking; `other` is the answer of the second version, or null.
export function why(row, one, other) {
  const parts = Object.keys(MEANS).filter((part) => part in (row.reasons ?? {}));
  if (!parts.length) return h("p", { class: "muted" }, "This version tells no reasons.");
  const answers = [[one, row], ...(row.other ? [[other, row.other]] : [])];
  const reach = Math.max(...answers.flatMap(([, item]) => parts.map((part) => Math.abs(item.reasons[part]))), 1e-9);
  const names = answers.map(([answer]) => h("th", { scope: "col", class: "number" }, answer.model.version));
  const line = (part) => [
    h("th", { scope: "row" }, part, h("small", { class: "muted" }, MEANS[part])),
    answers.map(([, item]) => value(item.reasons[part], reach, row.other ? 40 : 64)),
  ];
  const logit = (item) => parts.reduce((sum, part) => sum + item.reasons[part], 0);
  const end = (name, told) =>
    h(
      "tr",
      { class: "sum" },
      h("th", { scope: "row" }, name),
      answers.map(([, item]) => h("td", { class: "number" }, told(item))),
    );
  return [
    h("h2", null, `Why ${row.item_id} ranks ${row.rank}`),
    h(
      "table",
      null,
      h(
        "caption",
        null,
        h("span", null, "Parts of the logit: they sum to it. Right of the middle speaks for the item, left against."),
      ),
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "Part"), names)),
      h(
        "tbody",
        null,
        parts.map((part) => h("tr", null, line(part))),
        end("logit", (item) => format.signed(logit(item))),
        end("score", (item) => format.probability(item.score)),
      ),
    ),
  ];
}

function value(part, reach, width) {
  return h("td", { class: "number" }, h("span", { class: "trial" }, lean(part, reach, { width }), format.signed(part)));
}
