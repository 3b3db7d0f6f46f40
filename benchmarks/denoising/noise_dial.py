"""Protocol *dial*: exposures of the simulator, with a watch that lies as often as the dial says.

Truth r is drawn from the simulated probability of relevance. The watch shows z: r, flipped with a chance that depends
on the kind of noise. A long watch is 70-100 % of the video, a short one 2-30 %; one watch in ten is of any length,
whatever z. A share of the exposures gets an explicit like or dislike, and that is always r. Measured is the AUC of the
logit against r on the later half of the stream, each event scored before it is learned.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from benchmarks.denoising.labels import kept
from benchmarks.denoising.measured import Measured
from benchmarks.denoising.resampling import auc_draws, resample_users
from benchmarks.denoising.sources import Sources
from contract.events import Action, Events
from trainer.log_block import LogBlock
from trainer.metrics_math import auc, ece, log_loss
from trainer.replay import play
from trainer.settings import LearnerSettings
from trainer.simulated_world import SimulatorConfig
from trainer.simulator import Simulator

Mask = npt.NDArray[np.bool_]
Kind = Literal["both", "positive-only", "negative-only", "by-surface"]

AUTOPLAY_SHARE = 0.4
ANY_LENGTH_SHARE = 0.1
TUNING_SEEDS_FROM = 1_000  # tuning plays other worlds than the report
QUICK_EVENTS = 3_000


@dataclass(frozen=True)
class Dial:
    """Where the dial stands.

    Kinds: `both` flips any exposure; `positive-only` makes relevant ones look irrelevant; `negative-only` the other
    way round; `by-surface` flips with 1 - flip on autoplay (40 % of exposures) and with flip elsewhere, so that the
    same watch means opposite things.
    """

    kind: Kind
    flip: float
    prior: float
    label_share: float
    events: int = 40_000

    protocol: ClassVar[str] = "dial"

    @property
    def title(self) -> str:
        """What tables call it."""
        return f"{self.kind} {self.flip:g}, prior {self.prior:g}, {self.label_share:.0%} of the labels"

    def measure(self, sources: Sources, settings: LearnerSettings, tuning: bool) -> Measured:
        """Make the stream of the settings' seed, play it, and measure its later half."""
        count = min(self.events, QUICK_EVENTS) if sources.quick else self.events
        seed = settings.seed + (TUNING_SEEDS_FROM if tuning else 0)
        made = make_stream(replace(self, events=count), seed)
        played = play(made.events, settings, None, lambda _: None)
        late = slice(count // 2, None)
        logit, relevant = played.logit[late], made.relevant[late]
        resamples = resample_users(made.events.user_key[late])
        return Measured(
            figures={
                "auc": auc(logit, relevant),
                "belief_auc": auc(played.belief[late], relevant),
                "oracle_auc": auc(made.truth[late], relevant),
                "log_loss": log_loss(played.score[late], relevant),
                "ece": ece(played.score[late], relevant),
                "events": float(len(relevant)),
                "positives": float(relevant.sum()),
                "events_per_second": count / played.seconds,
            },
            draws={"auc": auc_draws(logit, relevant, resamples)},
            columns={"logit": logit},
        )


@dataclass(frozen=True)
class NoisyStream:
    """Events as the learner sees them, and what it does not see. Columns [N]."""

    events: Events
    relevant: Mask
    looks_relevant: Mask
    truth: npt.NDArray[np.float32]  # probability of relevance


def make_stream(dial: Dial, seed: int) -> NoisyStream:
    """Return the stream of a dial and a seed."""
    world, random = _world(dial.prior, dial.events, seed), np.random.default_rng([seed, 77])
    events, count = world.events, dial.events
    relevant = random.random(count) < world.truth
    autoplay = random.random(count) < AUTOPLAY_SHARE
    looks = relevant ^ (random.random(count) < _chance_of_flip(dial, relevant, autoplay))
    long, short, any_ = (random.uniform(low, high, count) for low, high in ((0.7, 1.0), (0.02, 0.3), (0.02, 1.0)))
    share = np.where(random.random(count) < ANY_LENGTH_SHARE, any_, np.where(looks, long, short))
    said = kept(events.event_key, dial.label_share, seed)
    word = np.where(relevant, Action.LIKE.bit, Action.DISLIKE.bit)
    seen = replace(
        events,
        watch_ms=(share * events.duration_ms).astype(np.int32),
        actions=np.where(said, word, 0).astype(np.uint8),
        surface=np.where(autoplay, "autoplay", "feed").astype(np.object_),
    )
    return NoisyStream(seen, relevant, looks, world.truth)


def _chance_of_flip(dial: Dial, relevant: Mask, autoplay: Mask) -> npt.NDArray[np.float64]:
    chances = {
        "both": np.full(len(relevant), dial.flip),
        "positive-only": np.where(relevant, dial.flip, 0.0),
        "negative-only": np.where(relevant, 0.0, dial.flip),
        "by-surface": np.where(autoplay, 1.0 - dial.flip, dial.flip),
    }
    return chances[dial.kind]


@lru_cache(maxsize=8)
def _world(prior: float, count: int, seed: int) -> LogBlock:
    """Return plain exposures: no repeats, none late, every duration known."""
    config = SimulatorConfig(
        relevant_share=prior, duplicate_share=0.0, late_share=0.0, out_of_order_share=0.0, unknown_duration_share=0.0
    )
    return Simulator(config, seed).next_block(count)
