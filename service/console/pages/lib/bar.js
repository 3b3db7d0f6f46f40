// Small bars inside a line of text or a cell: bar() from nothing to a bound, lean() from the middle to both sides.

import { s } from "./dom.js";

const WIDE = 100;
const HIGH = 10;

// A bar of value out of most; low and high draw its interval as a whisker. Says nothing to a screen reader: the number
// stands beside it.
export function bar(value, most, { color = "--series-1", low = null, high = null, width = 72 } = {}) {
  const at = (x) => Math.max(0, Math.min(1, (x ?? 0) / (most || 1))) * WIDE;
  const whisker =
    low !== null &&
    high !== null &&
    s("path", { class: "whisker", d: `M${at(low)} 5H${at(high)}M${at(low)} 2V8M${at(high)} 2V8` });
  return canvas(width, s("rect", { class: "track", width: WIDE, height: HIGH }), block(0, at(value), color), whisker);
}

// A bar from the middle: negative to the left, positive to the right, out of most to either side.
export function lean(value, most, { width = 72, plus = "--series-1", minus = "--series-2" } = {}) {
  const half = Math.max(0, Math.min(1, Math.abs(value ?? 0) / (most || 1))) * (WIDE / 2);
  const from = value < 0 ? WIDE / 2 - half : WIDE / 2;
  const middle = s("path", { class: "middle", d: `M${WIDE / 2} 0V${HIGH}` });
  return canvas(
    width,
    s("rect", { class: "track", width: WIDE, height: HIGH }),
    block(from, half, value < 0 ? minus : plus),
    middle,
  );
}

function block(from, width, color) {
  return s("rect", { x: from, width, height: HIGH, style: { fill: `var(${color})` } });
}

function canvas(width, ...shapes) {
  const box = { class: "bar", viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", width, height: HIGH };
  return s("svg", { ...box, "aria-hidden": "true", focusable: "false" }, shapes);
}
