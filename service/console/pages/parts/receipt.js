// What has become of one event: accepted, trained in which checkpoint, first served by which version.

import { h, replace } from "../lib/dom.js";
import { at } from "./words.js";

// A list of three steps that fills itself from receipts/{event_id}.
export function receipt(eventId, api) {
  const list = h("ol", { class: "receipt", "aria-busy": "true" }, h("li", null, "Looking for the receipt…"));
  api
    .get(`receipts/${encodeURIComponent(eventId)}`)
    .then((told) => replace(list, stepsOf(told)))
    .catch((problem) => replace(list, h("li", { class: "muted" }, problem.detail || problem.title)))
    .finally(() => list.removeAttribute("aria-busy"));
  return list;
}

function stepsOf(told) {
  const accepted = step(true, "Accepted", told.accepted_ms ? at(told.accepted_ms) : "");
  if (told.dead_letter) return [accepted, step(false, "Dead letter", told.dead_letter, "bad")];
  return [accepted, trained(told.trained), served(told.served)];
}

function trained(found) {
  if (!found) return step(false, "Not trained yet", "the trainer reads it within seconds");
  const out = found.held_out ? ", held out: it judges and never trains" : found.capped ? ", over the cap: not learned" : "";
  return step(true, `In checkpoint ${found.checkpoint}`, `read by the trainer${out}`);
}

function served(found) {
  if (!found) return step(false, "Not served yet", "no champion has it so far");
  const link = h("a", { href: `#/models?version=${found.version}` }, found.version);
  return step(true, ["First served by ", link], found.promoted_ms ? at(found.promoted_ms) : "");
}

const step = (done, what, more, tone = "") =>
  h("li", { class: `${done ? "done" : "open"} ${tone}` }, h("strong", null, what), more && h("span", { class: "muted" }, ` ${more}`));
