"""The page of the denoising bench, made from the Parquet alone: nothing on it is written by hand but the words."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.denoising.report.collapse import collapse_table, collapse_words
from benchmarks.denoising.report.comparisons import BETTER, WORSE, Family, against_best_controls
from benchmarks.denoising.report.plots import draw_all
from benchmarks.denoising.report.tables import (
    dial_speed_table,
    dial_table,
    recovery_methods_table,
    recovery_table,
    split_table,
    stream_table,
)
from benchmarks.denoising.report.verdict import verdict
from benchmarks.denoising.resampling import RESAMPLES
from benchmarks.denoising.results import Results

_ABOUT = {
    "stream": "The KuaiRand log in time order, predict then learn. Positive: like, follow, comment or forward against "
    "all other exposures, also where the learner was not shown the word. GAUC and NDCG@10 score each user-day under "
    "one model state. Log loss and ECE are of the score divided by the share of labels shown.",
    "split": "MovieLens-1M, learned once through in a seeded order, scored under the final state. Words left out leave "
    "a rated pair of which nothing is said. GAUC is by user; log loss and ECE are of the score as served.",
    "dial": "Exposures and truth of the simulator; the watch lies as often as the dial says; explicit words are true. "
    "AUC of the logit against the truth on the later half of the stream, scored before learned. `oracle` is the AUC of "
    "the simulated probability itself. All without the cascade, so that only the target of the unlabelled differs.",
    "recovery": "Half of the explicit positives hidden. AUC and ECE for the hidden among all that is unlabelled. "
    "`counts+cell` sums log-odds of past rates (strength 20) of user, item and watch decile; shown labels of earlier "
    "events only. It reads every earlier event, the learner batches and a waiting queue behind.",
}
_HEADS = {"stream": "Stream", "split": "Split", "dial": "Noise dial", "recovery": "Recovery"}


def write_page(results: Results, path: Path) -> None:
    """Write the page, and its plots beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plots = draw_all(results, path.parent)
    path.write_text("\n\n".join(_parts(results, plots)) + "\n")


def _parts(results: Results, plots: Mapping[str, str]) -> Iterator[str]:
    about = results.about
    yield "# Denoising bench"
    yield "Made by `winnow bench denoise` from its results; edit `benchmarks/denoising/report/`, not this page."
    if about.get("quick"):
        yield "**A smoke run: one user in forty, a handful of cells. Its numbers claim nothing.**"
    if about.get("tuning"):
        yield "**Measured on the tuning windows; these are not the reported figures.**"
    yield _how(results)
    yield "## Verdict"
    yield 'The demands of issue 3 under "Must show", by their numbers there.'
    yield "\n".join(claim.words for claim in verdict(results))
    sections = {"stream": _ranking, "split": _ranking, "dial": _dial, "recovery": _recovery}
    for protocol, section in sections.items():
        yield f"## {_HEADS[protocol]}"
        yield _ABOUT[protocol]
        if not results.conditions(protocol):
            yield f"Not measured yet: `{_command(results, protocol)}`."
            continue
        if protocol in plots:
            yield f"![{_HEADS[protocol]}]({plots[protocol]})"
        yield from section(results, protocol)
    if results.conditions("stream"):
        yield "## The collapse of paper IDL"
        yield collapse_words(results)
        if "collapse" in plots:
            yield f"![Collapse]({plots['collapse']})"
        yield _above(results, "stream") + collapse_table(results)
    if about.get("refused") or about.get("failed"):
        yield "## Left out"
        yield "\n".join(f"- `{name}`: {why}" for part in ("refused", "failed") for name, why in about[part].items())


def _how(results: Results) -> str:
    about = results.about
    machine = about.get("machine", {})
    lines = [
        f"Seeds: {about.get('seeds')}. Numbers are means ± standard deviation over seeds. Differences are paired and "
        f"averaged over seeds inside each of {RESAMPLES:,} resamples of users; brackets hold the 95 % interval.",
        "The best control is chosen on the reported data, which favours the control. Controls are plain GMF without "
        "cascade, with the same side features and settings as every other method.",
        f"{BETTER.strip()} and {WORSE.strip()} mark differences that Holm's test names at 5 % over all comparisons of "
        "a protocol and figure.",
        "Tuning: the stream and recovery are tuned on 25-27 April and reported on 28-30 April (UTC+8), MovieLens on a "
        "tenth of its training part, the dial on other worlds (`--tune`).",
        f"Machine: {machine.get('cpu')}, {machine.get('cores')} cores, {about.get('jobs')} cells at once with one "
        f"thread each; Python {machine.get('python')}, torch {machine.get('torch')}, numpy {machine.get('numpy')}. "
        f"Code {about.get('code')}; {about.get('cells')} of {about.get('planned')} cells. Events/s are of learning "
        "alone, measured beside the other cells.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _ranking(results: Results, protocol: str) -> Iterator[str]:
    family: dict[str, Family] = {figure: against_best_controls(results, protocol, figure) for figure in ("auc", "gauc")}
    draw = stream_table if protocol == "stream" else split_table
    for condition in results.conditions(protocol):
        yield f"### {_HEADS[protocol]}: {condition}"
        yield _above(results, protocol) + draw(results, condition, family["auc"], family["gauc"])


def _dial(results: Results, protocol: str) -> Iterator[str]:
    for target in ("watch", "evidence"):
        for reference in ("none", "coin-flip"):
            yield f"### Target `{target}` against meta `{reference}`"
            yield _above(results, protocol) + dial_table(results, target, reference)
    yield "### Speed on the dial"
    yield _above(results, protocol) + dial_speed_table(results)


def _recovery(results: Results, protocol: str) -> Iterator[str]:
    for condition in results.conditions(protocol):
        default = results.default(protocol, condition)
        if default:
            yield f"### Scores beside w of `{default.name}`"
            yield _above(results, protocol) + recovery_table(results, condition, default)
        yield "### Other learners"
        yield _above(results, protocol) + recovery_methods_table(results, condition)


def _above(results: Results, protocol: str) -> str:
    return f"`{_command(results, protocol)}`\n\n"


def _command(results: Results, protocol: str) -> str:
    return str(results.about.get("command", "winnow bench denoise --only {only}")).format(only=protocol)
