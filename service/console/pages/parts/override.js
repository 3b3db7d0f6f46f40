// Overriding a label: a person's word in the place of the model's. It re-enters the log as an explicit event.

import { field, h, id } from "../lib/dom.js";
import { decide, whereToChange } from "./decide.js";
import { at } from "./words.js";

// The form, or who may use it where; onDone(entry) is told the audited entry.
export function override(row, context, onDone) {
  if (row.override) return entryOf(row.override);
  const away = whereToChange(context.session);
  if (away) return away;
  const name = id("override");
  const why = h("input", { type: "text", required: true, maxlength: 200, autocomplete: "off" });
  const choice = (label, words) =>
    h("label", { class: "pick" }, h("input", { type: "radio", name, value: label, required: true }), words);
  const form = h(
    "form",
    { class: "override" },
    h("fieldset", null, h("legend", null, "The label should be"), choice("positive", "positive"), choice("negative", "negative")),
    field("Why", why),
    h("button", { type: "submit" }, "Override…"),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const label = new FormData(form).get(name);
    const entry = await confirmed(row, label, why.value.trim(), context);
    if (entry) onDone(entry);
  });
  return form;
}

// What was recorded, by whom and why.
export function entryOf(entry) {
  return h(
    "p",
    { class: "entry" },
    h("strong", null, `Overridden: ${entry.label}`),
    ` by ${entry.who ?? "an admin"}, ${entry.at_ms ? at(entry.at_ms) : "just now"}: “${entry.why}”. `,
    "It went back into the log as ",
    h("a", { href: `#/labels?event=${encodeURIComponent(entry.event_id)}` }, entry.event_id),
    ".",
  );
}

function confirmed(row, label, why, { api, announce }) {
  return decide({
    title: `Override as ${label}?`,
    consequence: [
      `User ${row.user_id} and item ${row.item_id} get an explicit ${label} event, which the trainer learns like a ` +
        "user's own word.",
      "The event it overrides stays in the log. To take it back, override it again.",
    ],
    confirm: `Record as ${label}`,
    why,
    act: async (reason) => {
      const path = `/console/api/labels/${encodeURIComponent(row.event_id)}:override`;
      const made = await api.post(path, { label, why: reason });
      const entry = (await listed(api, made.event_id)) ?? { label, why: reason, at_ms: Date.now(), ...made };
      announce(`Overridden as ${label}: recorded as event ${made.event_id}.`);
      return entry;
    },
  });
}

async function listed(api, eventId) {
  const { overrides } = await api.get("overrides").catch(() => ({ overrides: [] }));
  return overrides.find((entry) => entry.event_id === eventId);
}
