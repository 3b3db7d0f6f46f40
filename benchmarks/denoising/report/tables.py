"""One table for each protocol and condition."""

from benchmarks.denoising.method import COIN_FLIP, INVERSE_GRADIENTS
from benchmarks.denoising.paired import difference
from benchmarks.denoising.recovery import CONTROL_SCORES, IDL_TARGET, W, Y
from benchmarks.denoising.report.comparisons import Family
from benchmarks.denoising.report.markdown import DASH, number, signed, table, whole, with_spread
from benchmarks.denoising.results import Entrant, Results

_STREAM_FIGURES = {
    "NDCG@10": "ndcg_at_10",
    "log loss": "log_loss",
    "ECE": "ece",
    "like/hate AUC": "hate_auc",
    "by dislike head": "hate_auc_by_dislike",
    "long view AUC": "long_view_auc",
}
_SPLIT_FIGURES = {"log loss": "log_loss", "ECE": "ece"}


def stream_table(results: Results, condition: str, by_auc: Family, by_gauc: Family) -> str:
    """Return all methods under one condition of *stream*."""
    return _ranking_table(results, "stream", condition, _STREAM_FIGURES, by_auc, by_gauc)


def split_table(results: Results, condition: str, by_auc: Family, by_gauc: Family) -> str:
    """Return all methods under one condition of *split*."""
    return _ranking_table(results, "split", condition, _SPLIT_FIGURES, by_auc, by_gauc)


def dial_table(results: Results, target: str, reference: str) -> str:
    """Return how every meta differs from a reference meta, one row a condition of *dial*, for one target."""
    metas = _metas(results, target)
    tested = [meta for meta in metas if meta != reference and (reference == "none" or meta in INVERSE_GRADIENTS)]
    rows = []
    for condition in results.conditions("dial"):
        series = {meta: results.series("dial", condition, _named(target, meta), "auc") for meta in metas}
        if reference not in series or not series[reference].values:
            continue
        gaps = [signed(difference(series[meta], series[reference])) for meta in tested]
        oracle = results.series("dial", condition, _named(target, reference), "oracle_auc")
        rows.append([condition, number(oracle.mean), with_spread(series[reference]), *gaps])
    return table(["condition", "oracle", reference, *(f"{meta} − {reference}" for meta in tested)], rows)


def dial_speed_table(results: Results) -> str:
    """Return the mean speed of each method of *dial*."""
    conditions = results.conditions("dial")
    names = dict.fromkeys(entrant.name for condition in conditions for entrant in results.methods("dial", condition))
    rows = []
    for name in names:
        speeds = [results.series("dial", condition, name, "events_per_second").mean for condition in conditions]
        told = [speed for speed in speeds if speed == speed]
        rows.append([name, f"{sum(told) / len(told):,.0f}" if told else DASH])
    return table(["method", "events/s"], rows)


def recovery_table(results: Results, condition: str, entrant: Entrant) -> str:
    """Return every score beside one learner's belief w."""

    def of(kind: str, score: str) -> str:
        return with_spread(results.series("recovery", condition, entrant.name, f"{kind} {score}"))

    belief = results.series("recovery", condition, entrant.name, f"auc {W}")
    rows = []
    for score in (W, *CONTROL_SCORES):
        other = results.series("recovery", condition, entrant.name, f"auc {score}")
        rows.append(
            [score, of("auc", score), of("ece", score), DASH if score == W else signed(difference(belief, other))]
        )
    return table(["score", "AUC", "ECE", "AUC of w − AUC of the score [95 %]"], rows)


def recovery_methods_table(results: Results, condition: str) -> str:
    """Return the belief of every method, and paper IDL's target under it."""
    rows = []
    for entrant in results.methods("recovery", condition):

        def of(figure: str, name: str = entrant.name) -> str:
            return with_spread(results.series("recovery", condition, name, figure))

        speed = whole(results.series("recovery", condition, entrant.name, "events_per_second"))
        figures = [of(f"{kind} {score}") for score in (W, Y, IDL_TARGET) for kind in ("auc", "ece")]
        rows.append([_label(entrant), *figures, speed])
    headers = [f"{kind} of {score}" for score in (W, Y, "IDL's target") for kind in ("AUC", "ECE")]
    return table(["method", *headers, "events/s"], rows)


def _ranking_table(
    results: Results, protocol: str, condition: str, others: dict[str, str], by_auc: Family, by_gauc: Family
) -> str:
    entrants = results.methods(protocol, condition)
    measured = {
        head: figure
        for head, figure in others.items()
        if any(results.series(protocol, condition, entrant.name, figure).values for entrant in entrants)
    }
    controls = [results.best_control(protocol, condition, figure) for figure in ("auc", "gauc")]
    against = [found[0].name if found else DASH for found in controls]
    rows = []
    for entrant in entrants:
        place = condition, entrant.name
        gaps = [
            signed(found.difference, found.mark) if (found := family.get(place)) else DASH
            for family in (by_auc, by_gauc)
        ]
        auc, gauc, *rest = (
            results.series(protocol, *place, figure)
            for figure in ("auc", "gauc", *measured.values(), "events_per_second")
        )
        means = [number(series.mean) for series in rest[:-1]]
        rows.append([_label(entrant), with_spread(auc), gaps[0], with_spread(gauc), gaps[1], *means, whole(rest[-1])])
    heads = ["method", "AUC", f"− {against[0]} [95 %]", "GAUC", f"− {against[1]} [95 %]", *measured, "events/s"]
    return table(heads, rows)


def _label(entrant: Entrant) -> str:
    if entrant.is_default:
        return f"**{entrant.name}** (default)"
    return f"{entrant.name} (control)" if entrant.is_control else entrant.name


def _named(target: str, meta: str) -> str:
    return target if meta == "none" else f"{target} + {meta}"


def _metas(results: Results, target: str) -> list[str]:
    found: dict[str, None] = {}
    for condition in results.conditions("dial"):
        for entrant in results.methods("dial", condition):
            if entrant.method.target == target and entrant.name == _named(target, entrant.method.meta):
                found[entrant.method.meta] = None
    return sorted(found, key=["none", "ig", "ig-local", "ig-sequential", "l2rw", COIN_FLIP].index)
