"""What every page of the serving benches says the same way: the verdict, where it was measured, quantiles."""

from collections.abc import Mapping, Sequence

from benchmarks.denoising.report.markdown import table

Verdict = tuple[str, bool | None, str]  # demand, met (None: open), what was seen
QUICK = "**A smoke run: these numbers claim nothing.**"
_WORDS = {True: "met", False: "**missed**", None: "open"}
_QUANTILES = ("p50_ms", "p90_ms", "p99_ms", "p99.9_ms", "max_ms")


def opening(title: str, machine: str, command: str, quick: bool) -> str:
    """Return the head of a page."""
    parts = [f"# {title}", *([QUICK] if quick else []), f"Median, least and largest of the rounds. {machine}"]
    return "\n\n".join([*parts, f"`{command}`"])


def verdict_table(verdicts: Sequence[Verdict], issue: int = 4) -> str:
    """Return the section that holds figures against the bars."""
    rows = [[demand, seen, _WORDS[met]] for demand, met, seen in verdicts]
    return f"## Verdict\n\nWhat issue {issue} demands under Must show.\n\n" + table(["demand", "seen", ""], rows)


def latency_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Return quantiles of latency in ms, a row a run, with how late the generator itself was."""
    headers = ["", "requests/s offered", *(name.removesuffix("_ms") for name in _QUANTILES), "errors", "generator p99"]
    body = [
        [
            name,
            f"{seen['rate']:,.0f}",
            *(f"{seen[quantile]:.2f}" for quantile in _QUANTILES),
            f"{seen['errors']:,.0f}",
            f"{seen['generator_late_p99_ms']:.2f}",
        ]
        for name, seen in rows.items()
    ]
    return table(headers, body)


def megabytes(count: float) -> str:
    """Return bytes in MB."""
    return f"{count / 1e6:,.1f}"
