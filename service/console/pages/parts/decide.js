// The dialog before a change: says what will be, asks why, and shows what the service said if it refused.

import { field, h, id, replace, say } from "../lib/dom.js";

// decide({title, consequence, confirm, why, act}) -> Promise of what act(why) returned, or null if it was left.
// `consequence` is a list of sentences; `confirm` names the effect on the button; `why` is a reason given already.
export function decide({ title, consequence, confirm, why = "", act }) {
  return new Promise((resolve) => {
    const heading = id("decide");
    const reason = h("input", { type: "text", required: true, maxlength: 200, autocomplete: "off", value: why });
    const refused = h("div", { class: "failure", role: "alert", hidden: true });
    const yes = h("button", { type: "submit", class: "primary" }, confirm);
    const no = h("button", { type: "button", on: { click: () => dialog.close() } }, "Cancel");
    const form = h(
      "form",
      { method: "dialog", on: { submit: (event) => void submit(event) } },
      h("h2", { id: heading }, title),
      consequence.map((sentence) => h("p", null, sentence)),
      field("Why", reason, "Kept in the history beside the change, with the key that made it."),
      refused,
      h("div", { class: "actions" }, no, yes),
    );
    const dialog = h("dialog", { class: "decide", "aria-labelledby": heading }, form);
    let answer = null;

    async function submit(event) {
      event.preventDefault();
      yes.disabled = true;
      say(yes, "Asking…");
      try {
        answer = await act(reason.value.trim());
        dialog.close();
      } catch (problem) {
        replace(refused, h("strong", null, problem.title ?? "It did not work"), h("p", null, problem.detail || problem.message));
        refused.hidden = false;
        yes.disabled = false;
        say(yes, confirm);
      }
    }

    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
    (why ? yes : reason).focus();
  });
}

// Where changes are made, for a page that may only read.
export function whereToChange(session) {
  if (session.may_change) return null;
  if (!session.admin_url) {
    return h("p", { class: "muted where" }, "Changes are made on the admin port; this service has none (WINNOW_ADMIN_PORT).");
  }
  const url = `${session.admin_url}/console/${location.hash}`;
  return h("p", { class: "muted where" }, "Read only here. Changes are made on ", h("a", { href: url }, "the admin port"), ".");
}
