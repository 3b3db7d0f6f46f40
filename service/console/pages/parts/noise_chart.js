// Estimated noise by group: a bar each, with its 95 % interval, beside the rate overall.

import { s } from "../lib/dom.js";
import { percent } from "../lib/format.js";
import { drawing, linear } from "./drawing.js";

const HEIGHT = 220;
const [TOP, BOTTOM, LEFT, RIGHT] = [26, 26, 46, 8];
const FLOOR = HEIGHT - BOTTOM;
const CHARACTER = 6.5; // pixels of a label, about
const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1];

// The chart of rows [{group, noise_rate, noise_low, noise_high}] and `overall`, one more of them.
export function noiseChart(rows, overall) {
  const shown = rows.filter((row) => Number.isFinite(row.noise_rate));
  const step = stepOf(Math.max(0.001, ...shown.map((row) => row.noise_high ?? row.noise_rate)));
  const most = step * Math.max(1, Math.ceil(Math.max(...shown.map((row) => row.noise_high ?? row.noise_rate), 0) / step));
  return drawing(sentence(shown, overall), HEIGHT, (width) => {
    const y = linear([0, most], [FLOOR, TOP]);
    const pitch = (width - LEFT - RIGHT) / Math.max(shown.length, 1);
    const every = Math.ceil(((Math.max(0, ...shown.map((row) => String(row.group).length)) + 2) * CHARACTER) / pitch);
    return [
      lines(most, step, y, width),
      shown.map((row, n) => column(row, LEFT + (n + 0.5) * pitch, Math.min(pitch * 0.62, 46), y)),
      shown.map((row, n) => n % every === 0 && name(row.group, LEFT + (n + 0.5) * pitch)),
      Number.isFinite(overall?.noise_rate) && reference(overall.noise_rate, y, width),
    ];
  });
}

const stepOf = (most) => STEPS.find((step) => most / step <= 5) ?? 1;

function lines(most, step, y, width) {
  return Array.from({ length: Math.round(most / step) + 1 }, (_, n) => [
    s("line", { x1: LEFT, x2: width - RIGHT, y1: y(n * step), y2: y(n * step), class: n ? "gridline" : "axis" }),
    s("text", { x: LEFT - 6, y: y(n * step) + 4, "text-anchor": "end", class: "tick" }, percent(n * step, step < 0.01 ? 1 : 0)),
  ]);
}

function column(row, x, width, y) {
  const { noise_low: low, noise_high: high } = row;
  const ends = Math.min(5, width / 2);
  const whisker = `M${x} ${y(low)}V${y(high)}M${x - ends} ${y(low)}h${2 * ends}M${x - ends} ${y(high)}h${2 * ends}`;
  return s(
    "g",
    null,
    s("title", null, told(row)),
    s("rect", { x: x - width / 2, y: y(row.noise_rate), width, height: FLOOR - y(row.noise_rate), class: "noise" }),
    Number.isFinite(low) && Number.isFinite(high) && s("path", { d: whisker, class: "whisker" }),
  );
}

const name = (group, x) => s("text", { x, y: FLOOR + 16, "text-anchor": "middle", class: "tick" }, String(group));

function reference(rate, y, width) {
  return s(
    "g",
    { class: "overall" },
    s("line", { x1: LEFT, x2: width - RIGHT, y1: y(rate), y2: y(rate) }),
    s("text", { x: width - RIGHT, y: 11, "text-anchor": "end" }, `overall ${percent(rate)}`),
    s("line", { x1: width - RIGHT - 132, x2: width - RIGHT - 100, y1: 7, y2: 7 }), // its key
  );
}

const told = (row) => `${row.group}: ${percent(row.noise_rate)}, 95 % interval ${percent(row.noise_low)} to ${percent(row.noise_high)}`;

function sentence(rows, overall) {
  const most = rows.reduce((found, row) => (found && found.noise_rate >= row.noise_rate ? found : row), null);
  const all = overall ? `Overall ${percent(overall.noise_rate)}. ` : "";
  return `Estimated noise rate by group. ${all}${most ? `Highest: ${told(most)}.` : ""} The table below has every figure.`;
}
