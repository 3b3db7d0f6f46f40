// Directions over time: which share of the examples of a group went which way.

export const WAYS = ["direct", "keep", "inverse"];
export const GROUPS = ["swipe", "none", "complete", "loop", "background"];

const FINE_MS = 10_000;
const COARSE_MS = 60_000;
const FINE_UNTIL_MS = 300_000;

// Whether a decision came of trial steps, and so has losses.
export function tried(entry) {
  return Boolean(entry.losses) && WAYS.some((way) => entry.losses[way] !== null && entry.losses[way] !== undefined);
}

// Examples of one decision by direction, of one evidence group or "all".
export function examples(entry, group) {
  const groups = group === "all" ? Object.values(entry.groups ?? {}) : [entry.groups?.[group] ?? {}];
  return WAYS.map((way) => groups.reduce((sum, counts) => sum + (counts[way] ?? 0), 0));
}

// [starts, shares of direct, keep, inverse] by the minute, or by ten seconds while there are few minutes.
export function binned(ring, group) {
  if (!ring.length) return [[], ...WAYS.map(() => [])];
  const step = ring.at(-1).at_ms - ring[0].at_ms < FINE_UNTIL_MS ? FINE_MS : COARSE_MS;
  const sums = new Map();
  for (const entry of ring) {
    const start = Math.floor(entry.at_ms / step) * step;
    const sum = sums.get(start) ?? WAYS.map(() => 0);
    examples(entry, group).forEach((counted, place) => (sum[place] += counted));
    sums.set(start, sum);
  }
  const xs = [];
  for (let x = Math.min(...sums.keys()); x <= Math.max(...sums.keys()); x += step) xs.push(x);
  const share = (x, place) => {
    const sum = sums.get(x) ?? [];
    const whole = sum.reduce((a, b) => a + b, 0);
    return whole ? sum[place] / whole : null;
  };
  return [xs, ...WAYS.map((_, place) => xs.map((x) => share(x, place)))];
}
