// What became of a publication, in a word, and as a mark on the axis of time.

const WORDS = { promoted: ["promoted", "good"], held: ["held", "warn"], rejected: ["rejected", "bad"] };

// promoted, held or rejected. One that passed its gates but was not put in place (a pin) counts as held.
export function fate(version) {
  if (version.promoted) return "promoted";
  return String(version.verdict).toUpperCase() === "REJECT" ? "rejected" : "held";
}

// The word and the colour of a fate: ["promoted", "good"].
export function fateWord(version) {
  return WORDS[fate(version)];
}

// A version of the live stream as a mark of a chart.
export function markOf(version) {
  const reasons = (version.reasons ?? []).slice(0, 2).join("; ");
  return {
    at: version.at_ms,
    label: `${version.version ?? "no version"} ${fate(version)}`,
    note: reasons,
    kind: fate(version),
  };
}
