"""Every method of a protocol against the best control of its condition, judged as one family of comparisons."""

from dataclasses import dataclass

from benchmarks.denoising.paired import Difference, difference, holm
from benchmarks.denoising.results import Results

BETTER, WORSE = " ▲", " ▼"


@dataclass(frozen=True)
class Comparison:
    """A difference to the best control, and whether Holm's test over the family lets it be named."""

    control: str
    difference: Difference
    stands_out: bool

    @property
    def mark(self) -> str:
        """An arrow where the difference may be named."""
        if not self.stands_out:
            return ""
        return BETTER if self.difference.value > 0 else WORSE


Family = dict[tuple[str, str], Comparison]  # by condition and method


def against_best_controls(results: Results, protocol: str, figure: str) -> Family:
    """Compare all methods under all conditions of a protocol; the family is all of them."""
    found: dict[tuple[str, str], tuple[str, Difference]] = {}
    for condition in results.conditions(protocol):
        best = results.best_control(protocol, condition, figure)
        if best is None:
            continue
        for entrant in results.methods(protocol, condition):
            gap = difference(results.series(protocol, condition, entrant.name, figure), best[1])
            if gap is not None and entrant.name != best[0].name:
                found[condition, entrant.name] = best[0].name, gap
    stands_out = holm([gap.p_value for _, gap in found.values()])
    return {
        place: Comparison(control, gap, out)
        for (place, (control, gap)), out in zip(found.items(), stands_out, strict=True)
    }
