"""What held-out explicit feedback makes of a batch: the paper's decision, its local forms, and what none may touch."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tests.strategies  # noqa: F401  registers the profile
from contract.side import DURATION, SURFACE
from contract.watch import CELLS, NO_CELL
from models.alignment import local_signs, reweighted
from models.backbone import EXPLICIT
from models.gmf import GMF
from models.inverse_gradient import STEP_SIGN, Direction
from models.targets import inverse_dual
from tests.golden import reference
from tests.models.small_gmf import JUDGING, UNLABELLED, Trial
from tests.trainer.conftest import some_events
from trainer.labels import NEGATIVE, POSITIVE
from trainer.labels import UNLABELLED as SILENT
from trainer.learner import Learner
from trainer.settings import LearnerSettings
from trainer.steering import GROUPS, Proposal, Steering, direction_of
from trainer.waiting import Held

Floats = npt.NDArray[np.float64]

SAID = slice(9, UNLABELLED)  # of the batch of twelve, the last three have said something; the rest is unlabelled
METHODS = get_args(LearnerSettings.model_fields["meta"].annotation)
STEERING = [name for name in METHODS if name != "none"]


@dataclass(frozen=True)
class Case:
    """A batch under IDL, and judges."""

    trial: Trial
    proposal: Proposal
    judges: Held

    @property
    def alignment(self) -> Floats:
        """Each example's, by plain autograd; 0 for those who said something."""
        theta = self.trial.step.parameters
        local = [theta[name] for name in ("user", "item", "user_bias", "item_bias")]
        logit = self.trial.logits_with_gradient()[:, EXPLICIT]
        said, weight = (torch.from_numpy(column) for column in (self.trial.said, self.trial.weight))
        judged = logit[UNLABELLED:] + torch.from_numpy(self.judges.offset[:, EXPLICIT])
        each = torch.nn.functional.binary_cross_entropy_with_logits(judged, said, reduction="none")
        meta = torch.autograd.grad((weight * each).sum() / weight.sum(), local, retain_graph=True)
        found, upstream = np.zeros(UNLABELLED), self.proposal.upstream()
        for place in np.flatnonzero(self.proposal.unsaid):
            own = torch.autograd.grad(upstream[place] * logit[place], local, retain_graph=True)
            found[place] = sum(float((one * two).sum()) for one, two in zip(meta, own, strict=True))
        return found


def case(seed: int = 0) -> Case:
    rng, trial = np.random.default_rng(seed), Trial.drawn(seed)
    trial = replace(trial, said=np.where(trial.weight == 10.0, 0.0, trial.said))  # who stands for the unsaid says no
    offset = rng.normal(0, 0.5, (JUDGING, 2)).astype(np.float32).astype(np.float64)
    label = np.where(trial.said == 1.0, POSITIVE, np.where(trial.weight == 10.0, SILENT, NEGATIVE)).astype(np.int8)
    label[1], trial.said[1], trial.weight[1] = POSITIVE, 1.0, 1.0  # one at least
    held = Held(
        np.zeros(JUDGING, np.uint64),
        np.zeros(JUDGING, np.uint64),
        np.zeros((JUDGING, 7), np.int32),
        label,
        np.full(JUDGING, np.nan),
        np.zeros((JUDGING, 2)),
        np.full(JUDGING, NO_CELL, np.int16),
        np.zeros(JUDGING),
        offset,
        np.ones(JUDGING),
    )
    logit = trial.step.logits()[:UNLABELLED, EXPLICIT]
    w, unsaid = inverse_dual(logit), np.ones(UNLABELLED, np.bool_)
    unsaid[SAID], w[SAID] = False, torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    group = rng.integers(0, 3, UNLABELLED)
    return Case(trial, Proposal(logit, w, torch.ones_like(w), torch.ones_like(w), unsaid, group), held)


def steering(meta: str, **changes: object) -> Steering:
    settings = LearnerSettings.model_validate({"meta": meta, "meta_rate": 0.3, **changes})
    return Steering(settings, GMF.spaces, torch.Generator().manual_seed(settings.seed))


