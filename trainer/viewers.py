"""How simulated viewers watch and act: latent relevance seen through noise, as a real log shows it.

Whether an item is relevant to a viewer is drawn with probability `truth`. What is seen of it is one of four kinds of
watch, after the real log (KuaiRand, 94,784 exposures: 15 % under a second, 16 % to the end, 2 % loops):

    swipe       gone within a second, by accident or boredom
    habit       the whole of a short video, relevant or not; now and then looped
    background  the phone on the table: minutes, whatever is on
    interest    log-normal, five times as long if relevant; cut at the end of the video

With these constants, as in reality, a quarter of the likes come with under 20 % watched, and a fifth of the dislikes
after a long view.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

ACCIDENT_SHARE = 0.035
BORED_SHARE = 0.03  # more swipes where the item is not relevant
BACKGROUND_SHARE = 0.03
HABIT_SHARE = 0.35  # of the shortest videos
HABIT_FADES_S = 12.0
LOOP_SHARE = 0.25  # of videos watched whole by habit
INTEREST_SIGMA = 1.4
RELEVANT_GAIN = 1.7  # log ratio of median watch, relevant to not
SHORT_WATCH = 0.2  # of the duration


@dataclass(frozen=True)
class Draws:
    """The randomness of N views, drawn apart so that views under two settings can be compared. Uniform, [N]."""

    relevant: Floats
    kind: Floats
    length: Floats  # standard normal
    loop: Floats

    @classmethod
    def of(cls, rng: np.random.Generator, count: int) -> "Draws":
        """Draw."""
        return cls(rng.random(count), rng.random(count), rng.standard_normal(count), rng.random(count))


def watch_s(draws: Draws, relevant: Bools, duration_s: Floats, distraction: Floats, median_s: float) -> Floats:
    """Return the watch in seconds. Shapes [N].

    `distraction` adds to the chance of a swipe; `median_s` is the median of interest in what is not relevant.
    """
    swipe = np.clip(ACCIDENT_SHARE + BORED_SHARE * ~relevant + distraction, 0.0, 0.9)
    habit = (1.0 - swipe - BACKGROUND_SHARE) * HABIT_SHARE * np.exp(-duration_s / HABIT_FADES_S)
    interested = np.exp(np.log(median_s) + RELEVANT_GAIN * relevant + INTEREST_SIGMA * draws.length)
    to_the_end = duration_s * (1.0 + 0.05 * np.abs(draws.length))
    looped = to_the_end * np.where(draws.loop < LOOP_SHARE, 1.5 + 6.0 * draws.loop, 1.0)
    return np.select(
        [
            draws.kind < swipe,
            draws.kind < swipe + habit,
            draws.kind < swipe + habit + BACKGROUND_SHARE,
        ],
        [draws.loop, looped, 90.0 * np.exp(draws.length)],
        np.where(interested < duration_s, interested, to_the_end),
    )


def readiness(relevant: Bools, truth: Floats, watched_s: Floats, duration_s: Floats) -> tuple[Floats, Floats]:
    """Return how ready a viewer is to say something good, and to say something bad, up to a factor each. Shapes [N]."""
    short = watched_s < SHORT_WATCH * duration_s
    seen = np.where(watched_s < 1.0, 0.3, np.where(short, 0.6, 1.0))
    return np.where(relevant, seen, 0.02 * seen), np.where(relevant, 0.05, 1.0 - truth)
