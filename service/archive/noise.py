"""How wrong watch time is as a label, by group of views. Pure; formulas in docs/methods.md, "Noise audit".

The watch-time label is matched in rate: it calls as many views positive as there is relevance, those of the highest
quantile within their duration (D2Q). Views of one quantile are called alike, as a share where not all of them are. With
w the relevance of a view (what was said, where something was) and c how far it is called positive,

    noise = mean of c (1 - w) + (1 - c) w          false_positive = sum c (1 - w) / sum c
    missed = sum (1 - c) w / sum w

All that these need is how many views, and how much relevance, each group has in each bin of the quantile. Intervals are
a delete-a-group jackknife over SHARES random shares of the users, each with a cut of its own: the views of one user are
not independent. Source: Kott, "The delete-a-group jackknife", Journal of Official Statistics 2001.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Cells = npt.NDArray[np.int64]

SHARES = 32  # of the users, by the key of their id
BINS = 256  # of the quantile
STUDENT = 2.0395  # the 97.5 % point of Student's t with SHARES - 1 degrees of freedom
LEAST_SHARES = 8  # with users in the group; with fewer no interval is stated
MOST_GROUPS = 200


@dataclass(frozen=True)
class Tally:
    """Views and relevance of one file: only cells of [share, bin] that have any."""

    cells: Mapping[str, tuple[Cells, Floats, Floats]]  # of each group: cell, views, relevance

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return sum(array.nbytes for arrays in self.cells.values() for array in arrays)


@dataclass
class Sums:
    """Tallies added up: [SHARES, BINS] of views and of relevance, by group."""

    groups: dict[str, tuple[Floats, Floats]] = field(default_factory=dict)
    others: str = "(others)"  # where groups go that are too many

    def add(self, tally: Tally) -> None:
        """Add a file's."""
        for name, (cells, views, mass) in tally.cells.items():
            group = name if name in self.groups or len(self.groups) < MOST_GROUPS else self.others
            known = self.groups.setdefault(group, (np.zeros((SHARES, BINS)), np.zeros((SHARES, BINS))))
            known[0].flat[cells] += views
            known[1].flat[cells] += mass


@dataclass(frozen=True)
class Noise:
    """Figures of a group; nan where it has nothing to say them of."""

    rows: int
    watch_positives: float
    noise_rate: float
    noise_low: float
    noise_high: float
    false_positive: float
    missed: float


def tally(group: Cells, names: list[str], share: Cells, quantile: Floats, relevance: Floats) -> Tally:
    """Return the tally of N views; each has a group, a share of users, a quantile 0..1 and w. Shapes [N]."""
    cell = (group * SHARES + share) * BINS + np.minimum((quantile * BINS).astype(np.int64), BINS - 1)
    views = np.bincount(cell, minlength=len(names) * SHARES * BINS).reshape(len(names), -1)
    mass = np.bincount(cell, relevance, len(names) * SHARES * BINS).reshape(len(names), -1)
    found = {}
    for place, name in enumerate(names):
        there = np.flatnonzero(views[place])
        if len(there):
            found[name] = (there, views[place][there].astype(np.float64), mass[place][there])
    return Tally(found)


def merged(tallies: Iterable[Tally]) -> Tally:
    """Return the tally of several parts of a file."""
    sums = Sums()
    for one in tallies:
        sums.add(one)
    return Tally({name: _sparse(views, mass) for name, (views, mass) in sums.groups.items()})


def _sparse(views: Floats, mass: Floats) -> tuple[Cells, Floats, Floats]:
    there = np.flatnonzero(views.ravel())
    return there, views.ravel()[there], mass.ravel()[there]


def called(views: Floats, mass: Floats) -> Floats:
    """Return how far views of each bin are called positive: as many in all as there is relevance. [BINS] -> [BINS]."""
    wanted = mass.sum()
    above = np.cumsum(views[::-1])[::-1] - views  # views of the bins above
    return np.asarray(np.clip(np.divide(wanted - above, views, out=np.zeros(BINS), where=views > 0), 0.0, 1.0))


def audit(sums: Sums) -> tuple[dict[str, Noise], Noise]:
    """Return the figures of each group, and of all views."""
    total = [sum((pair[n] for pair in sums.groups.values()), np.zeros((SHARES, BINS))) for n in (0, 1)]
    views, mass = total[0].sum(0), total[1].sum(0)
    without = [called(views - total[0][share], mass - total[1][share]) for share in range(SHARES)]
    cut = called(views, mass)
    groups = {name: _figures(*of_group, cut, without) for name, of_group in sums.groups.items()}
    return groups, _figures(total[0], total[1], cut, without)


def _figures(views: Floats, mass: Floats, cut: Floats, without: list[Floats]) -> Noise:
    """Return a group's figures. Shapes [SHARES, BINS], [SHARES, BINS], [BINS], SHARES of [BINS]."""
    all_views, all_mass = views.sum(0), mass.sum(0)
    rate = _noise(all_views, all_mass, cut)
    shares = int((views.sum(1) > 0).sum())
    low = high = np.nan
    if shares >= LEAST_SHARES:
        left = [_noise(all_views - views[n], all_mass - mass[n], without[n]) for n in range(SHARES)]
        reach = STUDENT * np.sqrt((SHARES - 1) / SHARES * np.sum((np.array(left) - rate) ** 2))
        low, high = max(0.0, rate - reach), min(1.0, rate + reach)
    positives = float((cut * all_views).sum())
    wrong = float((cut * (all_views - all_mass)).sum())
    relevant = float(all_mass.sum())
    return Noise(
        rows=int(all_views.sum()),
        watch_positives=positives,
        noise_rate=rate,
        noise_low=low,
        noise_high=high,
        false_positive=wrong / positives if positives > 0 else np.nan,
        missed=float(((1.0 - cut) * all_mass).sum()) / relevant if relevant > 0 else np.nan,
    )


def _noise(views: Floats, mass: Floats, cut: Floats) -> float:
    rows = views.sum()
    return float((cut * (views - mass) + (1.0 - cut) * mass).sum() / rows) if rows > 0 else np.nan