def steered(meta: str, given: Case, **changes: object) -> Proposal:
    return steering(meta, **changes).steer(given.trial.step, given.proposal, given.judges)


def with_method(meta: str) -> Callable[[Case], Proposal]:
    """The method, once it has something to act on."""
    method = steering(meta)
    method.test.direction[:] = -1

    def act(given: Case) -> Proposal:
        return method.steer(given.trial.step, given.proposal, given.judges)

    return act


def assert_same(one: Proposal, two: Proposal) -> None:
    for name in ("logit", "w", "weight", "sign"):
        torch.testing.assert_close(getattr(one, name), getattr(two, name), rtol=0, atol=0, check_dtype=False, msg=name)


@pytest.mark.parametrize("rate", [0.05, 10.0])
@pytest.mark.parametrize("seed", range(8))
def test_ig_is_the_papers_decision_on_the_unlabelled_with_weighted_judges(seed: int, rate: float) -> None:
    given = case(seed)
    trial, first = given.trial, SAID.start
    gradient = reference.idl_mean_gradient(trial.theta, trial.unlabelled[:first])
    judges = replace(trial.judges, offset=given.judges.offset[:, EXPLICIT])
    chosen, losses = reference.inverse_gradient(trial.theta, gradient, judges, rate)
    found = steered("ig", given, meta_rate=rate)
    assert found.decision is not None
    for direction, c in STEP_SIGN.items():
        assert found.decision.losses[direction] == pytest.approx(losses[int(c)], abs=1e-6)
    assert STEP_SIGN[found.decision.direction] == chosen
    own = reference.idl_gradient(reference.gmf_logits(trial.theta, trial.unlabelled[:first]))
    np.testing.assert_allclose(found.upstream()[:first].numpy(), -chosen * own, rtol=0, atol=1e-6)
    assert direction_of(found) is found.decision.direction


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("meta", STEERING)
def test_no_method_touches_what_was_said(meta: str, seed: int) -> None:
    given = case(seed)
    found = with_method(meta)(given)
    for name in ("logit", "w", "weight", "sign"):
        assert torch.equal(getattr(found, name)[SAID], getattr(given.proposal, name)[SAID])
    assert torch.equal(found.upstream()[SAID], given.proposal.upstream()[SAID])


def test_every_method_does_something_to_the_unlabelled() -> None:
    """Else the test above says little."""
    for meta in STEERING:
        cases = [case(seed) for seed in range(5)]
        assert any(not torch.equal(with_method(meta)(c).upstream(), c.proposal.upstream()) for c in cases), meta


def test_none_decides_as_ig_does_and_does_not_act_on_it() -> None:
    for seed in range(4):
        given = case(seed)
        logged, acted = steered("none", given), steered("ig", given)
        assert logged.decision == acted.decision
        assert_same(logged, given.proposal)


def test_keep_leaves_the_unlabelled_without_weight() -> None:
    """A step that leads nowhere good either way, because it is far too long."""
    kept = [steered("ig", case(seed), meta_rate=10.0) for seed in range(12)]
    kept = [found for found in kept if found.decision and found.decision.direction is Direction.KEEP]
    assert kept
    for found in kept:
        assert not found.weight[found.unsaid].any()
        assert (found.weight[SAID] == 1.0).all()
        assert direction_of(found) is Direction.KEEP


@pytest.mark.parametrize("seed", range(4))
def test_ig_local_takes_the_sign_of_each_groups_summed_alignment(seed: int) -> None:
    given = case(seed)
    found, unsaid = steered("ig-local", given), given.proposal.unsaid
    signs = local_signs(given.alignment[unsaid], given.proposal.group[unsaid])
    np.testing.assert_array_equal((found.sign * found.weight)[unsaid].numpy(), signs)


