// A choice of few, of which one holds: choice("Time shown", ["1 min", "5 min"], "5 min", (name) => ...).

import { h } from "./dom.js";

export function choice(label, names, chosen, fn) {
  const buttons = names.map((name) =>
    h("button", { type: "button", "aria-pressed": String(name === chosen), on: { click: () => press(name) } }, name),
  );
  function press(name) {
    buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(names[place] === name)));
    fn(name);
  }
  return h("div", { class: "choice", role: "group", "aria-label": label }, buttons);
}
