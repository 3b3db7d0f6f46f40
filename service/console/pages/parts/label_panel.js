// Everything about one label: what was watched, what was said, how the target came to be, what training did with it.

import { h } from "../lib/dom.js";
import { day, percent, probability } from "../lib/format.js";
import { logitScale } from "./logit_scale.js";
import { override } from "./override.js";
import { receipt } from "./receipt.js";
import { directionWords, flagWords, said, watched } from "./words.js";

// The panel of a row; `prior` is that of the unlabelled, or null; onClose() and onOverride(entry) are told what was done in it.
export function labelPanel(row, prior, context, { onClose, onOverride }) {
  const heading = h("h2", { tabindex: "-1" }, "Event ", h("span", { class: "id" }, row.event_id));
  const close = h("button", { type: "button", class: "close", "aria-label": "Close the event", on: { click: onClose } }, "✕");
  const panel = h(
    "section",
    { class: "panel detail", "aria-label": `Event ${row.event_id}` },
    h("header", null, heading, close),
    h("p", { class: "muted" }, who(row), `. Ended ${day(row.at_ms)}, received ${day(row.acknowledged_ms)}.`),
    part("What was watched", watch(row)),
    part("What was said", saidPart(row)),
    part("How the label came to be", logitScale(row, { prior, threshold: row.threshold }), outcome(row)),
    part("Why", reasons(row)),
    part("What became of it", receipt(row.event_id, context.api)),
    part("Override", override(row, context, onOverride)),
  );
  panel.addEventListener("keydown", (event) => event.key === "Escape" && onClose());
  panel.heading = heading;
  return panel;
}

const part = (title, ...content) => h("section", { class: "part" }, h("h3", null, title), content);

function who(row) {
  const link = (kind, value) => h("a", { href: `#/labels?${kind}=${encodeURIComponent(value)}`, class: "id" }, value);
  const where = [row.surface && `on ${row.surface}`, Number.isFinite(row.position) && `at position ${row.position}`];
  return ["User ", link("user", row.user_id), ", item ", link("item", row.item_id), ` ${where.filter(Boolean).join(" ")}`.trimEnd()];
}

function watch(row) {
  if (!Number.isFinite(row.watch_ms)) return h("p", null, "No watch was reported: an action without a view.");
  const share = row.duration_ms > 0 ? row.watch_ms / row.duration_ms : null;
  const flag = h("span", { class: `badge flag-${row.flag}` }, flagWords(row.flag));
  return [
    h("p", null, h("strong", { class: "large" }, watched(row.watch_ms, row.duration_ms)), " ", flag),
    share !== null && scale(share, `${percent(share, 0)} of the video`),
    Number.isFinite(row.quantile) && scale(row.quantile, `longer than ${percent(row.quantile, 0)} of views of like length`, true),
  ];
}

// A share as a bar, or as a point where what is below it is not what counts.
function scale(share, words, point = false) {
  const width = Math.min(share, 1); // a loop is watched for longer than it lasts
  const place = point ? { left: `${100 * width}%` } : { width: `${100 * width}%` };
  const bar = h("div", { class: "scale-bar", "aria-hidden": "true" }, h("span", { class: point ? "point" : "filled", style: place }));
  return h("div", { class: "scale" }, bar, h("span", null, words));
}

function saidPart(row) {
  const label = h("span", { class: `badge label-${row.label}` }, row.label);
  return h("p", null, said(row.actions) === "nothing" ? "Nothing. " : `The viewer said ${said(row.actions)}. `, "Label: ", label);
}

function outcome(row) {
  const positive = row.pseudo_label === 1;
  const facts = [
    ["Pseudo-label", `${positive ? "1, relevant" : "0, not relevant"}; right with probability ${probability(row.confidence)}`],
    ["Direction", directionWords(row.direction)],
    ["Training", training(row)],
    ["Doubt", `${probability(row.doubt)} of 1`],
  ];
  return h("dl", { class: "facts" }, facts.flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)]));
}

function training(row) {
  const where = Number.isFinite(row.checkpoint) ? `, checkpoint ${row.checkpoint}` : "";
  if (row.held_out) return `held out: it judges versions and never trains${where}`;
  if (row.capped) return `over its user's cap: counted, not learned${where}`;
  if (!Number.isFinite(row.target)) return `left out: the target has nothing to say of it${where}`;
  return `toward ${probability(row.target)}${where}`;
}

function reasons(row) {
  if (!row.reasons?.length) return h("p", { class: "muted" }, "No reasons were kept.");
  return h("ul", { class: "reasons" }, row.reasons.map((reason) => h("li", null, reason)));
}