@pytest.mark.parametrize("seed", range(4))
def test_l2rw_weighs_an_example_by_how_far_it_agrees(seed: int) -> None:
    given = case(seed)
    found, unsaid = steered("l2rw", given), given.proposal.unsaid
    expected = reweighted(given.alignment[unsaid])
    np.testing.assert_allclose(found.weight[unsaid].numpy(), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(found.sign, given.proposal.sign)


def test_ig_sequential_keeps_until_it_is_sure_and_counts_every_batch_once() -> None:
    given, method = case(0), steering("ig-sequential")
    unsaid, group = given.proposal.unsaid, given.proposal.group
    total = np.bincount(group[unsaid], given.alignment[unsaid])
    directions = []
    for _ in range(60):
        found = method.steer(given.trial.step, given.proposal, given.judges)
        directions.append(method.test.direction[: len(total)].tolist())
        np.testing.assert_array_equal(found.weight[unsaid].numpy(), np.abs(method.test.direction[group[unsaid]]))
    assert directions[0] == [0] * len(total)
    assert directions[-1] == np.sign(total).tolist()
    assert method.test.state()["sums"][0, : len(total)].tolist() == (60.0 * (total != 0)).tolist()


@pytest.mark.parametrize("judged", [True, False])
@pytest.mark.parametrize("direction", [1, 0, -1])
def test_ig_sequential_flips_targets_where_inverse_and_goes_on_without_judges(direction: int, judged: bool) -> None:
    given, method = case(1), steering("ig-sequential")
    method.test.direction[:] = direction
    judges = given.judges if judged else Held.empty()
    found, unsaid = method.steer(given.trial.step, given.proposal, judges), given.proposal.unsaid
    w = given.proposal.w[unsaid]
    torch.testing.assert_close(found.w[unsaid], 1.0 - w if direction < 0 else w)
    assert found.weight[unsaid].tolist() == [float(abs(direction))] * int(unsaid.sum())
    assert (found.sign == 1.0).all()
    assert direction_of(found) is {1: Direction.DIRECT, 0: Direction.KEEP, -1: Direction.INVERSE}[direction]


def test_coin_flip_is_one_seeded_toss_a_group() -> None:
    given = case(2)
    runs = []
    for seed in (1, 1, 2):
        method = steering("coin-flip", seed=seed)
        tosses = [method.steer(given.trial.step, given.proposal, given.judges).sign for _ in range(20)]
        runs.append(torch.stack(tosses))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    unsaid, group = given.proposal.unsaid, given.proposal.group
    assert set(runs[0].flatten().tolist()) == {1.0, -1.0}
    for g in np.unique(group[unsaid]):
        its = runs[0][:, torch.from_numpy(unsaid & (group == g))]
        assert torch.equal(its, its[:, :1].expand_as(its))


@pytest.mark.parametrize("meta", ["none", "ig", "ig-local", "l2rw"])
def test_without_a_positive_among_the_judges_a_batch_is_trained_as_proposed(meta: str) -> None:
    given = case(3)
    negative = np.where(given.judges.label == POSITIVE, NEGATIVE, given.judges.label).astype(np.int8)
    hushed = replace(given, judges=replace(given.judges, label=negative))
    found = steered(meta, hushed)
    assert_same(found, given.proposal)
    assert found.decision is None


@pytest.mark.parametrize("meta", METHODS)
def test_a_batch_in_which_everybody_spoke_is_trained_as_proposed(meta: str) -> None:
    given = case(4)
    spoken = replace(given, proposal=replace(given.proposal, unsaid=np.zeros(UNLABELLED, np.bool_)))
    found = with_method(meta)(spoken)
    assert_same(found, spoken.proposal)
    assert direction_of(found) is Direction.DIRECT


@pytest.mark.parametrize("meta", ["ig", "ig-local", "l2rw"])
def test_examples_that_were_left_out_have_no_say(meta: str) -> None:
    """What a target gave weight 0 may hold any w."""
    given = case(5)
    weight = given.proposal.weight.clone()
    weight[:3] = 0.0
    w = given.proposal.w.clone()
    w[:3] = 1.0 - w[:3]
    one, two = (
        replace(given, proposal=replace(given.proposal, weight=weight, w=each)) for each in (given.proposal.w, w)
    )
    found, other = steered(meta, one), steered(meta, two)
    assert torch.equal(found.weight, other.weight)
    assert torch.equal(found.sign[3:], other.sign[3:])
    assert not found.weight[:3].any()


def test_the_gradient_of_a_proposal_is_signed_and_weighted() -> None:
    one = torch.tensor
    made = Proposal(
        one([0.0, 0.0, 2.0]), one([0.2, 0.2, 1.0]), one([1.0, 3.0, 0.0]), one([1.0, -1.0, 1.0]),
        np.ones(3, np.bool_), np.zeros(3, np.int64),
    )  # fmt: skip
    assert made.upstream().tolist() == pytest.approx([0.3, -0.9, 0.0])


def test_with_none_a_decision_is_due_once_in_so_many_events_and_else_always() -> None:
    logged, acted = steering("none", meta_every=1_000), steering("ig", meta_every=1_000)
    due = [logged.due(stepped, 300) for stepped in range(0, 3_000, 300)]
    assert due == [False, False, False, True, False, False, True, False, False, True]
    assert all(acted.due(stepped, 300) for stepped in range(0, 3_000, 300))


@given(
    st.lists(
        st.tuples(
            st.integers(NO_CELL, CELLS - 1), st.floats(0, 1) | st.just(float("nan")),
            st.integers(0, 8_192), st.integers(0, 21),
        ),
        min_size=1,
    ),
    st.sampled_from(sorted(GROUPS)),
)  # fmt: skip
def test_every_exposure_has_a_group_and_long_and_short_watches_have_different_ones(
    rows: list[tuple[int, float, int, int]], name: str
) -> None:
    cell, quantile, surface, duration = (np.array(column) for column in zip(*rows, strict=True))
    side = np.zeros((len(rows), 7), np.int32)
    side[:, SURFACE], side[:, DURATION] = surface, duration
    method = steering("ig-local", meta_groups=name)
    group = method.groups(cell.astype(np.int16), quantile.astype(np.float64), side)
    assert group.min() >= 0
    assert group.max() < GROUPS[name]
    if name != "cell":
        turned = method.groups(cell.astype(np.int16), 1.0 - np.where(quantile == 0.5, 0.0, quantile), side)
        assert ((group != turned) | np.isnan(quantile) | (quantile == 0.5)).all()


def some_steps(learner: Learner, count: int = 1_500) -> None:
    events = some_events(count)
    for start in range(0, count, 100):
        learner.step(events.take(slice(start, start + 100)))


def learner(meta: str, **changes: object) -> Learner:
    small = {"user_capacity": 100, "item_capacity": 100, "wait_events": 300, "target": "idl"}
    return Learner(LearnerSettings.model_validate({**small, "meta": meta, **changes}))


def test_what_is_kept_is_not_counted_either() -> None:
    """Until `ig-sequential` is sure, only what was said counts as an exposure; without steering, all does."""
    kept, plain = learner("ig-sequential"), learner("none")
    kept.steering.test.observe = lambda z: None  # type: ignore[method-assign]  # it is never sure
    events, said = some_events(1_500), 0
    for start in range(0, 1_500, 100):
        for each in (kept, plain):
            report = each.step(events.take(slice(start, start + 100)))
        assert kept.counts.totals[0] <= said + 100
        said += int(((report.label != SILENT) & ~report.held_out).sum())
        assert report.direction is Direction.DIRECT
    assert kept.counts.totals[0] == pytest.approx(said, rel=0.01)
    assert plain.counts.totals[0] > 10 * said


def test_steered_learning_is_bitwise_reproducible_by_its_seed() -> None:
    states = []
    for seed in (1, 1, 2):
        flipped = learner("coin-flip", seed=seed)
        some_steps(flipped)
        states.append({name: value.tobytes() for name, value in flipped.state().items()})
    assert states[0] == states[1] != states[2]
