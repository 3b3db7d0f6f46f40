"""The items of a simulation: interest factors around topics, quality around authors, durations, popularity.

Durations are a mixture of two log-normals, short clips and longer videos; their median is about a minute, in KuaiRand
32 to 80 s by version.
"""

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

TAGS = 20
ITEMS_PER_AUTHOR = 5


class Catalogue:
    """Items, of which now and then a new one takes the place of an old one. Columns [items]."""

    def __init__(self, items: int, factors: int, rng: np.random.Generator) -> None:
        """Make the first items."""
        self._rng = rng
        self._tag_centre = rng.standard_normal((TAGS, factors)) / np.sqrt(factors)
        self._author_quality = rng.standard_normal(max(1, items // ITEMS_PER_AUTHOR))
        self._serial = 0
        self.factors = np.zeros((items, factors))
        self.quality, self.popularity, self.duration_s = (np.zeros(items) for _ in range(3))
        self.id, self.author_id, self.tag = (np.full(items, "", dtype=object) for _ in range(3))
        self.renew(np.arange(items))

    def renew(self, rows: Rows) -> None:
        """Put new items into these rows."""
        rng, count = self._rng, len(rows)
        tag, author = rng.integers(0, TAGS, count), rng.integers(0, len(self._author_quality), count)
        own = rng.standard_normal((count, self.factors.shape[1])) / np.sqrt(self.factors.shape[1])
        self.factors[rows] = np.sqrt(0.6) * self._tag_centre[tag] + np.sqrt(0.4) * own
        self.quality[rows] = 0.6 * self._author_quality[author] + 0.8 * rng.standard_normal(count)
        self.popularity[rows] = np.exp(0.8 * rng.standard_normal(count) + 0.3 * self.quality[rows])
        short = rng.random(count) < 0.4
        median, sigma = np.where(short, 14.0, 110.0), np.where(short, 0.5, 0.7)
        self.duration_s[rows] = np.clip(median * np.exp(sigma * rng.standard_normal(count)), 3.0, 1_200.0).round(3)
        self.id[rows] = [f"v{self._serial + number}" for number in range(count)]
        self.author_id[rows] = [f"a{number}" for number in author.tolist()]
        self.tag[rows] = [str(number) for number in tag.tolist()]
        self._serial += count
        self._popular = np.cumsum(self.popularity) / self.popularity.sum()

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Rows:
        """Return rows drawn by popularity."""
        return drawn(self._popular, rng.random(shape))


def drawn(cumulative: Floats, uniform: Floats) -> Rows:
    """Return places drawn by the shares whose sums are given."""
    return np.minimum(np.searchsorted(cumulative, uniform, "right"), len(cumulative) - 1)
