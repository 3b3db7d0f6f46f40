"""What every backbone is: tables by row, logits for (user, item) pairs, and a graph that serves them.

Whatever the network, two heads read it: `explicit` (will the viewer say something good) and `watch` (how much of it
will they watch, as a quantile). To the network's answer every backbone adds the same plain terms, a bias for the user,
one for the item, and a bag of side features (author, tags, duration bucket, surface):

    match[h] = <head[h], interact(u, i)> + user_bias[u, h] + item_bias[i, h] + sum_f side[f, h]

A batch touches few rows, so learning never handles a whole table: `touch` gathers the rows of a batch into a small
model of its own, in which losses, gradients and trial steps are plain autograd. The same `forward` runs on the whole
tables and on the touched ones. Row 0 of a table stands for every id without a row, and for "nothing" in a list.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import embedding

Parameters = dict[str, Tensor]

EXPLICIT, WATCH = 0, 1
HEADS = 2
WHOLE = slice(None)
SPACES = ("users", "items", "sides")


@dataclass(frozen=True)
class Batch:
    """B pairs by row, int64."""

    user: Tensor  # [B]
    item: Tensor  # [B]
    side: Tensor  # [B, S] rows of the side table, 0 where there is none
    context: Mapping[str, Tensor] = field(default_factory=dict)
    """What a backbone looks up around a pair (neighbours, history): rows of the space its class names, 0 for none.
    An entry without a space, such as the weights of a list, stays as it is. All are [B, ...]."""

    def __len__(self) -> int:
        return len(self.user)

    def take(self, part: slice) -> "Batch":
        """Return some of the pairs, with their context."""
        context = {name: rows[part] for name, rows in self.context.items()}
        return Batch(self.user[part], self.item[part], self.side[part], context)


@dataclass(frozen=True)
class Rows:
    """How many rows each space has, row 0 included."""

    users: int
    items: int
    sides: int

    def __getitem__(self, space: str) -> int:
        count: int = getattr(self, space)
        return count


class Backbone(nn.Module, ABC):
    """A network that gives the logits of two heads. Subclasses add their tables to `spaces` and say how pairs interact.

    Parameters never require gradients: gradients are taken of touched copies (see `touch`).
    """

    spaces: ClassVar[dict[str, str]] = {"user_bias": "users", "item_bias": "items", "side": "sides"}
    """Space of every parameter that has one row an id; parameters that are not named are dense."""
    context_spaces: ClassVar[dict[str, str]] = {}
    """Space of every entry of `Batch.context` that is rows; an entry that is not named (a weight) is no row."""
    reads_items: ClassVar[bool] = False
    """Whether `describe_items` is listened to."""
    serving_graph: ClassVar[str]
    """ONNX text that computes `match` [N] from served vectors, `user` [1 or N, W] (if users have any) and `item`
    [N, W'], from `history` and `past` (see `serving_history`), and from `served_weights`."""
    served_spaces: ClassVar[tuple[str, ...]] = ("users", "items")
    """Spaces whose rows have served vectors."""
    serving_history: ClassVar[int] = 0
    """L of the graph's inputs `history` int64 [1, L], the user's latest positives as item rows, and `past` [1, L, W'],
    their served vectors; 0 = it has none."""

    def __init__(self, rows: Rows, width: int, init_std: float) -> None:
        """Make the common tables; `width` is Z, the size of an interaction."""
        super().__init__()
        self.init_std = init_std
        self.user_bias = table(rows.users, HEADS)
        self.item_bias = table(rows.items, HEADS)
        self.side = table(rows.sides, HEADS)
        self.head = nn.Parameter(torch.ones(HEADS, width), requires_grad=False)

    @abstractmethod
    def interact(self, batch: Batch) -> Tensor:
        """Return what the heads read of each pair. Shape [B, Z]."""

    @abstractmethod
    def start_vectors(self, space: str, rows: Tensor, generator: torch.Generator) -> None:
        """Give rows [R] of a space a new owner: draw the backbone's own vectors for them."""

    @abstractmethod
    def served_vectors(self, rows: Rows, head: Tensor) -> Parameters:
        """Return what `serving_graph` reads of the first rows, by space, for `served_spaces`.

        That of `sides` is what the features of an unknown item add to its vector. `head` [Z] is the heads as mixed for
        serving; linear maps are folded in, so that serving does the least.
        """

    @abstractmethod
    def served_weights(self, head: Tensor) -> Parameters:
        """Return what `serving_graph` reads beside vectors, by name."""

    @abstractmethod
    def rates(self) -> dict[str, float]:
        """Return the learning rate of each parameter."""

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits of each pair. Shape [B, 2]: explicit, watch."""
        biases = look_up(self.user_bias, batch.user) + look_up(self.item_bias, batch.item)
        plain = biases + look_up(self.side, batch.side).sum(1)  # [B, 2]
        return self.interact(batch) @ self.head.T + plain

    def expand(self, batch: Batch) -> Batch:
        """Return the batch with the context this backbone needs. Called with whole tables at hand."""
        return batch

    def describe_items(self, item: Tensor, side: Tensor) -> None:
        """Take in what items [P] are: their rows of the side table [P, S], 0 for none, in the order of ITEM_SLOTS."""

    def note_positives(self, user: Tensor, item: Tensor) -> None:
        """Take in pairs [P] with a positive, in order of time: what histories and neighbourhoods are made of."""

    def start_rows(self, space: str, rows: Tensor, generator: torch.Generator) -> None:
        """Give rows [R] a new owner: biases to zero, vectors anew."""
        if space != "sides":
            (self.user_bias if space == "users" else self.item_bias)[rows] = 0.0
        self.start_vectors(space, rows, generator)


class RowWise(Backbone):
    """What is served of a row depends on that row and dense weights alone: some can be served anew without the rest."""

    @abstractmethod
    def served_rows(self, space: str, rows: Tensor | slice, head: Tensor) -> Tensor:
        """Return what `serving_graph` reads of some rows of `users` or `items`. Shape [R, W]."""

    def served_vectors(self, rows: Rows, head: Tensor) -> Parameters:
        """Return the first rows of both spaces."""
        return {space: self.served_rows(space, slice(rows[space]), head) for space in self.served_spaces}


def table(rows: int, width: int) -> nn.Parameter:
    """Return a table of zeros, untouched pages of which cost no memory. Shape [rows, width] float32."""
    return nn.Parameter(torch.zeros(rows, width), requires_grad=False)


def look_up(whole: Tensor, rows: Tensor) -> Tensor:
    """Return rows of a table. Shapes [R, D], [...] -> [..., D].

    Unlike `whole[rows]`, whose gradient is added up by threads in any order once there are some ten thousand of them,
    it gives the same gradient bit for bit each time.
    """
    return embedding(rows, whole)


def draw(parameter: Tensor, rows: Tensor, std: float, generator: torch.Generator) -> None:
    """Set rows of a table to draws from N(0, std^2)."""
    fresh = torch.randn(len(rows), parameter.shape[1], generator=generator) * std
    parameter[rows] = fresh.to(parameter)


@dataclass(frozen=True)
class Touched:
    """The part of a backbone that one batch reads."""

    rows: Mapping[str, Tensor]  # space -> distinct rows, sorted; the first is always row 0
    parameters: Parameters  # tables cut to those rows, dense parameters whole; leaves that require gradients
    batch: Batch  # in positions of `rows`

    def rows_of(self, backbone: Backbone, name: str) -> Tensor | None:
        """Return which rows of a table were touched, None for a dense parameter."""
        space = backbone.spaces.get(name)
        return None if space is None else self.rows[space]


def touch(backbone: Backbone, batch: Batch) -> Touched:
    """Gather the rows of an expanded batch; the cost depends on the batch, not on the tables."""
    named = {"user": "users", "item": "items", "side": "sides", **backbone.context_spaces}
    lists = {"user": batch.user, "item": batch.item, "side": batch.side, **batch.context}
    rows: Parameters = {}
    local: Parameters = {}
    for space in SPACES:
        names = [name for name in lists if named.get(name) == space]
        nothing = torch.zeros(1, dtype=torch.int64, device=batch.user.device)
        flat = torch.cat([nothing, *(lists[name].reshape(-1) for name in names)])
        rows[space], place = torch.unique(flat, return_inverse=True)
        parts = place[1:].split([lists[name].numel() for name in names])
        local |= {name: part.reshape(lists[name].shape) for name, part in zip(names, parts, strict=True)}
    parameters = {
        name: (whole.detach()[rows[its]] if (its := backbone.spaces.get(name)) else whole.detach().clone())
        .requires_grad_()
        for name, whole in backbone.named_parameters()
    }  # fmt: skip
    context = {name: local.get(name, whole) for name, whole in batch.context.items()}
    return Touched(rows, parameters, Batch(local["user"], local["item"], local["side"], context))


def logits(backbone: Backbone, parameters: Parameters, batch: Batch) -> Tensor:
    """Return the logits of a batch that is given in positions of touched parameters. Shape [B, 2]."""
    result: Tensor = functional_call(backbone, parameters, (batch,))
    return result
