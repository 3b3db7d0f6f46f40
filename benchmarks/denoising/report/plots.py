"""Plots as small SVG files: text stays text, no dates, fixed ids, so that equal results give equal files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.denoising.grid import DIALS, METAS
from benchmarks.denoising.paired import difference
from benchmarks.denoising.recovery import CONTROL_SCORES, W
from benchmarks.denoising.report.collapse import collapse_entrants
from benchmarks.denoising.results import Results

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "winnow",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
_FLOOR = 1e-6  # least mean that is drawn
_LINE = "both kinds of flip, prior 0.2, 5 % of the labels"
_OWN, _OTHER, _CONTROL = "#0b6e4f", "#555555", "#b0b0b0"


def draw_all(results: Results, directory: Path) -> dict[str, str]:
    """Write a plot for each protocol that was measured. Returns the file name by protocol, `collapse` among them."""
    directory.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_STYLE):
        drawn = {
            "stream": _stream(results),
            "dial": _dial(results),
            "recovery": _recovery(results),
            "collapse": _collapse(results),
        }
        files = {}
        for name, figure in drawn.items():
            if figure is not None:
                files[name] = f"denoising-{name}.svg"
                figure.savefig(directory / files[name], metadata={"Date": None}, bbox_inches="tight")
    return files


def _panels(titles: Sequence[str], width: float, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width * len(titles), height), layout="constrained")
    axes = [figure.add_subplot(1, len(titles), place + 1) for place in range(len(titles))]
    for panel, title in zip(axes, titles, strict=True):
        panel.set_title(title, fontsize=9)
    return figure, axes


def _stream(results: Results) -> Figure | None:
    """Draw the AUC of every method less the best control's, one panel for each share of labels."""
    conditions = [name for name in results.conditions("stream") if results.best_control("stream", name, "auc")]
    if not conditions:
        return None
    most = max(len(results.methods("stream", condition)) for condition in conditions)
    figure, axes = _panels(conditions, 4.2, 0.6 + 0.19 * most)
    for panel, condition in zip(axes, conditions, strict=True):
        best = results.best_control("stream", condition, "auc")
        entrants = results.methods("stream", condition)[::-1]
        for place, entrant in enumerate(entrants):
            gap = best and difference(results.series("stream", condition, entrant.name, "auc"), best[1])
            if gap:
                colour = _OWN if entrant.is_default else _CONTROL if entrant.is_control else _OTHER
                panel.plot([gap.low, gap.high], [place, place], color=colour)
                panel.plot([gap.value], [place], "o", color=colour, markersize=4)
        panel.set_yticks(range(len(entrants)), [entrant.name for entrant in entrants])
        panel.locator_params(axis="x", nbins=5)
        panel.axvline(0, color="black", linewidth=0.8)
        panel.set_xlabel(f"AUC − AUC of {best[0].name if best else ''} (95 %)")
    return figure


def _dial(results: Results) -> Figure | None:
    """Draw AUC against the chance of a flip, a line for each meta, a panel for each target."""
    line = [dial for dial in DIALS if dial.kind == "both" and (dial.prior, dial.label_share) == (0.2, 0.05)]
    measured = [dial for dial in line if results.methods("dial", dial.title)]
    if not measured:
        return None
    figure, axes = _panels([f"target {name}\n{_LINE}" for name in ("watch", "evidence")], 4.6, 3.2)
    for panel, target in zip(axes, ("watch", "evidence"), strict=True):
        for meta in ("none", *METAS):
            name = target if meta == "none" else f"{target} + {meta}"
            means = [results.series("dial", dial.title, name, "auc").mean for dial in measured]
            panel.plot([dial.flip for dial in measured], means, marker="o", markersize=3, linewidth=1, label=meta)
        panel.set_xlabel("chance that the watch lies")
        panel.set_ylabel("AUC against the truth")
    axes[-1].legend(fontsize=7, bbox_to_anchor=(1.02, 1.0), loc="upper left")
    return figure


def _recovery(results: Results) -> Figure | None:
    """Draw the AUC of every score for hidden positives, with its spread over seeds."""
    conditions = results.conditions("recovery")
    default = results.default("recovery", conditions[0]) if conditions else None
    if default is None:
        return None
    figure, (panel,) = _panels([f"hidden positives found, {default.name}"], 5.0, 2.6)
    scores = [W, *CONTROL_SCORES][::-1]
    series = [results.series("recovery", conditions[0], default.name, f"auc {score}") for score in scores]
    for place, (score, found) in enumerate(zip(scores, series, strict=True)):
        spread = 0.0 if found.spread != found.spread else found.spread
        panel.errorbar(found.mean, place, xerr=spread, fmt="o", color=_OWN if score == W else _OTHER)
    panel.set_yticks(range(len(scores)), scores)
    panel.set_xlabel("AUC, mean ± spread over seeds")
    return figure


def _collapse(results: Results) -> Figure | None:
    """Draw what the model and paper IDL's target say of the unlabelled on average, beside the true share."""
    conditions = results.conditions("stream")
    entrants = collapse_entrants(results, conditions[0])[::-1] if conditions else []
    if not entrants:
        return None
    figure, (panel,) = _panels([f"the unlabelled on average, {conditions[0]}"], 5.6, 1.0 + 0.3 * len(entrants))
    for name, label, above, colour in (
        ("mean_probability", "model's probability", 0.2, _CONTROL),
        ("idl_target_mean", "IDL's target", -0.2, _OTHER),
    ):
        means = [results.series("stream", conditions[0], entrant.name, name).mean for entrant in entrants]
        places = [place + above for place in range(len(entrants))]
        panel.barh(places, [max(mean, _FLOOR) for mean in means], height=0.38, color=colour, label=label)
    panel.set_yticks(range(len(entrants)), [entrant.name for entrant in entrants])
    prior = results.series("stream", conditions[0], entrants[0].name, "prior").mean
    panel.axvline(prior, color=_OWN, linewidth=1.2, label="true share of positives")
    panel.set_xscale("log")
    panel.set_xlim(_FLOOR, 1.0)
    panel.legend(fontsize=7, bbox_to_anchor=(1.02, 1.0), loc="upper left")
    return figure
