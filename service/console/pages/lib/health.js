// Whether the loop is healthy, in words: a pure function of what was told of late.

import * as format from "./format.js";
import { growth, newest } from "./rates.js";

const RECENT_MS = 60_000;
const BEHIND_S = 30;
const FAR_BEHIND_S = 300;
const UNSERVED_S = 300;
const SILENT_S = 15;

// health({status, why, ticks, progress, versions}) -> {state, word, reason, more: [{state, word, reason}]}.
// state is good, idle, wait, warn or bad. Times are the service's own; the browser's clock is not asked.
export function health(told) {
  const { status, why, ticks } = told;
  if (!ticks.length) {
    if (status === "lost") return only("bad", "No connection", `${why}. Trying again.`);
    return only("wait", "Connecting", "waiting for the first figures of the service.");
  }
  const now = ticks.at(-1).at_ms;
  const facts = { ...told, tick: ticks.at(-1), step: told.progress.at(-1) ?? null, now };
  const found = RULES.map((rule) => rule(facts)).filter(Boolean);
  found.sort((one, other) => (other.state === "bad") - (one.state === "bad")); // stable: rules stand in order of weight
  if (found.length) return { ...found[0], more: found.slice(1) };
  return { ...quiet(facts), more: [] };
}

const only = (state, word, reason) => ({ state, word, reason, more: [] });
const finding = (state, word, reason) => ({ state, word, reason });

const RULES = [connection, log, unstored, fallback, trainer, shedding, unserved, dead, judged, quality];

function connection({ status, why }) {
  return status === "lost"
    ? finding("bad", "Connection lost", `${why}. The figures below are the last that came.`)
    : null;
}

function log({ tick }) {
  return tick.log_up === false
    ? finding("bad", "Log down", "feedback is refused with 503 and must be sent again; scoring goes on.")
    : null;
}

function unstored({ ticks, now }) {
  const lost = growth(ticks, (tick) => tick.unstored ?? 0, RECENT_MS, now);
  return lost
    ? finding(
        "bad",
        "Events not stored",
        `${format.count(lost)} events of the last minute got no confirmation of the log; callers repeat them.`,
      )
    : null;
}

function fallback({ tick, step }) {
  if (tick.fallback && !tick.acknowledged && !step?.trained)
    return finding("idle", "No events yet", "the built-in prior answers. `winnow demo` plays some events.");
  return tick.fallback
    ? finding("warn", "Prior answers", "no version yet: the built-in prior scores until the first one is promoted.")
    : null;
}

function trainer({ tick, step, now, progress }) {
  const waiting = tick.oldest_untrained_s ?? 0;
  const silent = step ? (now - step.at_ms) / 1000 : null;
  if (silent === null && tick.acknowledged === 0 && waiting < SILENT_S) return null;
  if (silent === null)
    return finding(
      waiting > BEHIND_S ? "bad" : "warn",
      "Trainer not heard",
      "events wait, and no trainer has told of progress: is one running?",
    );
  if (silent > SILENT_S)
    return finding(
      waiting > SILENT_S ? "bad" : "warn",
      `Trainer silent: ${format.seconds(silent)}`,
      waiting > 1 ? `the oldest untrained event is ${format.seconds(waiting)} old.` : "nothing waits for it.",
    );
  if (waiting <= BEHIND_S) return null;
  const speed = newest(progress, (entry) => entry.trained) ?? 0;
  const rest = tick.lag_entries ? `${format.count(tick.lag_entries)} entries wait; ` : "";
  return finding(
    waiting > FAR_BEHIND_S ? "bad" : "warn",
    `Trainer behind: ${format.seconds(waiting)}`,
    `${rest}it learns ${format.count(speed)} events/s.`,
  );
}

function shedding({ ticks, now }) {
  const shed = growth(ticks, (tick) => tick.shed ?? 0, RECENT_MS, now);
  return shed
    ? finding(
        "warn",
        "Shedding",
        `${format.count(shed)} requests of the last minute were turned away with 503 for want of time.`,
      )
    : null;
}

// The trainer has learned what no served version has: publishing fails, or versions do not pass.
function unserved({ tick, step, now }) {
  if (!step || tick.fallback || tick.age_s === null || tick.age_s === undefined) return null;
  const late = Math.min(tick.age_s, (step.acknowledged_ms - (now - tick.age_s * 1000)) / 1000);
  return late > UNSERVED_S
    ? finding(
        "warn",
        `Model stale: ${format.seconds(tick.age_s)}`,
        `the trainer has learned ${format.seconds(late)} more than version ${tick.version} knows.`,
      )
    : null;
}

function dead({ progress, now }) {
  const lost = growth(progress, (entry) => entry.dead ?? 0, RECENT_MS, now);
  return lost
    ? finding(
        "warn",
        "Dead letters",
        `${format.count(lost)} events of the last minute could not be learned; each is kept with its reason.`,
      )
    : null;
}

function judged({ versions }) {
  const last = versions.slice(-3);
  if (last.length < 3 || last.some((each) => each.promoted)) return null;
  return finding(
    "warn",
    "No version promoted",
    `the last three were held or rejected: ${last.at(-1).reasons?.[0] ?? "no reason told"}.`,
  );
}

function quality({ step }) {
  if (!step || step.window_auc === null || step.window_positives < 100 || step.window_auc >= 0.5) return null;
  return finding("warn", `Window AUC ${format.ratio(step.window_auc)}`, "of late the model ranks worse than chance.");
}

function quiet({ ticks, progress, tick, step, now }) {
  const speed = newest(ticks, (each) => each.acknowledged) ?? 0;
  if (tick.acknowledged === 0 && !(step?.trained > 0))
    return finding("idle", "No events yet", "waiting for the first: `winnow demo` plays some.");
  const served = tick.fallback ? "" : ` Version ${tick.version} is ${format.seconds(tick.age_s)} old.`;
  const learns = newest(progress, (each) => each.trained) ?? 0;
  if (speed <= 0 && learns <= 0 && growth(ticks, (each) => each.acknowledged, RECENT_MS, now) === 0)
    return finding("idle", "Idle", `no events in the last minute; all that came are learned.${served}`);
  const behind = tick.oldest_untrained_s ?? 0;
  return finding(
    "good",
    "Healthy",
    `${format.count(Math.round(speed))} events/s come in, ${behind > 1 ? `the oldest untrained is ${format.seconds(behind)} old` : "none waits longer than a second"}.${served}`,
  );
}
