// Figures and states in words. Pure.

import { NOTHING, clock, count, day, seconds } from "../lib/format.js";

export const FLAGS = ["none", "swipe", "complete", "loop", "background"];
// Choices of how far back to look.
export const HOURS = [["1", "last hour"], ["6", "6 hours"], ["24", "24 hours"], ["72", "3 days"], ["168", "7 days"]];
export const LABELS = ["positive", "negative", "unlabelled"];

const FLAG_WORDS = {
  none: "watched in part",
  swipe: "swiped away",
  complete: "watched to the end",
  loop: "watched more than once",
  background: "played in the background",
};
const DIRECTION_WORDS = {
  direct: "Direct: trained toward this target",
  keep: "Keep: left out, the judges could not say which way",
  inverse: "Inverse: trained toward the opposite, 1 − target",
};

export const flagWords = (flag) => FLAG_WORDS[flag] ?? flag ?? "no watch";

export const directionWords = (direction) => DIRECTION_WORDS[direction] ?? direction ?? "no step was taken";

// Milliseconds of a watch beside its video: "4.2 of 9.0 s"; "no watch" where none was reported.
export function watched(watchMs, durationMs) {
  if (!Number.isFinite(watchMs)) return "no watch";
  const spent = (watchMs / 1000).toFixed(1);
  return durationMs > 0 ? `${spent} of ${(durationMs / 1000).toFixed(1)} s` : `${spent} s`;
}

// What the viewer did: "like, not interested".
export const said = (actions) => (actions?.length ? actions.join(", ").replaceAll("_", " ") : "nothing");

// A count with its word: "1 file", "3 files".
export const many = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

// What was read for an answer, in a sentence.
export function searchedWords(searched) {
  if (!searched) return "";
  const from = searched.from_ms ? `, ${clock(searched.from_ms)} to ${clock(searched.to_ms)}` : "";
  const read = `${many(searched.rows, "row")} in ${many(searched.files, "file")} read${from}, in ${seconds(searched.seconds)}.`;
  const damaged = searched.damaged ? ` ${many(searched.damaged, "file")} could not be read.` : "";
  return read + (searched.stopped ? " That is the most for one question: what is older was not looked at." : "") + damaged;
}

// A figure of a gate or a metric: a count, a share, a tiny gap, yes or no.
export function gauge(value) {
  if (value === true || value === false) return value ? "yes" : "no";
  if (typeof value === "string") return value;
  if (!Number.isFinite(value)) return NOTHING;
  if (Number.isInteger(value)) return count(value);
  return Math.abs(value) < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(4)));
}

// A time and how to read it in full: today's time of day is enough for most.
export const at = (ms) => (sameDay(ms) ? clock(ms) : day(ms));

const sameDay = (ms) => new Date(ms).toDateString() === new Date().toDateString();
