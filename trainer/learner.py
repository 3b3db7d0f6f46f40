"""The learner: one batch of events in, a better model and a report of what was seen out.

`Learner.step` is all there is to learning; the live worker and the offline replay both call it, so offline figures are
about the code that runs in production. A step predicts first, then learns. It is a function of the state and the batch
alone: no clock, no global random state. Its cost depends on the batch, not on the size of the tables.

What learns: counts of users, items and side features (`models.counts`), a readout that weighs them (`models.readout`),
the backbone as what is left to say of a pair, and the annotator. The backbone learns explicit events only after they
have waited and judged (`trainer.waiting`); the rest learns at once.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contract.belief import sigmoid
from contract.events import Events
from contract.hashing import Keys
from contract.id_table import IdTable
from contract.side import ITEM_SLOTS, SIDE_SLOTS, SURFACE, SideRows, side_rows
from contract.watch import NO_CELL
from models.backbone import EXPLICIT, WATCH, Backbone, Batch, Rows
from models.backbones import BACKBONES
from models.counts import Counts
from models.readout import Prediction, Readout
from models.row_adagrad import RowAdagrad
from models.step import Step, begin
from models.targets import SAMPLED, AlignedIDL, Examples, belief_share, inverse_dual, make_target
from models.trust import silence_share
from trainer.annotator import Annotator
from trainer.changed import Changed
from trainer.device import choose_device
from trainer.evidence import WatchEvidence
from trainer.frozen import Frozen, cut, freeze
from trainer.invented import Invented, invent
from trainer.labels import POSITIVE, UNLABELLED, label_actions
from trainer.settings import LearnerSettings
from trainer.stateful import State, Stateful, gather, scatter
from trainer.steering import Proposal, Steering, direction_of, steered_in
from trainer.step_report import StepReport
from trainer.telling import provisional, put_right
from trainer.waiting import Held, Holdout, Queue, held_out, waits
from trainer.weights import put_weights, weights

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int8]
RowNumbers = npt.NDArray[np.int64]
_Pairs = tuple[RowNumbers, RowNumbers, SideRows]  # user [N], item [N], side [N, 7], by row


class Learner:
    """All learned state; `step` changes it, `state` and `restore` carry it over a crash."""

    def __init__(self, settings: LearnerSettings) -> None:
        """Make an untrained learner."""
        self.settings = settings
        self.device = choose_device(settings.device)
        self.users = IdTable(settings.user_capacity, settings.admit_after)
        self.items = IdTable(settings.item_capacity, settings.admit_after)
        rows = Rows(settings.user_capacity + 1, settings.item_capacity + 1, settings.side_rows)
        self.counts = Counts(rows.users, rows.items, rows.sides)
        self.readout = Readout(settings.cascade)
        self.backbone = self._new_backbone(rows).to(self.device)
        self.optimizer = RowAdagrad(self.backbone)
        self.target = make_target(settings.target)
        self.evidence = WatchEvidence()
        self.annotator = Annotator()
        self.queue = Queue(settings.wait_events)
        self.holdout = Holdout(settings.holdout_events)
        self.item_side = np.zeros((rows.items, SIDE_SLOTS), np.int32)  # each item's own features; no surface
        self.changed = Changed(rows)
        self.stepped = 0
        self._random = torch.Generator().manual_seed(settings.seed)
        self.steering = Steering(settings, self.backbone.spaces, self._random)

    def step(self, events: Events) -> StepReport:
        """Score a batch, then learn from it. At least one event."""
        count, label = len(events), label_actions(events.actions)
        out = held_out(events.event_key, self.settings.holdout_share)
        wait = ~out & waits(events.event_key, label)
        evidence = self.evidence.tables().read(events.watch_ms, events.duration_ms, events.foreground, events.surface)
        silence = silence_share(self.counts.negative_share, self.counts.breadth)
        pairs = self._see(events, out)
        told = provisional(self.settings.target, label, evidence.quantile, ~out, silence)
        features = self.counts.read_and_count(*pairs, told)

        due = self.steering.due(self.stepped, count)
        leaving, judges = self.queue.leaving(self.stepped), self.queue.everything() if due else Held.empty()
        invented = self._invent(events, pairs)
        later = Held.concatenate([leaving, invented.held]) if invented else leaving
        step = self._begin(pairs, later, judges)
        match = step.logits()
        matched = _floats(match[:count])
        predicted = self.readout.predict(features, matched)
        belief = self.annotator.believe(predicted.logit, predicted.watch_counts, evidence.llr)
        arriving = Held(events.user_key, events.item_key, pairs[2], label, evidence.quantile, evidence.llr,
                        evidence.cell, predicted.watch_counts, predicted.offset, features.trust)  # fmt: skip
        batch = Held.concatenate([arriving, later])

        proposal = self._propose(batch, match[: len(batch)], predicted, belief, silence)
        if due:
            proposal = self.steering.steer(step, proposal, judges)
        learned = np.concatenate([~(out | wait), np.ones(len(batch) - count, np.bool_)])
        self._train(step, proposal, batch, match, learned)
        w, weight = _floats(proposal.w).clip(0.0, 1.0), _floats(proposal.weight * (proposal.sign > 0))
        put_right(self.counts, *pairs, told, w[:count], weight[:count], features.trust)
        disliked = np.where(told.said & ~out, told.dislike.astype(np.float64), np.nan)
        quantile = np.where(out, np.nan, evidence.quantile)
        self.readout.learn(
            features, matched, predicted, w[:count], weight[:count] * features.trust * ~out, quantile, disliked
        )
        if invented:
            invented.teach(self.readout)
        self._note(leaving)

        report = StepReport(
            events=events,
            evidence=evidence,
            label=label,
            logit=predicted.logit,
            score=self.annotator.scores(predicted.logit),
            belief=belief,
            watch_logit=predicted.watch_logit,
            dislike=sigmoid(predicted.dislike_logit),
            target=w[:count],
            held_out=out,
            capped=np.zeros(count, np.bool_),
            idl_target=_floats(inverse_dual(torch.from_numpy(predicted.logit))),
            prior=self.evidence.positive_rate,
            calibration=self.annotator.calibration,
            decision=proposal.decision,
            direction=direction_of(proposal),
            steered=steered_in(proposal, batch.cell, learned),
        )
        weight = np.where(label == UNLABELLED, silence, 1.0) * ~out
        self.evidence.count(evidence, label, weight)
        self.annotator.learn(predicted.logit, predicted.watch_counts, evidence.llr, label == POSITIVE, weight)
        self.queue.add(self.stepped, arriving.take(wait))
        self.holdout.add(arriving.take(out))
        self.stepped += count
        return report

    def predict(self, user: Keys, item: Keys, side: SideRows) -> Prediction:
        """Return what the model says now of pairs given by key. Shapes [N], [N], [N, 7]."""
        return self.predict_rows(self.users.rows(user).astype(np.int64), self.items.rows(item).astype(np.int64), side)

    def predict_rows(self, user: RowNumbers, item: RowNumbers, side: SideRows) -> Prediction:
        """Return what the model says now of pairs given by row. Shapes [N], [N], [N, 7]."""
        return Frozen(self.counts, self.readout, self.backbone).predict(user, item, side)

    def rows_in_use(self) -> Rows:
        """Return how many rows have been handed out on each side, and the size of the side table."""
        return Rows(self.users.row_count, self.items.row_count, self.settings.side_rows)

    def logits(self, held: Held) -> Floats:
        """Return what the model says now of held examples. Shape [N]."""
        return self.predict(held.user_key, held.item_key, held.side).logit

    def snapshot(self) -> Frozen:
        """Return a frozen copy of the rows in use."""
        return freeze(self.counts, self.readout, self.backbone, self._new_backbone, self.rows_in_use())

    def start_rows(self, space: str, fresh: RowNumbers) -> None:
        """Forget all that was learned of rows: they have a new owner, or none any more."""
        self.changed.note_owners(space, fresh)
        self.counts.start_rows(space, fresh)
        if space == "items":
            self.item_side[fresh] = 0
        self.backbone.start_rows(space, self._tensor(fresh), self._random)
        self.optimizer.start_rows(self.backbone, space, self._tensor(fresh))

    def side_of(self, events: Events) -> SideRows:
        """Return the rows of events' side features. Shape [N, 7]."""
        return side_rows(events.surface, events.author_id, events.tags, events.duration_ms, self.settings.side_rows)

    def _new_backbone(self, rows: Rows) -> Backbone:
        return BACKBONES[self.settings.backbone](rows, self.settings.dim)

    def _see(self, events: Events, out: Mask) -> _Pairs:
        """Sight the ids of a batch, and start the rows that have a new owner."""
        side = self.side_of(events)
        rows = []
        for space, table, keys in (("users", self.users, events.user_key), ("items", self.items, events.item_key)):
            sighting = table.see(keys, self.stepped)
            rows.append(sighting.rows.astype(np.int64))
            if len(sighting.reassigned):
                self.start_rows(space, sighting.reassigned.astype(np.int64))
        described = np.flatnonzero((rows[1] != 0) & ~out)
        item, own = rows[1][described], side[described, ITEM_SLOTS]
        own = np.where(own != 0, own, self.item_side[item, ITEM_SLOTS])  # an event need not say what is known already
        self.item_side[item, ITEM_SLOTS] = own
        if self.backbone.reads_items:
            self.backbone.describe_items(self._tensor(item), self._tensor(own.astype(np.int64)))
        return rows[0], rows[1], side

    def _invent(self, events: Events, pairs: _Pairs) -> Invented | None:
        """Return random negatives for the targets that sample them."""
        if self.settings.target not in SAMPLED or self.items.row_count < 2:
            return None
        item = torch.randint(1, self.items.row_count, (len(events),), generator=self._random).numpy()
        users, items = (events.user_key, pairs[0]), (self.items.keys(item), item)
        return invent(self.counts, self.readout, users, items, pairs[2][:, SURFACE], self.item_side[item])

    def _begin(self, pairs: _Pairs, *parts: Held) -> Step:
        """Cut out the rows of the batch and of examples given by key."""
        held = Held.concatenate(list(parts))
        user, item, side = pairs
        if len(held):
            user = np.concatenate([user, self.users.rows(held.user_key)])
            item = np.concatenate([item, self.items.rows(held.item_key)])
            side = np.concatenate([side, held.side])
        self.changed.note(user, item, side)
        u, i, s = (self._tensor(part.astype(np.int64)) for part in (user, item, side))
        return begin(self.backbone, self.optimizer, Batch(u, i, s))

    def _propose(self, batch: Held, match: Tensor, predicted: Prediction, belief: Floats, silence: float) -> Proposal:
        """Let the target say where the examples should go. `predicted` and `belief` are of the events that arrived."""
        logit = batch.offset[:, EXPLICIT] + _floats(match[:, EXPLICIT])
        stacked = np.concatenate([predicted.logit, logit[len(belief) :]])
        later = slice(len(belief), None)
        late = self.annotator.believe(stacked[later], batch.watch_counts[later], batch.llr[later])
        prior = self.evidence.positive_rate
        examples = Examples(
            logit=self._float(stacked),
            explicit=self._float(batch.label),
            quantile=self._float(batch.quantile),
            belief=self._float(np.concatenate([belief, late])),
            told=self._float(batch.cell != NO_CELL),
            prior=prior,
            belief_share=belief_share(prior, self.evidence.positives),
            absence_share=silence,
            seen=self.stepped,
        )
        w, weight = self.target(examples)
        group = self.steering.groups(batch.cell, batch.quantile, batch.side)
        unsaid = batch.label == UNLABELLED
        return Proposal(self._float(logit), w, weight, torch.ones_like(w), unsaid, group, silence)

    def _train(self, step: Step, proposal: Proposal, batch: Held, match: Tensor, learned: Mask) -> None:
        """Change the backbone: the explicit head toward the targets, the watch head toward the quantiles."""
        watched = learned & np.isfinite(batch.quantile)
        v = self._float(batch.offset[:, WATCH]) + match[: len(batch), WATCH]
        quantile = self._float(np.where(watched, batch.quantile, 0.0))
        upstream = torch.zeros_like(match)
        upstream[: len(batch), EXPLICIT] = proposal.upstream() * self._float(learned * batch.trust)
        upstream[: len(batch), WATCH] = (torch.sigmoid(v) - quantile) * self._float(watched)
        step.apply(step.gradients(upstream))

    def _note(self, leaving: Held) -> None:
        """Show the backbone the positives that it has just learned: earlier, their answer would be in their context."""
        liked = np.flatnonzero(leaving.label == POSITIVE)
        if len(liked):
            rows = self.users.rows(leaving.user_key[liked]), self.items.rows(leaving.item_key[liked])
            self.backbone.note_positives(*(self._tensor(part.astype(np.int64)) for part in rows))

    def _tensor(self, array: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _float(self, array: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array.astype(np.float32)).to(self.device)

    def state(self) -> State:
        """Return everything a later learner needs to go on as this one would have, by dotted names."""
        state: State = {"stepped": np.array([self.stepped]), "random": self._random.get_state().numpy()}
        rows = self.rows_in_use()
        state |= weights(self.backbone, self.optimizer, rows)
        state["item_side"] = self.item_side[: rows.items]
        if isinstance(self.target, AlignedIDL):
            state["target.offset"] = np.array([self.target.offset])
        state |= {f"counts.{name}": part for name, part in cut(self.counts.state(), rows).items()}
        state |= gather(self._parts())
        return state

    def restore(self, state: State) -> None:
        """Take over a state made under the same settings."""
        self.stepped = int(state["stepped"][0])
        self._random.set_state(torch.from_numpy(state["random"].astype(np.uint8)))
        put_weights(self.backbone, self.optimizer, state)
        self.item_side[: len(state["item_side"])] = state["item_side"]
        if isinstance(self.target, AlignedIDL):
            self.target.offset = float(state["target.offset"][0])
        scatter({**self._parts(), "counts": self.counts}, state)

    def _parts(self) -> dict[str, Stateful]:
        return {
            "users": self.users,
            "items": self.items,
            "readout": self.readout,
            "evidence": self.evidence,
            "annotator": self.annotator,
            "steering": self.steering.test,
            "queue": self.queue,
            "holdout": self.holdout,
        }


def _floats(tensor: Tensor) -> Floats:
    return tensor.detach().cpu().numpy().astype(np.float64)
