// Loop: is it healthy, how fast is it, how good is it; versions as marks on the axis of time.

import { line } from "../lib/chart.js";
import { choice } from "../lib/choice.js";
import { h, replace, say, words } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { health } from "../lib/health.js";
import { painter } from "../lib/paint.js";
import { aligned, figures, newest, rates } from "../lib/rates.js";
import { table } from "../lib/table.js";
import { fateWord, markOf } from "../lib/versions.js";

export const title = "Loop";

const SPANS = { "1 min": 60_000, "5 min": 300_000, "15 min": 900_000 };
const WORDS = { good: "●", idle: "○", wait: "…", warn: "▲", bad: "■" };

export async function mount(root, { live, announce }) {
  let spanMs = SPANS["5 min"];
  const banner = healthBanner(announce);
  const tiles = figureTiles();
  const charts = h("div", { class: "grid" });
  const span = choice("Time shown", Object.keys(SPANS), "5 min", (name) => {
    spanMs = SPANS[name];
    paint.ask();
  });
  const versions = versionTable();
  const head = h("div", { class: "head spread" }, h("h1", null, "Loop"), span);
  root.append(
    head,
    banner.el,
    tiles.el,
    charts,
    h("section", { class: "panel" }, h("h2", null, "Latest versions"), versions),
  );
  const drawn = CHARTS.map((chart) => ({
    ...chart,
    plot: line(panel(charts), { ...chart.look, sync: "loop", level: 2 }),
  }));

  const paint = painter(() => {
    banner.show(health(live));
    tiles.show(live);
    const axis = shown(live, spanMs);
    const marks = live.versions.map(markOf);
    for (const { plot, lists } of drawn) {
      plot.set(aligned(lists(live), axis));
      plot.setMarks(marks);
    }
  });
  const recent = () => versions.setRows(live.versions.slice(-8).reverse());
  const heard = ["hello", "tick", "progress", "status"].map((kind) => live.subscribe(kind, paint.ask));
  heard.push(live.subscribe("version", recent), live.subscribe("hello", recent));
  recent();
  paint.ask();
  return () => {
    heard.forEach((stop) => stop());
    paint.stop();
    drawn.forEach(({ plot }) => plot.destroy());
  };
}

// The ends of the axis that all charts share: the span asked for, or as much of it as was heard.
function shown({ ticks, progress }, spanMs) {
  const rings = [ticks, progress].filter((ring) => ring.length);
  if (!rings.length) return {};
  const toMs = Math.max(...rings.map((ring) => ring.at(-1).at_ms));
  return { fromMs: Math.max(toMs - spanMs, Math.min(...rings.map((ring) => ring[0].at_ms))), toMs };
}

function panel(charts) {
  const el = h("section", { class: "panel" });
  charts.append(el);
  return el;
}

const CHARTS = [
  {
    look: {
      title: "Events a second",
      floor: 0,
      series: [
        { label: "in", color: "--series-1" },
        { label: "trained", color: "--series-2" },
      ],
    },
    lists: (live) => [rates(live.ticks, (tick) => tick.acknowledged), rates(live.progress, (entry) => entry.trained)],
  },
  {
    look: { title: "Lag", floor: 0, series: [{ label: "entries not yet read", color: "--series-4" }] },
    lists: (live) => [figures(live.ticks, (tick) => tick.lag_entries)],
  },
  {
    look: {
      title: "Freshness",
      floor: 0,
      series: [
        { label: "age of what is served", color: "--series-3", format: format.seconds, axis: format.seconds },
        { label: "oldest untrained", color: "--series-2", format: format.seconds },
      ],
    },
    lists: (live) => [
      figures(live.ticks, (tick) => (tick.fallback ? null : tick.age_s)),
      figures(live.ticks, (tick) => tick.oldest_untrained_s),
    ],
  },
  {
    look: {
      title: "Progressive AUC",
      series: [
        { label: "since ever", color: "--series-1", format: format.ratio, axis: (value) => format.ratio(value, 3) },
        { label: "window", color: "--series-5", format: format.ratio },
      ],
    },
    lists: (live) => [
      figures(live.progress, (entry) => entry.auc),
      figures(live.progress, (entry) => entry.window_auc),
    ],
  },
];

function healthBanner(announce) {
  const sign = h("span", { class: "sign", "aria-hidden": "true" });
  const word = h("strong");
  const reason = h("span");
  const more = h("ul", { class: "more" });
  const el = h(
    "section",
    { class: "panel health", "aria-label": "Health of the loop" },
    sign,
    h("p", null, word, " ", reason),
    more,
  );
  let before = "";
  return {
    el,
    show(found) {
      el.dataset.state = found.state;
      say(sign, WORDS[found.state]);
      say(word, found.word);
      if (reason.textContent !== found.reason.replaceAll("`", "")) replace(reason, words(found.reason));
      const lines = found.more.map((each) => `${each.word}: ${each.reason}`);
      if (lines.join() !== [...more.children].map((each) => each.textContent).join())
        replace(
          more,
          lines.map((text) => h("li", null, text)),
        );
      const now = found.word.split(":")[0];
      if (before && before !== now) announce(`${found.word}: ${found.reason}`);
      before = now;
    },
  };
}

