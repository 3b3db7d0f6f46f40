// Small drawings in SVG, redrawn to the width they are given. Colours come from classes, so a theme needs no redraw.

import { s } from "../lib/dom.js";

// A drawing as wide as its box: draw(width) returns its children. `label` is what a screen reader says of it.
export function drawing(label, height, draw) {
  const canvas = s("svg", { role: "img", "aria-label": label, height, class: "drawing" });
  let drawn = 0;
  new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (width <= 0 || width === drawn) return;
    drawn = width;
    canvas.setAttribute("viewBox", `0 0 ${width} ${height}`);
    canvas.replaceChildren(...draw(width).flat(Infinity).filter(Boolean));
  }).observe(canvas);
  return canvas;
}

// A function from a value to its place, both ranges being [low, high]; what is beyond lies at the edge.
export function linear([low, high], [left, right]) {
  const width = high - low || 1;
  return (value) => left + ((Math.min(Math.max(value, low), high) - low) / width) * (right - left);
}
