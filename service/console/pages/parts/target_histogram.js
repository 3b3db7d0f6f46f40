// The targets of the unlabelled: one small histogram for each evidence flag, all on one axis of logarithms.

import { h, s } from "../lib/dom.js";
import { percent, probability } from "../lib/format.js";
import { drawing, linear } from "./drawing.js";
import { FLAGS, many } from "./words.js";

const [HEIGHT, FLOOR, MARGIN] = [88, 70, 4];
const DECADES = [1e-4, 1e-3, 1e-2, 1e-1, 1];

// The histograms as a list; `data` is the answer of labels/histogram.
export function targetHistogram(data) {
  const flags = FLAGS.filter((flag) => sum(data.by_flag[flag] ?? []) > 0);
  const panels = [["all", data.counts], ...flags.map((flag) => [flag, data.by_flag[flag]])];
  return h("ul", { class: "histograms", role: "list" }, panels.map(([flag, counts]) => panel(flag, counts, data)));
}

function panel(flag, counts, data) {
  const rows = sum(counts);
  const share = flag === "all" ? many(rows, "view") : percent(rows / sum(data.counts));
  const above = sum(counts.filter((_, n) => data.edges[n] >= data.prior));
  const told = `Targets, ${flag}: ${many(rows, "view")}, ${percent(above / rows)} of them above the prior.`;
  return h(
    "li",
    null,
    h("p", null, h("strong", null, flag === "all" ? "all unlabelled" : flag), " ", h("span", { class: "muted" }, share)),
    drawing(told, HEIGHT, (width) => draw(flag, counts, data, width)),
  );
}

function draw(flag, counts, data, width) {
  const least = data.edges[0] || DECADES[0];
  const place = linear([Math.log10(least), 0], [MARGIN, width - MARGIN]);
  const x = (value) => place(Math.log10(Math.max(value, least)));
  const y = linear([0, Math.sqrt(Math.max(1, ...counts))], [FLOOR, 6]);
  return [
    counts.map((number, n) => number > 0 && bar(flag, number, data.edges.slice(n, n + 2), x, y)),
    s("line", { x1: MARGIN, x2: width - MARGIN, y1: FLOOR, y2: FLOOR, class: "axis" }),
    Number.isFinite(data.prior) && s("line", { x1: x(data.prior), x2: x(data.prior), y1: 2, y2: FLOOR, class: "prior" }),
    DECADES.filter((decade) => width > 190 || decade !== 1e-3).map((decade) => {
      const anchor = decade === DECADES[0] ? "start" : decade === 1 ? "end" : "middle";
      return s("text", { x: x(decade), y: HEIGHT - 4, "text-anchor": anchor, class: "tick" }, power(decade));
    }),
  ];
}

function bar(flag, number, [from, to], x, y) {
  const top = Math.min(y(Math.sqrt(number)), FLOOR - 1);
  const size = { x: x(from), y: top, width: Math.max(x(to) - x(from) - 1, 1), height: FLOOR - top };
  const told = `${probability(from)} to ${probability(to)}: ${many(number, "view")}`;
  return s("rect", { ...size, class: `count flag-${flag}` }, s("title", null, told));
}

const power = (decade) => (decade < 1e-3 ? "10⁻⁴" : String(decade));

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
