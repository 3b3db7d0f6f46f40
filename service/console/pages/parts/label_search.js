// What of the label log is looked for: a form over the parameters in the page's address, so that a link finds it again.

import { field, h, id, replace } from "../lib/dom.js";
import { FLAGS, HOURS, LABELS } from "./words.js";

const FIRST = { user: "", item: "", event: "", surface: "", flag: "", label: "", order: "newest", hours: "24" };
const ORDERS = [["newest", "newest first"], ["doubtful", "most doubtful first"]];
const KINDS = [["user", "User"], ["item", "Item"], ["event", "Event"]];
const TYPED_MS = 200; // of rest before ids like what was typed are asked for

// What an address asks for, every parameter with a value.
export function askedOf(params) {
  return Object.fromEntries(Object.entries(FIRST).map(([name, first]) => [name, params.get(name) ?? first]));
}

// The address of it, without what is as it was at first.
export function addressOf(asked) {
  const given = Object.entries(asked).filter(([name, value]) => value && value !== FIRST[name]);
  const query = new URLSearchParams(given).toString();
  return query ? `#/labels?${query}` : "#/labels";
}

// The form. onSearch(changes) is told what to ask for beside or instead of what was asked.
export function labelSearch(asked, api, onSearch) {
  const kind = KINDS.map(([name]) => name).find((name) => asked[name]) ?? "user";
  const known = h("datalist", { id: id("known") });
  const which = select(KINDS, kind);
  const text = h("input", { type: "search", list: known.id, autocomplete: "off", spellcheck: "false", value: asked[kind] });
  const suggest = suggestions(api, which, text, known);
  const search = (event) => {
    event.preventDefault();
    onSearch({ user: "", item: "", event: "", [which.value]: text.value.trim() });
  };
  return h(
    "form",
    { class: "form search", role: "search", "aria-label": "Labels", on: { submit: search } },
    field("Look for", which),
    field("Its id", text),
    known,
    h("button", { type: "submit", class: "primary" }, "Search"),
    filter("From the", "hours", HOURS),
    filter("Watch", "flag", [["", "any"], ...FLAGS.map((flag) => [flag, flag])]),
    filter("Label", "label", [["", "any"], ...LABELS.map((label) => [label, label])]),
    surface(asked, onSearch),
    filter("Order", "order", ORDERS),
  );

  function filter(label, name, choices) {
    const choice = select(choices, asked[name]);
    choice.addEventListener("change", () => onSearch({ [name]: choice.value }));
    return field(label, choice);
  }

  function select(choices, value) {
    const on = { change: () => suggest?.() };
    return h("select", { value, on: choices === KINDS ? on : {} }, choices.map(([key, words]) => h("option", { value: key }, words)));
  }
}

function surface(asked, onSearch) {
  const text = h("input", { type: "text", size: 8, autocomplete: "off", placeholder: "any", value: asked.surface });
  text.addEventListener("change", () => onSearch({ surface: text.value.trim() }));
  return field("Surface", text);
}

// Offers ids that begin like what is typed; the search goes without them where there are none.
function suggestions(api, which, text, known) {
  let waiting = 0;
  const ask = async () => {
    if (which.value === "event") return replace(known);
    const found = await api.get("ids", { kind: which.value, like: text.value.trim(), limit: 20 }).catch(() => ({ ids: [] }));
    return replace(known, found.ids.map((each) => h("option", { value: each.id })));
  };
  const later = () => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, TYPED_MS);
  };
  text.addEventListener("input", later);
  text.addEventListener("focus", ask, { once: true });
  return later;
}
