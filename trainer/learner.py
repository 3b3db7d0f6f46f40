"""The learner: one batch of events in, a better model and a report of what was seen out.

`Learner.step` is all there is to learning; the live worker and the offline replay both call it, so offline figures are
about the code that runs in production. A step predicts first, then learns. It is a function of the state and the batch
alone: no clock, no global random state. Its cost depends on the batch, not on the size of the tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contract.errors import SetupError
from contract.events import Events
from contract.id_table import IdTable
from contract.manifest import Calibration
from models.backbone import Backbone, Parameters, Touched, logits, touch
from models.gmf import GMF, GMFConfig
from models.inverse_gradient import STEP_SIGN, Decision, Direction, judge
from models.row_adagrad import RowAdagrad
from models.targets import UNSAID, AlignedIDL, Examples, belief_share, inverse_dual, loss, make_target
from trainer.annotator import Annotator
from trainer.evidence import NO_CELL, Evidence, WatchEvidence
from trainer.labels import POSITIVE, label_actions
from trainer.settings import LearnerSettings
from trainer.waiting import Held, Holdout, Queue, held_out, waits

Floats = npt.NDArray[np.float64]
State = dict[str, npt.NDArray[Any]]


class Stateful(Protocol):
    """A part of the learner that a checkpoint carries."""

    def state(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return everything `restore` needs."""

    def restore(self, state: State) -> None:
        """Take over a state."""


@dataclass(frozen=True)
class StepReport:
    """What a step saw before it learned, columns of length N, and what it decided."""

    events: Events
    evidence: Evidence
    label: npt.NDArray[np.int8]  # POSITIVE, NEGATIVE or UNLABELLED
    logit: Floats  # from before the batch was learned
    score: Floats  # calibrated probability of explicit positive feedback
    belief: Floats  # the annotator's w: given logit and evidence
    target: Floats  # what the batch trains the event toward
    held_out: npt.NDArray[np.bool_]  # kept for the gate, never learned
    idl_target: Floats  # paper IDL's target for each event, as a diagnostic
    prior: float
    calibration: Calibration  # as used for `score`
    decision: Decision | None  # Inverse Gradient's, where one was due
    direction: Direction  # what was done with the unlabelled part

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class Snapshot:
    """A frozen copy of the model, for scores that must share one state."""

    backbone: Backbone
    parameters: Parameters

    def logits(self, user_rows: npt.NDArray[np.int32], item_rows: npt.NDArray[np.int32]) -> Floats:
        """Return logits; rows that had no owner when the copy was made count as unknown. Shapes [N] -> [N]."""
        counts = {name: len(table) for name, table in self.parameters.items()}
        user, item = (
            torch.from_numpy(np.where(rows < counts[name], rows, 0).astype(np.int64)).to(self.parameters[name].device)
            for rows, name in (
                (user_rows, self.backbone.user_tables[0]),
                (item_rows, self.backbone.item_tables[0]),
            )
        )
        with torch.no_grad():
            return _floats(logits(self.backbone, self.parameters, user, item))


