"""What issue 3 demands of denoising ("Must show" 1, 2 and 4), checked against the numbers and said plainly."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.denoising.method import COIN_FLIP, INVERSE_GRADIENTS
from benchmarks.denoising.paired import Difference, Series, difference
from benchmarks.denoising.recovery import COUNTS, D2Q, Recovery, W, Y
from benchmarks.denoising.report.markdown import number, signed
from benchmarks.denoising.results import Results
from benchmarks.denoising.stream import Stream

RECOVERY_AUC, RECOVERY_ECE = 0.83, 0.002
ABOVE = {D2Q: 0.08, Y: 0.06, COUNTS: 0.015}
MAY_TRAIL = {"auc": 0.002, "gauc": 0.005}
SPARSE, SPARSE_GAIN = 0.05, 0.02
LEVEL_AUC, AIM_AUC = 0.79, 0.80


@dataclass(frozen=True)
class Claim:
    """A demand, what was measured, and whether it is met; None where there is nothing to judge by."""

    number: int
    demand: str
    measured: str
    met: bool | None

    @property
    def words(self) -> str:
        """One line of the verdict."""
        verdict = {True: "met", False: "**missed**", None: "not measured"}[self.met]
        return f"- {self.number}. {self.demand}: {verdict}. {self.measured}".rstrip()


def verdict(results: Results) -> list[Claim]:
    """Check every demand."""
    return [*_recovery(results), *_no_control_is_better(results), *_levels(results), _inverse_gradient(results)]


def _recovery(results: Results) -> Iterator[Claim]:
    condition = Recovery().title
    default = results.default("recovery", condition)

    def of(figure: str) -> Series:
        return results.series("recovery", condition, default.name if default else "", figure)

    belief, error = of(f"auc {W}"), of(f"ece {W}")
    yield _at_least(1, f"AUC of w at least {RECOVERY_AUC}", belief.mean, RECOVERY_AUC)
    for score, bound in ABOVE.items():
        gap = difference(belief, of(f"auc {score}"))
        met = None if gap is None else gap.value >= bound and (score != COUNTS or gap.interval(len(ABOVE))[0] > 0)
        also = f", Bonferroni interval over {len(ABOVE)} scores above zero" if score == COUNTS else ""
        yield Claim(1, f"w at least {bound} above {score}{also}", signed(gap), met)
    met = None if math.isnan(error.mean) else error.mean <= RECOVERY_ECE
    yield Claim(1, f"ECE of w at most {RECOVERY_ECE}", number(error.mean, 5), met)


def _no_control_is_better(results: Results) -> Iterator[Claim]:
    for figure, bound in MAY_TRAIL.items():
        gaps: list[tuple[float, str, Difference | None]] = []
        for protocol in ("stream", "split"):
            for condition in results.conditions(protocol):
                default = results.default(protocol, condition)
                control = results.best_control(protocol, condition, figure)
                if default and control:
                    own = results.series(protocol, condition, default.name, figure)
                    where = f"{protocol}, {condition}, against {control[0].name}"
                    gaps.append((own.mean - control[1].mean, where, difference(own, control[1])))
        worst = min(gaps, key=lambda found: found[0], default=None)
        trailing = sum(gap < -bound for gap, *_ in gaps)
        measured = f"Worst: {signed(worst[2])} ({worst[1]}); {trailing} of {len(gaps)} cells trail." if worst else ""
        demand = f"the default is below no control by more than {bound} {figure.upper()} in any cell"
        yield Claim(2, demand, measured, None if worst is None else trailing == 0)


def _levels(results: Results) -> Iterator[Claim]:
    sparse, full = Stream(SPARSE).title, Stream(1.0).title
    default = results.default("stream", sparse)
    control = results.series("stream", sparse, "negative", "auc")
    gap = difference(results.series("stream", sparse, default.name, "auc"), control) if default else None
    met = None if gap is None else gap.value >= SPARSE_GAIN and gap.low > 0
    yield Claim(2, f"at {sparse} at least +{SPARSE_GAIN} AUC above `negative`, interval above zero", signed(gap), met)
    default = results.default("stream", full)
    level = results.series("stream", full, default.name if default else "", "auc").mean
    yield _at_least(2, f"AUC of the default at {full} at least {LEVEL_AUC}", level, LEVEL_AUC)
    yield _at_least(2, f"(aim) AUC of {AIM_AUC}", level, AIM_AUC)
    control_gauc = results.best_control("stream", full, "gauc")
    gain = (
        difference(results.series("stream", full, default.name, "gauc"), control_gauc[1])
        if default and control_gauc
        else None
    )
    yield Claim(
        2,
        "(aim) GAUC gain over the best control, interval above zero",
        signed(gain),
        None if gain is None else gain.low > 0,
    )


def _inverse_gradient(results: Results) -> Claim:
    """Look for an IG variant above `none` and above the coin flip at once, at a level for all that was tried."""
    trials = list(_trials(results))
    demand = "one IG variant above meta `none` and above a coin flip, both intervals above zero"
    if not trials:
        return Claim(4, demand, "", None)
    shown = [trial for trial in trials if all(gap.interval(len(trials))[0] > 0 for gap in trial[1:])]
    name, over_none, over_coin = max(shown or trials, key=lambda trial: min(gap.value for gap in trial[1:]))
    tried = f"{len(trials)} variants and conditions tried (Bonferroni), {len(shown)} pass"
    seeds = f"above them in {over_none.above} and {over_coin.above} of {over_none.seeds} seeds"
    best = f"{tried}; best: {name}: {signed(over_none)} over none, {signed(over_coin)} over the coin flip, {seeds}"
    return Claim(4, demand, best, bool(shown))


def _trials(results: Results) -> Iterator[tuple[str, Difference, Difference]]:
    for protocol in ("dial", "stream"):
        for condition in results.conditions(protocol):
            by_method = {entrant.method: entrant.name for entrant in results.methods(protocol, condition)}
            for method, name in by_method.items():
                if method.meta not in INVERSE_GRADIENTS:
                    continue
                own = results.series(protocol, condition, name, "auc")
                gaps = [
                    difference(own, results.series(protocol, condition, other, "auc"))
                    for meta in ("none", COIN_FLIP)
                    if (other := by_method.get(replace(method, meta=meta)))
                ]
                if len(gaps) == 2 and gaps[0] is not None and gaps[1] is not None:
                    yield f"{name} on {protocol}, {condition}", gaps[0], gaps[1]


def _at_least(place: int, demand: str, value: float, bound: float) -> Claim:
    return Claim(place, demand, number(value), None if math.isnan(value) else value >= bound)
