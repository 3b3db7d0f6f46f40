// The dialog that asks for an API key when the service wants one.

import { field, h } from "./dom.js";

// Shows the dialog; resolves to the key, or null if it was left.
export function askKey(problem) {
  return new Promise((resolve) => {
    const input = h("input", { type: "password", autocomplete: "off", spellcheck: "false", required: true });
    const leave = h("button", { type: "button", on: { click: () => dialog.close("") } }, "Not now");
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", { id: "key-title" }, "This service wants a key"),
      h(
        "p",
        { class: "muted" },
        problem.detail || "Reading needs a key with the role console, changing one with the role admin.",
      ),
      field("API key", input, "Kept in this tab until it is closed."),
      h("div", { class: "actions" }, leave, h("button", { type: "submit", class: "primary" }, "Use this key")),
    );
    const dialog = h("dialog", { "aria-labelledby": "key-title" }, form);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      dialog.close(input.value.trim());
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue || null);
    });
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
}
