"""The three heads: what they start from, what each may learn from, and that serving's mix is the same answer."""

import numpy as np
import numpy.typing as npt
import pytest

from models.counts import DISLIKE, EXPLICIT, SLOTS, WATCH, CountFeatures
from models.readout import Prediction, Readout

Floats = npt.NDArray[np.float64]


def drawn(count: int, seed: int = 0) -> tuple[CountFeatures, Floats]:
    rng = np.random.default_rng(seed)
    llr, base = rng.normal(0, 0.7, (count, 3, len(SLOTS))), rng.normal(-1, 0.2, (count, 3))
    features = CountFeatures(llr, base, rng.normal(0, 0.7, count), np.ones(count))
    return features, rng.normal(0, 0.7, (count, 2))


def taught(cascade: bool = True, seed: int = 0) -> Readout:
    readout, rng = Readout(cascade), np.random.default_rng(seed)
    for batch in range(5):
        features, match = drawn(200, seed=100 + batch)
        said = np.where(rng.random(200) < 0.5, np.nan, rng.integers(0, 2, 200))
        quantile = np.where(rng.random(200) < 0.2, np.nan, rng.random(200))
        w, weight = rng.random(200), rng.choice([0.0, 1.0], 200)
        readout.learn(features, match, readout.predict(features, match), w, weight, quantile, said)
    return readout


def bits(readout: Readout, head: str = "") -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in readout.state().items() if name.startswith(head)}


@pytest.mark.parametrize("cascade", [True, False])
def test_an_untaught_readout_is_naive_bayes_on_the_counts_and_the_backbone_as_it_is(cascade: bool) -> None:
    features, match = drawn(50)
    found = Readout(cascade).predict(features, match)
    watch_counts = 0.7 * features.llr[:, WATCH].sum(1)
    cascaded = 0.8 * watch_counts if cascade else 0.0
    y = features.base[:, EXPLICIT] + features.llr[:, EXPLICIT].sum(1) + cascaded + match[:, 0]
    np.testing.assert_allclose(found.logit, y)
    np.testing.assert_allclose(found.watch_counts, watch_counts)
    np.testing.assert_allclose(found.watch_logit, features.base[:, WATCH] + watch_counts + match[:, 1])
    np.testing.assert_allclose(found.dislike_logit, features.base[:, DISLIKE] + 0.7 * features.llr[:, DISLIKE].sum(1))


@pytest.mark.parametrize("cascade", [True, False])
def test_the_mix_that_is_served_gives_the_logit_that_was_predicted(cascade: bool) -> None:
    readout = taught(cascade)
    features, match = drawn(60, seed=1)
    mix = readout.mix()
    watch = features.llr[:, WATCH] @ mix.watch_slots + mix.watch_base
    served = mix.base + features.base[:, EXPLICIT] + features.llr[:, EXPLICIT] @ mix.slots
    served = served + mix.cascade * watch + match @ mix.heads + mix.seen * features.seen
    np.testing.assert_allclose(served, readout.predict(features, match).logit, rtol=0, atol=1e-9)
    assert (mix.cascade != 0.0) is cascade


def test_the_offset_is_the_answer_without_the_backbone() -> None:
    readout = taught()
    features, match = drawn(60, seed=2)
    found, without = readout.predict(features, match), readout.predict(features, np.zeros((60, 2)))
    np.testing.assert_allclose(found.offset, np.stack([without.logit, without.watch_logit], 1), atol=1e-12)
    np.testing.assert_array_equal(found.watch_counts, without.watch_counts)


def test_what_was_not_watched_or_not_said_teaches_its_head_nothing() -> None:
    readout = taught()
    features, match = drawn(60, seed=3)
    before = bits(readout)
    nothing = np.full(60, np.nan)
    readout.learn(
        features, match, readout.predict(features, match), np.zeros(60), np.ones(60), quantile=nothing,
        said_dislike=nothing,
    )  # fmt: skip
    assert bits(readout, "watch") == {name: value for name, value in before.items() if name.startswith("watch")}
    assert bits(readout, "dislike") == {name: value for name, value in before.items() if name.startswith("dislike")}
    assert bits(readout, "explicit") != {n: value for n, value in before.items() if n.startswith("explicit")}


def test_the_explicit_head_teaches_the_watch_head_nothing() -> None:
    """The cascade: v' feeds y, and no gradient goes back."""
    readout, twin = taught(), taught()
    features, match = drawn(60, seed=4)
    readout.learn_explicit(features, match, readout.predict(features, match), np.ones(60), np.ones(60))
    assert bits(readout, "watch") == bits(twin, "watch")
    assert bits(readout, "explicit") != bits(twin, "explicit")


def test_the_heads_learn_what_each_was_told() -> None:
    """Likes follow the item, watches the author, dislikes the user; each head finds its own and drops the rest."""
    rng, readout = np.random.default_rng(5), Readout()
    slot_of = {EXPLICIT: SLOTS.index("item"), WATCH: SLOTS.index("author"), DISLIKE: SLOTS.index("user")}
    for batch in range(60):
        features, match = drawn(256, seed=1_000 + batch)
        chance = {h: 1 / (1 + np.exp(-features.base[:, h] - features.llr[:, h, slot])) for h, slot in slot_of.items()}
        likes, dislikes = ((rng.random(256) < chance[head]).astype(np.float64) for head in (EXPLICIT, DISLIKE))
        predicted = readout.predict(features, match)
        readout.learn(features, match, predicted, likes, np.ones(256), chance[WATCH], dislikes)
    for head, fit in ((EXPLICIT, readout.explicit), (WATCH, readout.watch), (DISLIKE, readout.dislike)):
        expected = np.zeros(len(SLOTS))
        expected[slot_of[head]] = 1.0
        np.testing.assert_allclose(fit.coefficients[: len(SLOTS)], expected, atol=0.15)


def test_pairs_are_predicted_one_by_one_as_in_a_batch() -> None:
    readout = taught()
    features, match = drawn(30, seed=6)
    whole = readout.predict(features, match)
    part = slice(10, 20)
    alone = readout.predict(
        CountFeatures(features.llr[part], features.base[part], features.seen[part], features.trust[part]), match[part]
    )
    for name, value in vars(whole.take(part)).items():
        np.testing.assert_allclose(getattr(alone, name), value, rtol=1e-12)
    assert isinstance(whole.take(part), Prediction)


def test_a_restored_readout_goes_on_bitwise() -> None:
    first, second = taught(), Readout()
    second.restore({name: value.copy() for name, value in first.state().items()})
    features, match = drawn(80, seed=7)
    for readout in (first, second):
        w = np.linspace(0, 1, 80)
        readout.learn(features, match, readout.predict(features, match), w, np.ones(80), w, np.round(w))
    assert bits(first) == bits(second)
