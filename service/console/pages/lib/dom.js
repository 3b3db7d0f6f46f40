// Elements from plain values: h("p", {class: "muted", on: {click}}, "text", child). Text is never parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";
const AS_PROPERTY = new Set(["value", "checked", "selected", "disabled", "open", "hidden", "indeterminate"]);

// Sets one attribute, listener table, style table or property; null and false leave it out.
function give(el, name, value) {
  if (name === "on") for (const [event, fn] of Object.entries(value)) el.addEventListener(event, fn);
  else if (name === "style") for (const [key, text] of Object.entries(value)) el.style.setProperty(key, text);
  else if (name === "dataset") Object.assign(el.dataset, value);
  else if (AS_PROPERTY.has(name) && name in el) el[name] = value ?? "";
  else if (value === true) el.setAttribute(name, "");
  else if (value !== null && value !== undefined && value !== false) el.setAttribute(name, value);
}

function fill(el, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    el.append(child instanceof Node ? child : String(child));
  }
  return el;
}

function make(el, props, children) {
  const { value, ...rest } = props ?? {};
  for (const [name, given] of Object.entries(rest)) give(el, name, given);
  fill(el, children);
  if (value !== undefined) give(el, "value", value); // a <select> takes its value once it has options
  return el;
}

// An HTML element. `style` is a table of CSS properties (set through the CSSOM: the policy allows no style attribute).
export function h(tag, props, ...children) {
  return make(document.createElement(tag), props, children);
}

// An SVG element, written like h().
export function s(tag, props, ...children) {
  return make(document.createElementNS(SVG, tag), props, children);
}

// Puts children in the place of whatever el holds.
export function replace(el, ...children) {
  el.replaceChildren();
  return fill(el, children);
}

// Sets text where it differs, so that a figure that stays costs no layout and a screen reader hears no repeat.
export function say(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

// Words in which `code` stands between backticks.
export function words(text) {
  return text.split("`").map((part, place) => (place % 2 ? h("code", null, part) : part));
}

let last = 0;
// An id no other element has, to tie a label to its field.
export function id(prefix = "w") {
  last += 1;
  return `${prefix}-${last}`;
}

// A labelled form field: field("User", h("input", {...})).
export function field(label, input, hint) {
  input.id ||= id("field");
  return h(
    "div",
    { class: "field" },
    h("label", { for: input.id }, label),
    input,
    hint && h("small", { class: "muted" }, hint),
  );
}

// What stands where there is nothing yet: what is missing, and what to do.
export function empty(title, ...what) {
  return h("div", { class: "empty" }, h("strong", null, title), what.length ? h("p", null, ...what) : null);
}

// A failed request in words, with a button to try again.
export function failure(problem, again) {
  return h(
    "div",
    { class: "failure", role: "alert" },
    h("strong", null, problem.title ?? "It did not work"),
    h("p", null, problem.detail ?? problem.message ?? String(problem)),
    again && h("button", { type: "button", on: { click: again } }, "Try again"),
  );
}
