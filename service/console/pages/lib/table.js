// A table that sorts by its headings: table({columns, rows, caption, onRow}) -> element with setRows(rows).
// A column is {key, label, format(value, row) -> text or node, numeric, sort, help}; sort is true, or a function row ->
// value; rows without a value come last in both directions. onRow(row) makes the first cell of a row a button.
// `tall` bounds the height: the rows scroll under their headings. With `reuse` a row object that comes again keeps its
// line as it was built: for lists that grow at one end.

import { h, replace } from "./dom.js";

export function table({
  columns,
  rows = [],
  caption,
  onRow,
  empty = "Nothing to show.",
  order = null,
  hideCaption = false,
  tall = false,
  reuse = false,
}) {
  const state = { rows, by: order?.key ?? null, down: order?.down ?? true };
  const body = h("tbody");
  let built = new Map(); // row -> its line, of the rows that are shown
  const heads = columns.map((column) => heading(column, () => turn(column)));
  const captioned = h("caption", { class: hideCaption ? "unseen" : null }, h("span", null, caption));
  const whole = h("table", null, captioned, h("thead", null, h("tr", null, heads)), body);
  const box = h(
    "div",
    { class: tall ? "table-box tall" : "table-box", tabindex: "0", role: "region", "aria-label": caption },
    whole,
  );

  function turn(column) {
    state.down = state.by === column.key ? !state.down : Boolean(column.numeric);
    state.by = column.key;
    draw();
  }

  function draw() {
    heads.forEach((head, place) => mark(head, columns[place], state));
    const sorted = arranged(
      state.rows,
      columns.find((each) => each.key === state.by),
      state.down,
    );
    if (!sorted.length) replace(body, h("tr", null, h("td", { colspan: columns.length, class: "nothing" }, empty)));
    else
      settle(
        body,
        sorted.map((row) => (reuse && built.get(row)) || line(row, columns, onRow)),
      );
    if (reuse) built = new Map(sorted.map((row, place) => [row, body.children[place]]));
  }

  box.setRows = (next) => {
    state.rows = next;
    draw();
  };
  draw();
  return box;
}

// Makes the children of body these lines, touching no line that stays where it is.
function settle(body, lines) {
  const wanted = new Set(lines);
  for (const old of [...body.children]) if (!wanted.has(old)) old.remove();
  lines.forEach((each, place) => {
    if (body.children[place] !== each) body.insertBefore(each, body.children[place] ?? null);
  });
}

function heading(column, press) {
  const label = h("span", null, column.label);
  const inside = column.sort ? h("button", { type: "button", class: "sort", on: { click: press } }, label) : label;
  return h("th", { scope: "col", class: column.numeric ? "number" : null, title: column.help }, inside);
}

function mark(head, column, state) {
  if (!column.sort) return;
  if (state.by === column.key) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
  else head.removeAttribute("aria-sort");
}

function line(row, columns, onRow) {
  const cells = columns.map((column, place) => {
    const shown = column.format ? column.format(row[column.key], row) : (row[column.key] ?? "–");
    const inside = onRow && place === 0 ? h("button", { type: "button", class: "link" }, shown) : shown;
    return h("td", { class: column.numeric ? "number" : null }, inside);
  });
  const press =
    onRow &&
    ((event) => event.target.closest("a, button:not(.link), input, select") || onRow(row, event.currentTarget));
  return h("tr", { class: onRow ? "pressable" : null, on: press ? { click: press } : {} }, cells);
}

// The rows in order of one column.
export function arranged(rows, column, down) {
  if (!column) return [...rows];
  const value = typeof column.sort === "function" ? column.sort : (row) => row[column.key];
  const none = (found) => found === null || found === undefined || Number.isNaN(found);
  return [...rows].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (none(a) || none(b)) return none(a) - none(b);
    const way = typeof a === "string" || typeof b === "string" ? String(a).localeCompare(String(b)) : a - b;
    return down ? -way : way;
  });
}
