// How a label came to be: before the watch, after the evidence, trained toward; on a scale of logits, where equal
// steps are equal evidence.

import { s } from "../lib/dom.js";
import { probability } from "../lib/format.js";
import { drawing, linear } from "./drawing.js";

const TICKS = [1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99, 0.999];
const EDGE = 9.2; // the logit of 0.9999: what is beyond lies at the edge
const [ROW, TOP, BOTTOM] = [44, 30, 40];
const MIDDLE = 22; // of a row
const MARGIN = 12;
const LEAST_GAP = 46; // between the labels of two ticks, in pixels

// The steps of a row of the label log, as [{key, name, value}]; without those it has no figure for.
export function stepsOf(row) {
  return [
    { key: "before", name: "before the watch", value: row.score },
    { key: "after", name: "after the evidence", value: row.relevance },
    { key: "target", name: "trained toward", value: row.target },
    { key: "idl", name: "paper IDL alone", value: row.idl_target },
  ].filter((step) => Number.isFinite(step.value));
}

// The diagram of a row's steps with marks {prior, threshold}, each a probability or null.
export function logitScale(row, marks) {
  const steps = stepsOf(row);
  const known = Object.entries(marks).filter(([, value]) => Number.isFinite(value));
  const range = rangeOf([...steps, ...known.map(([, value]) => ({ value }))].map((each) => logit(each.value)));
  const height = TOP + steps.length * ROW + BOTTOM;
  return drawing(sentence(steps, known), height, (width) => {
    const place = linear(range, [MARGIN, width - MARGIN]);
    const x = (value) => place(logit(value));
    return [
      axis(range, x, height - BOTTOM, width),
      known.map(([name, value]) => mark(name, value, x(value), height, width)),
      arrows(steps, x),
      steps.map((step, n) => dot(step, x(step.value), TOP + n * ROW + MIDDLE, width)),
    ];
  });
}

function logit(value) {
  const sure = Math.min(Math.max(value, 1e-9), 1 - 1e-9);
  return Math.min(Math.max(Math.log(sure / (1 - sure)), -EDGE), EDGE);
}

const rangeOf = (logits) => [Math.min(-4.8, ...logits) - 0.2, Math.max(0.4, ...logits) + 0.2];

function axis([low, high], x, y, width) {
  let last = -Infinity;
  const fits = (tick) => {
    if (logit(tick) < low || logit(tick) > high || x(tick) - last < LEAST_GAP) return false;
    if (x(tick) < MARGIN + 8 || x(tick) > width - MARGIN - 8) return false;
    last = x(tick);
    return true;
  };
  return [
    TICKS.filter(fits).map((tick) => [
      s("line", { x1: x(tick), x2: x(tick), y1: TOP, y2: y, class: "gridline" }),
      s("text", { x: x(tick), y: y + 14, "text-anchor": "middle", class: "tick" }, tick < 1e-3 ? "10⁻⁴" : String(tick)),
    ]),
    s("line", { x1: MARGIN, x2: width - MARGIN, y1: y, y2: y, class: "axis" }),
  ];
}

// The prior is named above the steps, the threshold below the axis: they may lie close together.
function mark(name, value, x, height, width) {
  const below = name === "threshold";
  const anchor = x < 70 ? "start" : x > width - 70 ? "end" : "middle";
  return s(
    "g",
    { class: `mark ${name}` },
    s("line", { x1: x, x2: x, y1: below ? TOP : 17, y2: below ? height - 16 : height - BOTTOM }),
    s("text", { x, y: below ? height - 4 : 12, "text-anchor": anchor }, `${name} ${probability(value)}`),
  );
}

function arrows(steps, x) {
  return steps.slice(1).map((step, n) => {
    if (step.key === "idl") return null;
    const [from, to] = [x(steps[n].value), x(step.value)];
    const [top, bottom] = [TOP + n * ROW + MIDDLE, TOP + (n + 1) * ROW + MIDDLE];
    return s("path", { d: `M${from} ${top + 6} V${bottom - 18} H${to} V${bottom - 7}`, class: "step" });
  });
}

// A step's point; its name stands beside it, on the side with more room.
function dot({ key, name, value }, x, y, width) {
  const point =
    key === "idl"
      ? s("path", { d: `M${x} ${y - 6} l6 6 -6 6 -6 -6 Z`, class: "dot idl" })
      : s("circle", { cx: x, cy: y, r: 5.5, class: `dot ${key}` });
  const leading = x < width / 2;
  const text = { x: leading ? x + 12 : x - 12, y: y + 4, "text-anchor": leading ? "start" : "end", class: "name" };
  return [point, s("text", text, `${name} `, s("tspan", { class: "value" }, probability(value)))];
}

function sentence(steps, marks) {
  const all = [...steps.map((step) => [step.name, step.value]), ...marks];
  return `How the label came to be: ${all.map(([name, value]) => `${name} ${probability(value)}`).join(", ")}.`;
}
