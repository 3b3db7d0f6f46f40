// From counts that only grow to how fast they grow, and several rings onto one axis of time.

// Growth a second at each entry, over the last `overMs`: [{at, value}]. Where a count went back (a restart) or nothing was
// told for `gapMs`, value is null and counting starts anew: never a negative rate, never one across a gap.
export function rates(ring, of, { overMs = 5_000, gapMs = 10_000 } = {}) {
  const found = [];
  let first = 0; // the oldest entry that may still be compared with
  for (let at = 0; at < ring.length; at += 1) {
    const now = ring[at];
    const before = ring[at - 1];
    if (before && (of(now) < of(before) || now.at_ms - before.at_ms > gapMs)) first = at;
    while (first < at - 1 && now.at_ms - ring[first + 1].at_ms >= overMs) first += 1;
    const passed = (now.at_ms - ring[first].at_ms) / 1000;
    found.push({ at: now.at_ms, value: passed > 0 ? (of(now) - of(ring[first])) / passed : null });
  }
  return found;
}

// The newest rate that is known, or null.
export function newest(ring, of, options) {
  const told = rates(ring.slice(-30), of, options);
  return told.length ? told.at(-1).value : null;
}

// How much a count grew within the last `overMs` before `now`; what it lost in a restart is not taken off.
export function growth(ring, of, overMs, now) {
  let sum = 0;
  for (let at = ring.length - 1; at > 0 && ring[at].at_ms > now - overMs; at -= 1)
    sum += Math.max(0, of(ring[at]) - of(ring[at - 1]));
  return sum;
}

// One figure of a ring: [{at, value}].
export function figures(ring, of) {
  return ring.map((entry) => ({ at: entry.at_ms, value: of(entry) ?? null }));
}

// Several lists of {at, value} on one axis: [xs, ys, ys, ...] with a place every stepMs. A place takes the newest value
// that is not older than holdMs, so that two rings that tick a little apart draw unbroken lines, and a silence a gap.
// fromMs and toMs are the ends of the axis, for charts that stand side by side; without them it is as long as the lists.
export function aligned(lists, { stepMs = 1_000, holdMs = 3_500, fromMs = null, toMs = null } = {}) {
  const ends = lists.flatMap((list) => (list.length ? [list[0].at, list.at(-1).at] : []));
  if (fromMs !== null) ends.push(fromMs);
  if (!ends.length) return [[], ...lists.map(() => [])];
  const start = fromMs ?? Math.min(...ends);
  const end = toMs ?? Math.max(...ends);
  const xs = [];
  for (let x = end; x >= start && xs.length < 2_000; x -= stepMs) xs.push(x);
  xs.reverse();
  return [xs, ...lists.map((list) => held(list, xs, holdMs))];
}

function held(list, xs, holdMs) {
  let next = 0;
  return xs.map((x) => {
    while (next < list.length && list[next].at <= x) next += 1;
    const found = list[next - 1];
    return found && x - found.at <= holdMs ? found.value : null;
  });
}
