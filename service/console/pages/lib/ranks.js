// Two rankings of the same items side by side.

// Each item of `items` (best first) with its rank, and rank, score and change of rank in `others`, null where it is absent.
// `moved` is positive where the other version ranks it higher.
export function beside(items, others) {
  const place = new Map((others ?? []).map((item, at) => [item.item_id, { rank: at + 1, item }]));
  return items.map((item, at) => {
    const other = place.get(item.item_id);
    return {
      ...item,
      rank: at + 1,
      other: other?.item ?? null,
      otherRank: other?.rank ?? null,
      moved: other ? at + 1 - other.rank : null,
    };
  });
}

// The parts of a logit but the base, the largest first: [{part, value}].
export function telling(reasons) {
  const parts = Object.entries(reasons ?? {}).filter(([part]) => part !== "base");
  return parts
    .map(([part, value]) => ({ part, value }))
    .sort((one, other) => Math.abs(other.value) - Math.abs(one.value));
}

// "v1, v2 v3" or one a line -> ["v1", "v2", "v3"], each once.
export function pasted(text) {
  return [...new Set(text.split(/[\s,;]+/).filter(Boolean))];
}
