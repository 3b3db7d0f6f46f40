"""The page of `winnow bench chaos`: fault, how, invariant, figures, held or not, and what was not run."""

import datetime
from collections.abc import Sequence

from benchmarks.chaos.campaign import Line
from benchmarks.chaos.scenario import Figure
from benchmarks.denoising.report.markdown import table

_METHOD = (
    "A ledger of its own process sends feedback, repeats it until it is acknowledged, and writes down what was. In the "
    "end its ids are compared with the label log and the dead letters on disk, and the weights, bit by bit, with those "
    "of a trainer that learned the same log entries undisturbed. The product's counters judge nothing. Times are of a "
    "machine that does the load as well."
)
_HELD = {True: "held", False: "**broken**", None: "not run"}


def render(lines: Sequence[Line], machine: str, command: str, day: datetime.date, left_out: Sequence[str] = ()) -> str:
    """Return the page in Markdown. `left_out` are scenarios that were not asked for."""
    ran = [line for line in lines if line.holds is not None]
    held = sum(line.holds is True for line in ran)
    missed = [line for line in ran if line.missed]
    rows = [[f"`{one.scenario}`", one.fault, one.invariant, said(one), _verdict(one)] for one in ran]
    return (
        "\n\n".join(
            [
                "# Faults",
                f"{held} of {len(ran)} scenarios lost nothing, doubled nothing and served nothing wrong; "
                f"{len(missed)} missed a bar of speed or quality. {day.isoformat()}, {machine}",
                f"`{command}`",
                _METHOD,
                table(["scenario", "fault, and how", "invariant", "figures", "verdict"], rows, of_text=True),
                "## What broke",
                _list([f"`{one.scenario}`: {_cell(one.why)}" for one in ran if one.holds is False]),
                "## Bars that were missed",
                _list([f"`{one.scenario}`: {_cell(one.missed)}" for one in missed]),
                "## What was not run",
                _list(
                    [
                        *(f"`{one.scenario}`: {_cell(one.why)}" for one in lines if one.holds is None),
                        *(f"`{name}`: not asked for" for name in left_out),
                        *_limits(lines),
                    ]
                ),
            ]
        )
        + "\n"
    )


def _verdict(line: Line) -> str:
    verdict = "held, a bar missed" if line.holds and line.missed else _HELD[line.holds]
    return (
        f"{verdict}, at the second try: the first showed nothing, {_cell(line.first_try)}"
        if line.first_try
        else verdict
    )


def said(line: Line) -> str:
    """Return a line's figures in words."""
    return _cell(", ".join([*(f"{name.replace('_', ' ')} {_number(value)}" for name, value in line.figures.items()),
                            f"{line.seconds:g} s in all"]))  # fmt: skip


def _limits(lines: Sequence[Line]) -> list[str]:
    short = any(line.effort == "short" for line in lines)
    return [
        *(["the long counts: this was a short run; `make chaos-long` takes hours"] if short else []),
        "a disk that lies about fsync, a power cut, and the failover of a Redis with replicas: none of "
        "them is promised (see [operations](../operations.md))",
    ]


def _list(rows: Sequence[str]) -> str:
    return "\n".join(f"- {row}" for row in rows) or "Nothing."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _number(value: Figure) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