// One tile a figure: its value, and beside it what helps to read it.
function figureTiles() {
  const cells = TILES.map(({ label, help }) => {
    const value = h("dd", null, format.NOTHING);
    const beside = h("dd", { class: "beside" });
    return { value, beside, el: h("div", { class: "tile", title: help }, h("dt", null, label), value, beside) };
  });
  return {
    el: h(
      "dl",
      { class: "tiles" },
      cells.map((cell) => cell.el),
    ),
    show(live) {
      const tick = live.ticks.at(-1) ?? {};
      const step = live.progress.at(-1) ?? {};
      TILES.forEach(({ tell }, place) => {
        const [value, beside] = tell(tick, step, live);
        say(cells[place].value, value);
        say(cells[place].beside, beside);
      });
    },
  };
}

const told = (name, value, otherwise = "") => (value === format.NOTHING ? otherwise : `${name} ${value}`);
// The mean of the targets in use; of targets that estimate nothing, what Inverse Dual Loss would say.
function meanTarget(step) {
  const mean = format.percent(step.target_mean, 2);
  return mean === format.NOTHING
    ? told("IDL target", format.percent(step.idl_target_mean, 3))
    : told("mean target", mean);
}

const speed = (ring, of) => `${format.count(Math.round(newest(ring, of) ?? 0))}/s`;
const TILES = [
  {
    label: "Events in",
    help: "Events that the log has confirmed, of this process",
    tell: (tick, step, { ticks }) => [
      speed(ticks, (each) => each.acknowledged),
      told("since start", format.short(tick.acknowledged)),
    ],
  },
  {
    label: "Trained",
    help: "Events the trainer has learned from",
    tell: (tick, step, { progress }) => [
      speed(progress, (each) => each.trained),
      told("since ever", format.short(step.trained), "no trainer heard yet"),
    ],
  },
  {
    label: "Lag",
    help: "Log entries the trainer has not read",
    tell: (tick) => [
      format.count(tick.lag_entries),
      told("oldest", format.seconds(tick.oldest_untrained_s), "nothing waits"),
    ],
  },
  {
    label: "Freshness",
    help: "How old the newest event is that the served version knows",
    tell: (tick) => [tick.fallback ? format.NOTHING : format.seconds(tick.age_s), "age of what is served"],
  },
  {
    label: "Score p99",
    help: "Of the requests of the last second",
    tell: (tick) => [
      format.milliseconds(tick.p99_ms),
      told("p50", format.milliseconds(tick.p50_ms), "no scores asked for"),
    ],
  },
  {
    label: "AUC",
    help: "Progressive: every event is scored before it is learned",
    tell: (tick, step) => [
      format.ratio(step.auc),
      told("GAUC", format.ratio(step.gauc), "no GAUC yet: too few positives"),
    ],
  },
  {
    label: "Window AUC",
    help: "Of the latest events only",
    tell: (tick, step) => [format.ratio(step.window_auc), told("positives:", format.count(step.window_positives))],
  },
  {
    label: "Calibration error",
    help: "ECE of the window: how far scores are from rates",
    tell: (tick, step) => [format.ratio(step.window_ece, 4), "window ECE"],
  },
  {
    label: "Prior",
    help: "Share of what nobody spoke about that is relevant, and the mean of the targets it is trained toward",
    tell: (tick, step) => [format.percent(step.prior, 2), meanTarget(step)],
  },
  {
    label: "Version",
    help: "The version that answers now",
    tell: (tick) => (tick.fallback ? ["prior", "no version yet"] : [tick.version ?? format.NOTHING, "answers now"]),
  },
];

function versionTable() {
  return table({
    caption: "What became of the latest publications",
    hideCaption: true,
    empty: "No version yet. The trainer publishes once it has learned enough.",
    columns: [
      {
        key: "version",
        label: "Version",
        format: (version) => (version ? h("a", { href: `#/models?a=${version}` }, version) : format.NOTHING),
      },
      { key: "at_ms", label: "At", format: format.clock },
      {
        key: "verdict",
        label: "Verdict",
        format: (_, row) => h("span", { class: `badge ${fateWord(row)[1]}` }, fateWord(row)[0]),
      },
      {
        key: "reasons",
        label: "Why",
        format: (reasons) => h("div", { class: "wrap" }, (reasons ?? []).slice(0, 3).join("; ") || format.NOTHING),
      },
      { key: "auc", label: "AUC", numeric: true, format: (value) => format.ratio(value) },
      { key: "gauc", label: "GAUC", numeric: true, format: (value) => format.ratio(value) },
      { key: "window_ece", label: "Window ECE", numeric: true, format: (value) => format.ratio(value, 4) },
      { key: "seconds", label: "Took", numeric: true, format: format.seconds },
      {
        key: "bytes",
        label: "Size",
        numeric: true,
        format: (value, row) => `${format.bytes(value)}${row.delta ? ", delta" : ""}`,
      },
    ],
  });
}
