"""What a scenario is: one fault by real means, one invariant, one figure, and whether the invariant held.

A scenario is a function of a directory of its own and an effort. It never lets the product judge itself: what was
acknowledged is in a ledger of the sender's, and it is compared with what is on disk in the end.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Figure = int | float | str | None


@dataclass(frozen=True)
class Effort:
    """How much of a fault is tried: a scenario states both and asks for the one that is due."""

    long: bool = False
    seed: int = 1

    def of(self, short: int, long: int) -> int:
        """Return the number that is due: `short` in minutes and in CI, `long` in hours."""
        return long if self.long else short


@dataclass(frozen=True)
class Outcome:
    """How it went."""

    holds: bool
    figures: Mapping[str, Figure] = field(default_factory=dict)  # counts, seconds, ratios, by name with their unit
    why: str = ""  # what broke, where the invariant does not hold
    missed: str = ""  # bars of speed or quality that were missed: figures that fall short, while nothing broke

    @classmethod
    def of(cls, figures: Mapping[str, Figure], broken: Iterable[str], missed: Iterable[str] = ()) -> "Outcome":
        """Make an outcome of what broke and of the bars that were missed, in words; those without words are none."""
        why = "; ".join(filter(None, broken))
        return cls(not why, figures, why, "; ".join(filter(None, missed)))


class NotShown(Exception):
    """The fault did not come about as it is meant to, so that nothing was shown, neither good nor bad."""


@dataclass(frozen=True)
class Scenario:
    """One row of the campaign."""

    name: str
    fault: str  # what is done, and by what means
    invariant: str  # what must hold all the same
    run: Callable[[Path, Effort], Outcome]
    needs: tuple[str, ...] = ()  # programs that must be on PATH, such as strace or nginx; skipped where one is missing


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    fault: str, invariant: str, needs: tuple[str, ...] = ()
) -> Callable[[Callable[[Path, Effort], Outcome]], Callable[[Path, Effort], Outcome]]:
    """Enter a function into the campaign under its own name, with dashes."""

    def enter(run: Callable[[Path, Effort], Outcome]) -> Callable[[Path, Effort], Outcome]:
        name = run.__name__.replace("_", "-")
        SCENARIOS[name] = Scenario(name, fault, invariant, run, needs)
        return run

    return enter
