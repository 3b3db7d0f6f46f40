"""A stream of a short-video app with known truth: latent interest, exposure by a policy, and noise in what is seen.

Every exposure carries `truth`, the probability that the item is relevant to the viewer; `trainer.viewers` says how
little of it shows. Rates of actions and long views are those of KuaiRand, met under the built-in policy by solving for
them at the start; a better policy raises them. One seed gives one stream, whatever sizes of block it is asked for in.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contract.events import MAX_MS, Action
from contract.watch import long_views
from trainer.catalogue import Catalogue, drawn
from trainer.log_block import LogBlock, events_of
from trainer.simulated_world import SimulatorConfig
from trainer.viewers import Draws, readiness, watch_s

Choose = Callable[[str, list[str]], int]  # user, candidates -> place of the one to show
Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

CHUNK = 128  # exposures made at once; a policy is asked that far ahead of what has been given out
DRIFT_EVERY = 4096
CALIBRATION_EXPOSURES = 40_000
AFFINITY_WEIGHT = 1.5
QUALITY_WEIGHT = 1.0
POLICY_SHARPNESS = 0.5  # how much the built-in policy knows
LATE_MS = 600_000.0  # mean delay of a late event
SHUFFLE_GAPS = 30  # how many mean gaps an event out of order may be late
RETRY_GAPS = (20, 200)  # how many mean gaps a duplicate comes after its event

_POSITIVE = (Action.LIKE, Action.FOLLOW, Action.COMMENT, Action.SHARE)


@dataclass(frozen=True)
class _Rates:
    """What makes the rates come out as configured."""

    intercept: float  # of the relevance logit
    median_s: float  # of the watch of what is not relevant
    action_factors: dict[Action, float]


@dataclass(frozen=True)
class _Exposures:
    """Who was shown what, and how relevant it was. Columns [N]."""

    user: Rows
    item: Rows
    position: Rows
    is_random: Bools
    truth: Floats


@dataclass(frozen=True)
class _Views:
    """What came of exposures. Columns [N]."""

    watch_ms: Rows
    duration_ms: Rows
    good: Floats  # readiness to say something good
    bad: Floats


class Simulator:
    """Call `next_block`, or iterate over `blocks`. `choose` is the policy; without one, popular and fitting items."""

    def __init__(self, config: SimulatorConfig, seed: int, choose: Choose | None = None) -> None:
        """Make a world, and solve for its rates."""
        self.config = config
        self._choose = choose
        world, reference, self._rng = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3))
        self._items = Catalogue(config.items, config.factors, world)
        self._taste = world.standard_normal((config.users, config.factors))
        activity = np.exp(world.standard_normal(config.users))
        self._active = np.cumsum(activity) / activity.sum()
        self._likeliness = np.exp(0.8 * world.standard_normal(config.users))
        self._user_id = np.array([f"u{number}" for number in range(config.users)], dtype=object)
        self._shown = np.zeros(config.users, np.int64)
        self._made = 0
        self._now_ms = config.start_ms
        self._waiting: list[tuple[LogBlock, Floats]] = []  # blocks and when their events arrive, in ms
        self._rates = self._solve(reference)

    def blocks(self, events: int, block_events: int = 4096) -> Iterator[LogBlock]:
        """Yield the next `events` events in blocks."""
        for start in range(0, events, block_events):
            yield self.next_block(min(block_events, events - start))

    def next_block(self, count: int) -> LogBlock:
        """Return the next `count` events, at least one, in the order in which they arrive."""
        while (missing := count - self._arrived()) > 0:
            for _ in range(max(1, missing // (2 * CHUNK))):  # an exposure gives at most two events: none is made early
                self._waiting += self._arrivals(self._exposed(CHUNK))
        block = LogBlock.concatenate([part for part, _ in self._waiting])
        arrival = np.concatenate([at for _, at in self._waiting])
        order = np.argsort(arrival, kind="stable")
        late = np.sort(order[count:])
        self._waiting = [(block.take(late), arrival[late])]
        return block.take(order[:count])

    def _arrived(self) -> int:
        return sum(int((arrival <= self._now_ms).sum()) for _, arrival in self._waiting)

    def _exposed(self, count: int) -> LogBlock:
        """Show something to viewers, and see what they do."""
        config, rng, items = self.config, self._rng, self._items
        self._pass_time(count)
        exposures = self._expose(rng, count)
        views = self._view(Draws.of(rng, count), exposures, self._rates.median_s)
        gap_ms = 1 + rng.exponential(config.mean_gap_ms - 1, count).astype(np.int64)
        at_ms = self._now_ms + np.cumsum(gap_ms)  # no two alike
        self._now_ms = int(at_ms[-1])
        duration_ms = np.where(rng.random(count) < config.unknown_duration_share, 0, views.duration_ms)
        events = events_of(
            self._user_id[exposures.user].tolist(),
            items.id[exposures.item].tolist(),
            at_ms,
            watch_ms=views.watch_ms,
            duration_ms=duration_ms,
            actions=self._act(exposures, views),
            position=exposures.position,
            surface=["tab1"] * count,
            author_id=items.author_id[exposures.item].tolist(),
            tags=items.tag[exposures.item].tolist(),
            event_id=[""] * count,
        )
        long_view = long_views(events.watch_ms, events.duration_ms).astype(np.int8)
        return LogBlock(events, long_view, exposures.is_random.astype(np.int8), exposures.truth.astype(np.float32))

    def _arrivals(self, block: LogBlock) -> list[tuple[LogBlock, Floats]]:
        """Delay and repeat: return events and when they arrive."""
        config, rng, count = self.config, self._rng, len(block)
        fate, by = rng.random(count), rng.random(count)
        late = fate < config.late_share
        shuffled = ~late & (fate < config.late_share + config.out_of_order_share)
        delay = np.where(
            late, -LATE_MS * np.log1p(-by), np.where(shuffled, SHUFFLE_GAPS * config.mean_gap_ms * by, 0.0)
        )
        arrival = block.events.at_ms.astype(np.float64) + delay
        again = rng.random(count) < config.duplicate_share
        retry_ms = config.mean_gap_ms * rng.uniform(*RETRY_GAPS, count)
        return [(block, arrival), (block.take(again), (arrival + retry_ms)[again])]

    def _pass_time(self, count: int) -> None:
        """Let interests drift and new items come."""
        config, rng = self.config, self._rng
        if self._made // DRIFT_EVERY != (self._made + count) // DRIFT_EVERY and config.drift:
            kept = np.exp(-config.drift * DRIFT_EVERY / 100_000)
            fresh = rng.standard_normal(self._taste.shape)
            self._taste = np.sqrt(kept) * self._taste + np.sqrt(1.0 - kept) * fresh
        self._made += count
        new = min(rng.binomial(count, config.new_item_share), config.items)
        if new:
            self._items.renew(rng.choice(config.items, new, replace=False))

    def _expose(self, rng: np.random.Generator, count: int) -> _Exposures:
        config = self.config
        user = drawn(self._active, rng.random(count))
        slate = self._items.draw(rng, (count, config.slate_size))
        is_random = rng.random(count) < config.random_share
        item = np.where(is_random, rng.integers(0, config.items, count), self._chosen(rng, user, slate, ~is_random))
        truth = _sigmoid(self._rates.intercept + self._interest(user, item))
        return _Exposures(user, item, self._positions(user), is_random, truth)

    def _chosen(self, rng: np.random.Generator, user: Rows, slate: Rows, asked: Bools) -> Rows:
        """Return the item that the policy shows; where it is not asked, any. Shapes [N], [N, S], [N] -> [N]."""
        if self._choose is None:
            liked = POLICY_SHARPNESS * self._interest(user[:, None], slate)
            best: Rows = np.argmax(liked + rng.gumbel(size=slate.shape), axis=1)
            return np.take_along_axis(slate, best[:, None], 1)[:, 0]
        item = slate[:, 0].copy()
        for row in np.flatnonzero(asked).tolist():
            distinct = list(dict.fromkeys(slate[row].tolist()))
            place = self._choose(self._user_id[user[row]], self._items.id[distinct].tolist())
            item[row] = distinct[place]
        return item

    def _positions(self, user: Rows) -> Rows:
        """Return the place of each exposure in its viewer's session, and count it. Shape [N] -> [N]."""
        order = np.argsort(user, kind="stable")
        ordered = user[order]
        earlier = np.arange(len(user)) - np.searchsorted(ordered, ordered)  # in this chunk, of the same viewer
        position = np.empty_like(user)
        position[order] = (self._shown[ordered] + earlier) % self.config.session_length
        np.add.at(self._shown, user, 1)
        return position

    def _interest(self, user: Rows, item: Rows) -> Floats:
        """Return the relevance logit without its intercept; shapes that broadcast."""
        affinity = (self._taste[user] * self._items.factors[item]).sum(-1)
        return np.asarray(AFFINITY_WEIGHT * affinity + QUALITY_WEIGHT * self._items.quality[item])

    def _view(self, draws: Draws, exposures: _Exposures, median_s: float) -> _Views:
        duration_s = self._items.duration_s[exposures.item]
        relevant = draws.relevant < exposures.truth
        distraction = self.config.position_bias * exposures.position.astype(np.float64)
        watched_s = watch_s(draws, relevant, duration_s, distraction, median_s)
        watch_ms = np.minimum(np.rint(1000 * watched_s), MAX_MS).astype(np.int64)
        good, bad = readiness(relevant, exposures.truth, watched_s, duration_s)
        return _Views(
            watch_ms, np.rint(1000 * duration_s).astype(np.int64), good * self._likeliness[exposures.user], bad
        )

    def _act(self, exposures: _Exposures, views: _Views) -> Rows:
        """Return the mask of actions of each view. Shape [N]."""
        said = np.zeros(len(exposures.user), np.int64)
        for action, factor in self._rates.action_factors.items():
            ready = views.good if action in _POSITIVE else views.bad
            said |= action.bit * (self._rng.random(len(said)) < factor * ready)
        return said

    def _solve(self, rng: np.random.Generator) -> _Rates:
        """Find what makes the configured rates come out, on exposures under the built-in policy."""
        config, choose, self._choose = self.config, self._choose, None
        self._rates = _Rates(0.0, 1.0, {})
        shown = self._expose(rng, CALIBRATION_EXPOSURES)
        self._choose = choose
        self._shown[:] = 0
        interest = self._interest(shown.user, shown.item)
        intercept = _bisect(lambda b: float(_sigmoid(b + interest).mean()), config.relevant_share, -20.0, 20.0)
        shown = _Exposures(shown.user, shown.item, shown.position, shown.is_random, _sigmoid(intercept + interest))
        draws = Draws.of(rng, CALIBRATION_EXPOSURES)

        def long_view_rate(log_median: float) -> float:
            views = self._view(draws, shown, float(np.exp(log_median)))
            return float(long_views(views.watch_ms.astype(np.int32), views.duration_ms.astype(np.int32)).mean())

        median_s = float(np.exp(_bisect(long_view_rate, config.long_view_rate, -8.0, 8.0)))
        views = self._view(draws, shown, median_s)
        rates = {
            Action.LIKE: config.like_rate,
            Action.FOLLOW: config.follow_rate,
            Action.COMMENT: config.comment_rate,
            Action.SHARE: config.share_rate,
            Action.DISLIKE: config.dislike_rate,
        }
        ready = {action: views.good if action in _POSITIVE else views.bad for action in rates}
        return _Rates(
            intercept, median_s, {action: rate / float(ready[action].mean()) for action, rate in rates.items()}
        )


def _sigmoid(logit: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))


def _bisect(rising: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Return where a rising function takes a value; an end of the range if it never does."""
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return 0.5 * (low + high)
