// Charts over uPlot: line() over time, bars() over categories. Both draw in place: set(data) as often as wanted.
// data is [xs, ys of series 1, ys of series 2, ...]; for line() xs are epoch ms, for bars() labels. null is a gap.

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { frame } from "./chart_frame.js";
import { drawMarks, nearest } from "./chart_marks.js";
import { colour, onTheme } from "./colours.js";
import * as format from "./format.js";

const ROOM_PX = 64; // for the name of a bar
const FONT = "11px system-ui, sans-serif";
const minute = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

// Both take nameX, what stands over the first column of their table, and level, of their heading.

// line(el, {title, series: [{label, color: "--series-1", unit, format, dash}], height, marks, floor, ceiling, sync, note})
// -> {set, addMark, setMarks, destroy}. floor and ceiling bound what the axis must show; charts of one `sync` share the
// cursor. A mark is {at, label, note, kind: "promoted" | "held" | "rejected"}.
export function line(el, options) {
  const shown = series(options.series, (each) => ({ width: 1.75, dash: each.dash, points: { show: false } }));
  const floor = options.floor ?? null;
  const axis = {
    values: (u, splits, at, space, step) => splits.map((ms) => (step < 60_000 ? format.clock(ms) : minute.format(ms))),
  };
  return draw(el, options, {
    series: [{}, ...shown],
    scales: { x: { time: true }, y: { range: (u, low, high) => span(low, high, floor, options.ceiling) } },
    axes: [{ ...look(), ...axis, space: 80, size: 28 }, upright(options.series[0])],
    nameX: format.clock,
    ready: (data) => data,
  });
}

// bars(el, {title, series, height, least, marks, formatX, note}) -> {set, addMark, setMarks, destroy}. Marks stand at a
// place among the bars: at 2 is the middle of the third, at 2.5 its right edge. Several series are stacked. There is
// room for `least` bars at least.
export function bars(el, options) {
  const { formatX = String } = options;
  let labels = [];
  const paths = uPlot.paths.bars({ size: [0.84, 72], align: 0 });
  const filled = [...options.series].reverse().map((each) => ({
    label: each.label,
    paths,
    width: 0,
    fill: () => colour(each.color),
    points: { show: false },
  }));
  const places = (u) => {
    const every = Math.ceil((labels.length * ROOM_PX) / Math.max(u.width - 70, ROOM_PX)) || 1;
    return labels.map((_, at) => at).filter((at) => at % every === 0);
  };
  const names = (u, splits) => splits.map((at) => (Number.isInteger(at) && at in labels ? formatX(labels[at]) : ""));
  return draw(el, options, {
    series: [{}, ...filled],
    scales: {
      x: { time: false, range: () => [-0.5, Math.max(labels.length, options.least ?? 1) - 0.5] },
      y: { range: (u, low, high) => [0, top(high, options)] },
    },
    axes: [{ ...look(), values: names, splits: places, size: 28, grid: { show: false } }, upright(options.series[0])],
    nameX: (at) => (at in labels ? formatX(labels[at]) : ""),
    ready([xs, ...ys]) {
      labels = xs;
      return [xs.map((_, at) => at), ...piled(ys)];
    },
  });
}

// Sums over the series so far, the whole pile first, so that each is drawn over the one it stands on.
function piled(ys) {
  const sums = [];
  ys.forEach((values, place) => sums.push(values.map((value, at) => (value ?? 0) + (place ? sums[place - 1][at] : 0))));
  return sums.reverse();
}

function top(high, options) {
  return options.ceiling ?? (high > 0 ? high * 1.06 : 1);
}

function series(given, more) {
  return given.map((each) => ({ label: each.label, stroke: () => colour(each.color), ...more(each) }));
}

// The range of the upright axis: what is there and a little air, with floor and ceiling in sight if they are given.
function span(low, high, floor, ceiling) {
  if (low === null || high === null) return [floor ?? 0, ceiling ?? 1];
  const from = floor === null ? low : Math.min(low, floor);
  const to = ceiling === undefined ? high : Math.max(high, ceiling);
  const air = to > from ? (to - from) * 0.08 : Math.abs(to) * 0.1 || 1;
  return [
    floor !== null && from >= floor ? floor : from - air,
    ceiling !== undefined && to <= ceiling ? ceiling : to + air,
  ];
}

function look() {
  const grid = { stroke: () => colour("--grid"), width: 1 };
  return { stroke: () => colour("--muted"), font: FONT, grid, ticks: { ...grid, size: 4 }, border: { show: false } };
}

function upright(first) {
  const told = first.axis ?? ((value) => format.short(Number(value.toPrecision(6))));
  return {
    ...look(),
    values: (u, splits) => splits.map((value) => (value === null ? "" : told(value))),
    size: 52,
    space: 32,
  };
}

// Puts the plot into its frame and keeps both in step with data, size, theme and cursor.
function draw(el, options, own) {
  const outside = frame(el, options);
  let raw = [[], ...options.series.map(() => [])];
  let marks = options.marks ?? [];

  const opts = {
    ...size(),
    ms: 1,
    legend: { show: false },
    padding: [10, 18, 0, 0],
    cursor: {
      drag: { x: false, y: false },
      y: false,
      points: { size: 7 },
      sync: options.sync ? { key: options.sync } : undefined,
    },
    series: own.series,
    scales: own.scales,
    axes: own.axes,
    hooks: { draw: [(u) => drawMarks(u, marks)], setCursor: [(u) => pointed(u)] },
  };
  const plot = new uPlot(opts, own.ready(raw), outside.plot);

  function size() {
    return { width: Math.max(outside.plot.clientWidth, 160), height: options.height ?? 180 };
  }

  function pointed(u) {
    const at = u.cursor.left >= 0 ? u.cursor.idx : null;
    outside.values(
      raw,
      at,
      at === null ? "" : own.nameX(raw[0][at] !== undefined && own.nameX === format.clock ? raw[0][at] : at),
    );
    outside.tip(u.cursor.left >= 0 ? nearest(u, marks) : null);
  }

  const resized = new ResizeObserver(
    () => outside.plot.clientWidth && outside.plot.clientWidth !== plot.width && plot.setSize(size()),
  );
  resized.observe(outside.plot);
  const unthemed = onTheme(() => plot.redraw(true, true));

  function set(data) {
    raw = data;
    plot.setData(own.ready(data));
    pointed(plot);
    outside.retell(raw, marks);
  }

  function setMarks(next) {
    marks = next;
    plot.redraw(false, false);
    outside.retell(raw, marks);
  }

  set(raw);
  return {
    set,
    setMarks,
    addMark: (mark) => setMarks([...marks, mark].slice(-200)),
    destroy() {
      resized.disconnect();
      unthemed();
      plot.destroy();
      outside.remove();
    },
  };
}