class Learner:
    """All learned state; `step` changes it, `state` and `restore` carry it over a crash."""

    def __init__(self, settings: LearnerSettings) -> None:
        """Make an untrained learner."""
        self.settings = settings
        self.device = choose_device(settings.device)
        self.users = IdTable(settings.user_capacity, settings.admit_after)
        self.items = IdTable(settings.item_capacity, settings.admit_after)
        self.backbone: Backbone = GMF(
            settings.user_capacity + 1, settings.item_capacity + 1, GMFConfig(dim=settings.dim)
        ).to(self.device)
        self.optimizer = RowAdagrad(self.backbone)
        self.target = make_target(settings.target)
        self.evidence = WatchEvidence()
        self.annotator = Annotator()
        self.queue = Queue(settings.wait_events)
        self.holdout = Holdout(settings.holdout_events)
        self.stepped = 0
        self._random = torch.Generator().manual_seed(settings.seed)

    def step(self, events: Events) -> StepReport:
        """Score a batch, then learn from it. At least one event."""
        label = label_actions(events.actions)
        evidence = self.evidence.read(events.watch_ms, events.duration_ms, events.foreground)
        arriving = Held(events.user_key, events.item_key, label, evidence.llr)
        out = held_out(events.event_key, self.settings.holdout_share)
        wait = ~out & waits(events.event_key, label)
        self._see(events)
        leaving = self.queue.turn(self.stepped, arriving.take(wait))
        self.holdout.add(arriving.take(out))

        batch = Held.concatenate([arriving, leaving])
        learned = np.concatenate([~(out | wait), np.ones(len(leaving), np.bool_)])
        decision_due = self._decision_due(len(events))
        judges = self.queue.everything() if decision_due else Held.empty()
        touched = self._touch(Held.concatenate([batch, judges]))
        user, item = touched.user[: len(batch)], touched.item[: len(batch)]
        logit = logits(self.backbone, touched.parameters, user, item)  # [B] this batch and what leaves the queue

        before = _floats(logit.detach())
        belief = self.annotator.believe(before, batch.llr)
        examples = self._examples(logit.detach(), batch.label, belief)
        w, weight = self.target(examples)
        weight = weight * self._tensor(learned)
        unsaid = (examples.explicit == UNSAID).to(weight.dtype)
        decision = None
        if decision_due:
            said_gradient = _gradients(loss(logit, w, weight * (1 - unsaid)), touched)
            unsaid_gradient = _gradients(loss(logit, w, weight * unsaid), touched)
            decision = self._judge(touched, unsaid_gradient, float((weight * unsaid).sum()), judges, len(batch))
            direction = decision.direction if decision and self.settings.meta == "ig" else Direction.DIRECT
            gradients = {
                name: said_gradient[name] - STEP_SIGN[direction] * unsaid_gradient[name] for name in said_gradient
            }
        else:
            direction = Direction.DIRECT
            gradients = _gradients(loss(logit, w, weight), touched)
        self.optimizer.step(self.backbone, touched, gradients)

        count = len(events)
        report = StepReport(
            events=events,
            evidence=evidence,
            label=label,
            logit=before[:count],
            score=self.annotator.scores(before[:count]),
            belief=belief[:count],
            target=_floats(w)[:count],
            held_out=out,
            idl_target=_floats(inverse_dual(logit))[:count],
            prior=self.evidence.positive_rate,
            calibration=self.annotator.calibration,
            decision=decision,
            direction=direction,
        )
        self._count(report)
        return report

    def logits(self, held: Held) -> Floats:
        """Return what the model says now of examples given by key. Shape [N]."""
        return self.view().logits(self.users.rows(held.user_key), self.items.rows(held.item_key))

    def view(self) -> Snapshot:
        """Return the model as it is now, sharing its memory: valid until the next step."""
        return Snapshot(self.backbone, self._used(copy=False))

    def snapshot(self) -> Snapshot:
        """Return a frozen copy of the rows in use."""
        return Snapshot(self.backbone, self._used(copy=True))

    def _see(self, events: Events) -> None:
        """Sight the ids of a batch, and start the rows that have a new owner."""
        for side, table, keys in (("users", self.users, events.user_key), ("items", self.items, events.item_key)):
            rows = table.see(keys, self.stepped).reassigned
            if len(rows):
                fresh = torch.from_numpy(rows.astype(np.int64)).to(self.device)
                self.backbone.start_rows(side, fresh, self._random)
                self.optimizer.start_rows(self.backbone, side, fresh)

    def _touch(self, held: Held) -> Touched:
        user, item = self.users.rows(held.user_key), self.items.rows(held.item_key)
        return touch(self.backbone, self._tensor(user.astype(np.int64)), self._tensor(item.astype(np.int64)))

    def _examples(self, logit: Tensor, label: npt.NDArray[np.int8], belief: Floats) -> Examples:
        prior = self.evidence.positive_rate
        return Examples(
            logit=logit,
            explicit=self._tensor(label.astype(np.float32)),
            belief=self._tensor(belief.astype(np.float32)),
            prior=prior,
            belief_share=belief_share(prior),
        )

    def _decision_due(self, count: int) -> bool:
        every = self.settings.meta_every
        return self.settings.meta == "ig" or self.stepped // every != (self.stepped + count) // every

    def _judge(
        self, touched: Touched, gradient: Parameters, examples: float, judges: Held, batch: int
    ) -> Decision | None:
        """Let what waits judge the unlabelled gradient; None while no positive waits or nothing is unlabelled."""
        if not examples or not (judges.label == POSITIVE).any():
            return None
        user, item = touched.user[batch:], touched.item[batch:]
        said = self._tensor((judges.label == POSITIVE).astype(np.float32))
        weight = self._tensor(judges.judge_weights().astype(np.float32))
        mean = {name: part / examples for name, part in gradient.items()}

        def held_out_loss(parameters: Parameters) -> Tensor:
            return loss(logits(self.backbone, parameters, user, item), said, weight) / weight.sum()

        return judge(touched.parameters, mean, held_out_loss, self.settings.meta_rate, self.settings.meta_inner)

    def _count(self, report: StepReport) -> None:
        """Let the sketches learn from a batch, after it was scored."""
        events, evidence = report.events, report.evidence
        cell = np.where(report.held_out, NO_CELL, evidence.cell).astype(np.int16)
        self.evidence.count(events.watch_ms, events.duration_ms, cell, report.label)
        told = cell != NO_CELL
        self.annotator.count(report.logit[told], evidence.llr[told], report.label[told] == POSITIVE)
        self.stepped += len(report)

    def _used(self, copy: bool) -> Parameters:
        counts = {
            **dict.fromkeys(self.backbone.user_tables, self.users.row_count),
            **dict.fromkeys(self.backbone.item_tables, self.items.row_count),
        }
        used = {name: whole.detach()[: counts.get(name)] for name, whole in self.backbone.named_parameters()}
        return {name: table.clone() for name, table in used.items()} if copy else used

    def _tensor(self, array: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def state(self) -> State:
        """Return everything a later learner needs to go on as this one would have, by dotted names."""
        state: State = {
            "stepped": np.array([self.stepped]),
            "random": self._random.get_state().numpy(),
        }
        for name, table in self._used(copy=False).items():
            state[f"model.{name}"] = table.cpu().numpy()
            state[f"adagrad.{name}"] = self.optimizer.excess[name][: len(table)].cpu().numpy()
        if isinstance(self.target, AlignedIDL):
            state["target.offset"] = np.array([self.target.offset])
        for part, owner in self._parts().items():
            state |= {f"{part}.{name}": value for name, value in owner.state().items()}
        return state

    def restore(self, state: State) -> None:
        """Take over a state made under the same settings."""
        self.stepped = int(state["stepped"][0])
        self._random.set_state(torch.from_numpy(state["random"].astype(np.uint8)))
        for name, parameter in self.backbone.named_parameters():
            for prefix, whole in (("model", parameter), ("adagrad", self.optimizer.excess[name])):
                saved = torch.from_numpy(np.array(state[f"{prefix}.{name}"]))
                whole.data[: len(saved)] = saved.to(self.device)
        if isinstance(self.target, AlignedIDL):
            self.target.offset = float(state["target.offset"][0])
        for part, owner in self._parts().items():
            owner.restore(
                {name.removeprefix(f"{part}."): value for name, value in state.items() if name.startswith(f"{part}.")}
            )

    def _parts(self) -> dict[str, Stateful]:
        return {
            "users": self.users,
            "items": self.items,
            "evidence": self.evidence,
            "annotator": self.annotator,
            "queue": self.queue,
            "holdout": self.holdout,
        }


def choose_device(name: str) -> torch.device:
    """Return the device of a `--device` value. Raises SetupError for cuda where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise SetupError("device cuda was asked for, but torch sees no GPU here; use --device auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _gradients(total: Tensor, touched: Touched) -> Parameters:
    names = list(touched.parameters)
    parts = torch.autograd.grad(total, [touched.parameters[name] for name in names], retain_graph=True)
    return dict(zip(names, parts, strict=True))


def _floats(tensor: Tensor) -> Floats:
    return tensor.cpu().numpy().astype(np.float64)
