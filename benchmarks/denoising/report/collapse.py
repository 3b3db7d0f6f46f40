"""Paper IDL's collapse: how far what the model says of the unlabelled stands from the share of positives.

IDL sharpens what the model already believes, so it drifts to one side. A model is called one-sided where its mean
probability over the unlabelled is more than `ONE_SIDED` times the true share of positives, or less than that part of
the share it was shown: an honest model lies between the two.
"""

from benchmarks.denoising.report.markdown import number, table
from benchmarks.denoising.results import Entrant, Results
from trainer.gates import GatePolicy

ONE_SIDED = 4.0
ALARM = GatePolicy().max_pseudo_label_share  # share of pseudo-labels on the positive side at which the gate holds
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
            probability, target, side, shown, prior = _means(results, condition, entrant.name)
            sided = "**yes**" if is_one_sided(probability, shown, prior) else "no"
            alarm = "**fires**" if side > ALARM else "silent"
            means = [number(mean, 5) for mean in (probability, target, side, shown, prior)]
            rows.append([entrant.name, condition, *means, sided, alarm])
    heads = ["mean probability", "mean IDL target", "IDL targets over 1/2", "share shown positive", "share positive"]
    return table(["method", "condition", *heads, "one-sided", f"alarm (over {ALARM:g})"], rows)


def collapse_words(results: Results) -> str:
    """Return in words what the table says of `idl`, from its numbers."""
    conditions = results.conditions("stream")
    if not conditions or not results.series("stream", conditions[0], "idl", "idl_target_mean").values:
        return "Paper IDL was not measured on *stream*."
    probability, target, side, shown, prior = _means(results, conditions[0], "idl")
    sided = "one-sided" if is_one_sided(probability, shown, prior) else "not one-sided"
    return (
        f"Trained with paper IDL ({conditions[0]}), the model gives the unlabelled a mean probability of "
        f"{number(probability, 5)} and IDL a mean target of {number(target, 5)}, where {number(prior)} of the "
        f"exposures are positive; {number(side)} of the targets are over 1/2. That is {sided} by our bound (a factor "
        f"of {ONE_SIDED:g}), and the gate's alarm at {ALARM:g} {'fires' if side > ALARM else 'stays silent'}."
    )


def is_one_sided(probability: float, shown: float, prior: float) -> bool:
    """Whether a mean probability stands far outside of what the shares of positives, shown and true, allow."""
    return probability > ONE_SIDED * prior or probability < shown / ONE_SIDED


def _means(results: Results, condition: str, name: str) -> tuple[float, float, float, float, float]:
    probability, target, side, shown, prior = (
        results.series("stream", condition, name, figure).mean
        for figure in ("mean_probability", "idl_target_mean", "idl_positive_side", "shown_share", "prior")
    )
    return probability, target, side, shown, prior
