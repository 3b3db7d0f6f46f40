"""What held-out explicit feedback makes of a batch's unlabelled examples: direct, keep, inverse, or a weight each.

The judges are the examples that wait (`trainer.waiting`): nothing in them has been trained on when they judge. Methods:

    ig             one direction for the whole batch: the paper's three candidates, least held-out loss wins
    ig-local       the sign of the summed alignment, a group at a time
    l2rw           each example weighs max(0, its alignment)
    ig-sequential  a group's direction once an anytime-valid test is sure of it; until then KEEP
    coin-flip      a random direction a group: the control that any of these must beat
    none           ig's decision is computed and logged now and then, and not acted on

INVERSE means theta + rate g, as published, for `ig`, `ig-local` and `coin-flip`. `ig-sequential`, whose directions
last, trains toward 1 - w instead: gradient ascent has no end, and its inverse is un-confidence, not the other answer.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contract.side import DURATION, SURFACE, SideRows
from contract.watch import CELLS, DURATION_BUCKETS, NO_CELL, SURFACES
from models.alignment import alignments, group_means, local_signs, reweighted
from models.backbone import EXPLICIT, Parameters
from models.inverse_gradient import STEP_SIGN, Decision, Direction, judge
from models.sequential_test import DirectionTest
from models.step import Step
from models.targets import loss
from trainer.labels import POSITIVE
from trainer.settings import LearnerSettings
from trainer.step_report import Steered
from trainer.waiting import Held

Floats = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]

GROUPS = {"surface": 3 * SURFACES, "cell": CELLS + 1, "duration": 3 * DURATION_BUCKETS}


@dataclass(frozen=True)
class Proposal:
    """How a batch would be trained: B examples, of which the unlabelled may be steered."""

    logit: Tensor  # [B] of the explicit head, in the backbone's training
    w: Tensor  # [B]
    weight: Tensor  # [B]
    sign: Tensor  # [B] 1, or -1 where the gradient is to be reversed
    unsaid: npt.NDArray[np.bool_]  # [B]
    group: Groups  # [B]
    silence: float = 1.0  # how far saying nothing counts as a no, to the judges as to the target
    chosen: Floats | None = None  # [B] what was made of each example: 1 direct, 0 keep, -1 inverse; None = all direct
    decision: Decision | None = None

    def upstream(self) -> Tensor:
        """Return the gradient with respect to the logit. Shape [B]."""
        return self.sign * self.weight * (torch.sigmoid(self.logit) - self.w)


class Steering:
    """One method, and what it remembers."""

    def __init__(self, settings: LearnerSettings, spaces: dict[str, str], random: torch.Generator) -> None:
        """`spaces` are the backbone's; `random` is drawn from by `coin-flip` alone."""
        self.settings = settings
        self.test = DirectionTest(GROUPS[settings.meta_groups])
        self._spaces = spaces
        self._random = random

    def due(self, stepped: int, count: int) -> bool:
        """Return whether a batch of `count` events, after `stepped` others, has a decision."""
        every = self.settings.meta_every
        return self.settings.meta != "none" or stepped // every != (stepped + count) // every

    def groups(self, cell: npt.NDArray[np.int16], quantile: Floats, side: SideRows) -> Groups:
        """Return the group of each exposure. Shapes [N], [N], [N, 7] -> [N]."""
        if self.settings.meta_groups == "cell":
            return np.where(cell == NO_CELL, CELLS, cell).astype(np.int64)
        third = np.where(np.isnan(quantile), 2, quantile >= 0.5).astype(np.int64)
        if self.settings.meta_groups == "duration":
            return 3 * np.maximum(side[:, DURATION].astype(np.int64) - 1, 0) + third
        return 3 * (side[:, SURFACE].astype(np.int64) % SURFACES) + third

    def steer(self, step: Step, proposal: Proposal, judges: Held) -> Proposal:
        """Return the proposal as the judges want it. `step` holds the B examples and, behind them, the judges."""
        method, unsaid = self.settings.meta, proposal.unsaid & (proposal.weight.cpu().numpy() > 0)  # [B]
        if method == "coin-flip":
            flips = torch.randint(0, 2, (GROUPS[self.settings.meta_groups],), generator=self._random).numpy() * 2.0 - 1
            return self._reverse(proposal, np.where(unsaid, flips[proposal.group], 1.0))
        heard = bool((judges.label == POSITIVE).any())
        if method == "ig-sequential":
            if unsaid.any() and heard:
                self._observe(step, proposal, judges, unsaid)
            return self._go_on(proposal, unsaid)
        if not unsaid.any() or not heard:
            return proposal
        if method in ("none", "ig"):
            return self._judge(step, proposal, judges, unsaid)
        alignment = self._alignment(step, proposal, judges)[unsaid]
        group = proposal.group[unsaid]
        chosen = np.ones(len(unsaid))
        if method == "ig-local":
            chosen[unsaid] = local_signs(alignment, group)
            return self._reverse(proposal, chosen)
        chosen[unsaid] = reweighted(alignment)
        return replace(proposal, weight=proposal.weight * _like(chosen, proposal.weight), chosen=np.sign(chosen))

    def _observe(self, step: Step, proposal: Proposal, judges: Held, unsaid: npt.NDArray[np.bool_]) -> None:
        """Show the test how far each group's unlabelled examples agree with the judges."""
        alignment = self._alignment(step, proposal, judges)[unsaid]
        self.test.observe(group_means(alignment, proposal.group[unsaid], len(self.test.direction)))

    def _go_on(self, proposal: Proposal, unsaid: npt.NDArray[np.bool_]) -> Proposal:
        """Give each group the direction it has, whether or not anybody judged this batch."""
        chosen = np.where(unsaid, self.test.direction[proposal.group], 1.0)
        flipped = torch.where(_like(chosen, proposal.w) < 0, 1.0 - proposal.w, proposal.w)
        weight = proposal.weight * _like(np.abs(chosen), proposal.weight)
        return replace(proposal, w=flipped, weight=weight, chosen=chosen)

    def _reverse(self, proposal: Proposal, signs: Floats) -> Proposal:
        sign = _like(signs, proposal.sign)
        weight = proposal.weight * sign.abs()
        return replace(proposal, sign=torch.where(sign < 0, -1.0, 1.0), weight=weight, chosen=signs)

    def _judge(self, step: Step, proposal: Proposal, judges: Held, unsaid: npt.NDArray[np.bool_]) -> Proposal:
        """The paper's decision: one direction for all that is unlabelled in the batch."""
        upstream = proposal.upstream() * _like(unsaid.astype(np.float64), proposal.logit)
        examples = float(proposal.weight[torch.from_numpy(unsaid)].sum())
        mean = step.gradients(self._padded(upstream / examples, len(judges)))
        said, weight, offset = self._judging(judges, proposal)
        first = len(proposal.logit)

        def held_out_loss(parameters: Parameters) -> Tensor:
            answers = step.logits(parameters, slice(first, None))[:, EXPLICIT] + offset
            return loss(answers, said, weight) / weight.sum()

        decision = judge(step.parameters, mean, held_out_loss, self.settings.meta_rate, self.settings.meta_inner)
        if self.settings.meta == "none":
            return replace(proposal, decision=decision)
        signs = np.where(unsaid, -STEP_SIGN[decision.direction], 1.0)
        return replace(self._reverse(proposal, signs), decision=decision)

    def _alignment(self, step: Step, proposal: Proposal, judges: Held) -> Floats:
        said, weight, offset = self._judging(judges, proposal)
        first = len(proposal.logit)
        p = torch.sigmoid(step.logits()[first:, EXPLICIT] + offset)
        judging = torch.cat([torch.zeros_like(proposal.logit), weight * (p - said) / weight.sum()])
        upstream = self._padded(proposal.upstream(), len(judges))
        return alignments(step, self._spaces, _explicit(judging), upstream)[:first]

    @staticmethod
    def _judging(judges: Held, proposal: Proposal) -> tuple[Tensor, Tensor, Tensor]:
        """Return label, weight and offset of the judges, each [J]."""
        columns = (judges.label == POSITIVE, judges.judge_weights(proposal.silence), judges.offset[:, EXPLICIT])
        said, weight, offset = (_like(column, proposal.logit) for column in columns)
        return said, weight, offset

    @staticmethod
    def _padded(upstream: Tensor, judges: int) -> Tensor:
        return _explicit(torch.cat([upstream, upstream.new_zeros(judges)]))


def steered_in(proposal: Proposal, cell: npt.NDArray[np.int16], learned: npt.NDArray[np.bool_]) -> Steered | None:
    """Return what was decided of the unlabelled among `learned`; None where nothing was. Shapes [B], [B]."""
    chosen = proposal.chosen
    if chosen is None:
        if proposal.decision is None:
            return None
        chosen = np.full(len(learned), -STEP_SIGN[proposal.decision.direction])
    part = proposal.unsaid & learned
    return Steered(cell[part], chosen[part])


def direction_of(proposal: Proposal) -> Direction:
    """Return what was done with the unlabelled part as a whole: the direction of most of it."""
    if proposal.chosen is None or not proposal.unsaid.any():
        return Direction.DIRECT
    total = proposal.chosen[proposal.unsaid].sum()
    return Direction.DIRECT if total > 0 else Direction.INVERSE if total < 0 else Direction.KEEP


def _explicit(upstream: Tensor) -> Tensor:
    """Return the gradient of both heads' logits, given the explicit one's. Shape [B] -> [B, 2]."""
    return torch.stack([upstream, torch.zeros_like(upstream)], 1)


def _like(array: npt.NDArray[np.generic], tensor: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(array, np.float32)).to(tensor)
