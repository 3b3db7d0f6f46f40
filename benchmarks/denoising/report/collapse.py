"""Paper IDL's collapse: how far the targets it gives the unlabelled stand from the share of positives.

IDL sharpens what the model already believes, so it drifts to the majority class. One-sidedness is how many times rarer
the smaller class is among the targets than it should be (`models.targets.one_sidedness`); above the gate's bound it is
a collapse, and the trainer's gauge of the same name shows it while it learns.
"""

from benchmarks.denoising.report.markdown import number, table
from benchmarks.denoising.results import Entrant, Results
from models.targets import one_sidedness
from trainer.gates import GatePolicy

ALARM = GatePolicy().max_target_one_sidedness
_TARGETS = ("bce", "negative", "idl", "idl-aligned")


def collapse_entrants(results: Results, condition: str) -> list[Entrant]:
    """Return the methods that are set side by side: the default, IDL in its forms, and two plain targets."""
    return [
        entrant
        for entrant in results.methods("stream", condition)
        if entrant.is_default
        or (entrant.method.target in _TARGETS and entrant.method.backbone == "gmf" and not entrant.method.cascade)
    ]


def collapse_table(results: Results) -> str:
    """Return where the models and IDL's target stand under every condition of *stream*."""
    rows = []
    for condition in results.conditions("stream"):
        for entrant in collapse_entrants(results, condition):
            probability, target, shown = _means(results, condition, entrant.name)
            sided = one_sidedness(target, shown)
            alarm = "**fires**" if sided > ALARM else "silent"
            means = [number(mean, 5) for mean in (probability, target, shown)]
            rows.append([entrant.name, condition, *means, f"{sided:,.0f}", alarm])
    heads = ["mean probability", "mean IDL target", "share shown positive", "one-sidedness"]
    return table(["method", "condition", *heads, f"alarm (over {ALARM:g})"], rows)


def collapse_words(results: Results) -> str:
    """Return in words what the table says of `idl`, from its numbers."""
    conditions = results.conditions("stream")
    if not conditions or not results.series("stream", conditions[0], "idl", "idl_target_mean").values:
        return "Paper IDL was not measured on *stream*."
    probability, target, shown = _means(results, conditions[0], "idl")
    sided = one_sidedness(target, shown)
    return (
        f"Trained with paper IDL ({conditions[0]}), the model gives the unlabelled a mean probability of "
        f"{number(probability, 5)} and IDL a mean target of {number(target, 5)}, where {number(shown)} of the "
        f"exposures were shown as positive: a factor of {sided:,.0f}, and the alarm at {ALARM:g} "
        f"{'fires' if sided > ALARM else 'stays silent'}. With silence as the majority class, IDL ends as `negative` "
        "does; where positives are the majority, it ends on their side."
    )


def _means(results: Results, condition: str, name: str) -> tuple[float, float, float]:
    probability, target, shown = (
        results.series("stream", condition, name, figure).mean
        for figure in ("mean_probability", "idl_target_mean", "shown_share")
    )
    return probability, target, shown
