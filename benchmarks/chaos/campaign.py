"""The campaign: which scenarios there are, and one run of each in a directory of its own.

A scenario that raises does not hold, be it a deadline that passed or a fault of its own. Only one whose fault did not
come about as meant (`NotShown`), with no invariant broken, is run once more. One whose programs are missing is skipped
and said so. Nothing is left out in silence.
"""

import importlib
import importlib.util
import json
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from benchmarks.chaos.scenario import SCENARIOS, Effort, Figure, NotShown, Scenario
from contract.errors import SetupError

_TRACEBACK = "traceback.txt"
MODULES = (
    "kills",
    "network",
    "streams",
    "trouble",
    "disks",
    "files",
    "pairs",
    "crash_scenarios",
    "bad_models",
    "hostile",
    "fuzz",
    "schema_cases",
    "influence",
    "overload",
    "swaps",
    "slow_clients",
    "rolling",
    "cold_start",
    "soak",
)


@dataclass(frozen=True)
class Line:
    """How one scenario went; one JSON line."""

    scenario: str
    fault: str
    invariant: str
    holds: bool | None  # None: not run, `why` says why
    figures: dict[str, Figure] = field(default_factory=dict)
    seconds: float = 0.0
    effort: str = "short"
    seed: int = 1
    why: str = ""
    missed: str = ""  # bars of speed or quality
    first_try: str = ""  # why a first try showed nothing, where there was a second

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON takes it."""
        return asdict(self)


def load() -> dict[str, Scenario]:
    """Import every module of the campaign and return its scenarios in the order of the modules.

    Raises SetupError if one is missing: what it would have tried would be left out in silence.
    """
    for name in MODULES:
        module = f"{__package__}.{name}"
        if importlib.util.find_spec(module) is None:
            raise SetupError(f"{module} of the campaign is missing; restore it, or take its name out of MODULES")
        importlib.import_module(module)
    return SCENARIOS


def chosen(scenarios: dict[str, Scenario], only: Sequence[str], long: bool) -> list[Scenario]:
    """Return the scenarios that are to run: those named, else all. Raises SetupError on a name that is none's."""
    if strange := [name for name in only if name not in scenarios]:
        raise SetupError(f"--only {', '.join(strange)}: no such scenario; there are {', '.join(scenarios)}")
    return [one for name, one in scenarios.items() if name in only or not only]


def held_before(said: Path, effort: Effort) -> dict[str, Line]:
    """Return what held in a run that was cut or broke, by scenario. `said` is its standard output.

    Raises SetupError.
    """
    try:
        lines = [Line(**json.loads(line)) for line in said.read_text().splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise SetupError(f"--resume {said}: not the lines of a campaign ({error})") from error
    same = ("long" if effort.long else "short", effort.seed)
    return {line.scenario: line for line in lines if line.holds and (line.effort, line.seed) == same}


def run_all(
    scenarios: Sequence[Scenario], work: Path, effort: Effort, held: Mapping[str, Line] | None = None
) -> Iterator[Line]:
    """Run scenarios one after another, those that `held` before excepted, and yield how each went."""
    for one in scenarios:
        yield (held or {}).get(one.name) or run_one(one, work, effort)


def run_one(one: Scenario, work: Path, effort: Effort) -> Line:
    """Run a scenario in an empty directory of its own, which is kept if the invariant did not hold."""
    line = Line(one.name, one.fault, one.invariant, None, effort="long" if effort.long else "short", seed=effort.seed)
    if missing := [program for program in one.needs if shutil.which(program) is None]:
        return replace(line, why=f"needs {', '.join(missing)} on PATH")
    tried = _try(one, work / one.name, effort, line)
    if tried.why.startswith(NotShown.__name__):
        return replace(_try(one, work / one.name, effort, line), first_try=tried.why)
    return tried


def _try(one: Scenario, directory: Path, effort: Effort, line: Line) -> Line:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    started = time.monotonic()
    try:
        outcome = one.run(directory, effort)
        holds: bool | None = outcome.holds
        figures, why, missed = dict(outcome.figures), outcome.why, outcome.missed
        if "not_run" in figures:  # by the scenario's own judgement, such as no right to mount
            holds, why = None, str(figures.pop("not_run"))
    except Exception as error:  # one scenario that breaks must not hide the others
        holds, figures, missed = False, {}, ""
        why = f"{type(error).__name__}: {error}"
        (directory / _TRACEBACK).write_text(traceback.format_exc())
    seconds = round(time.monotonic() - started, 1)
    if holds is not False:
        shutil.rmtree(directory, ignore_errors=True)
    return replace(line, holds=holds, figures=figures, seconds=seconds, why=why, missed=missed)
