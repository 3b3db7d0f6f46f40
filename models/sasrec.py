"""Self-attention over what a user liked last: the history is the user, and nothing else of them is stored.

    x_0 = item[history] + position                          [L, D], oldest first
    x  <- x + Attention(n Q, n K, n V),  n = LayerNorm(x)   causal, one head, scores n Q (n K)^T / sqrt(D)
    x  <- x + relu(m F1 + f1) F2 + f2,   m = LayerNorm(x)   point-wise; BLOCKS times both
    h   = LayerNorm(x)[last],   interact(u, i) = h * item[i]

One item vector serves as history and as candidate. A place of the history that holds nothing reads a learned start
vector, and only the place itself may attend to it: a user without history is what the network makes of that vector.

Nothing leaks: `expand` is called before a batch's own positives are noted, so an example meets the history its user had
before it. Whoever lets an example wait must note its positive when it is learned, not when it arrives.

Source: Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, section III. Ours: we learn from the
last place alone, from labelled pairs as they come; no dropout (a stream is seen once, and a step must be repeatable);
the start vector; the last layer norm, which keeps h at one scale while item vectors grow.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from models.backbone import Backbone, Batch, Parameters, Rows, draw, look_up, table
from models.neighbours import Neighbours

HISTORY = 16  # L
BLOCKS = 2
_EPSILON = 1e-5  # of layer norms
_NEVER = -1e9  # the attention score of a place that must not be seen
_SEED = 2018  # of the dense layers: every SASRec of one size starts with the same

_BLOCK_GRAPH = """
        n_{b} = LayerNormalization <axis = -1, epsilon = 1e-5> (x_{b}, norm_gain_{b}, norm_bias_{b})
        q_{b} = MatMul (n_{b}, query_{b})
        k_{b} = MatMul (n_{b}, key_{b})
        v_{b} = MatMul (n_{b}, value_{b})
        k_turned_{b} = Transpose <perm = [0, 2, 1]> (k_{b})
        alike_{b} = MatMul (q_{b}, k_turned_{b})
        seen_{b} = Where (unseen, never, alike_{b})
        share_{b} = Softmax <axis = -1> (seen_{b})
        mixed_{b} = MatMul (share_{b}, v_{b})
        y_{b} = Add (x_{b}, mixed_{b})
        m_{b} = LayerNormalization <axis = -1, epsilon = 1e-5> (y_{b}, forward_gain_{b}, forward_bias_{b})
        inner_product_{b} = MatMul (m_{b}, inner_{b})
        inner_sum_{b} = Add (inner_product_{b}, inner_bias_{b})
        inner_relu_{b} = Relu (inner_sum_{b})
        outer_product_{b} = MatMul (inner_relu_{b}, outer_{b})
        outer_sum_{b} = Add (outer_product_{b}, outer_bias_{b})
        x_{after} = Add (y_{b}, outer_sum_{b})
"""
_BLOCKS_GRAPH = "".join(_BLOCK_GRAPH.format(b=block, after=block + 1) for block in range(BLOCKS))


@dataclass(frozen=True)
class SASRecConfig:
    """Sizes and rates."""

    dim: int = 16
    init_std: float = 0.05
    embedding_rate: float = 0.1
    bias_rate: float = 0.05
    dense_rate: float = 0.01


class SASRec(Backbone):
    """Item vectors are zero until `start_rows` gives a row its owner; users have a history in place of a vector."""

    spaces: ClassVar[dict[str, str]] = {**Backbone.spaces, "item": "items"}
    context_spaces: ClassVar[dict[str, str]] = {"history": "items"}
    served_spaces: ClassVar[tuple[str, ...]] = ("items",)
    serving_history: ClassVar[int] = HISTORY
    serving_graph: ClassVar[str] = f"""
        empty = Equal (history, nothing)
        empty_place = Unsqueeze (empty, axis_2)
        empty_key = Unsqueeze (empty, axis_1)
        empty_other = And (empty_key, other_place)
        unseen = Or (empty_other, later_place)
        read = Where (empty_place, start, past)
        x_0 = Add (read, position)
{_BLOCKS_GRAPH}
        x_last_place = Gather <axis = 1> (x_{BLOCKS}, last)
        x_last = Squeeze (x_last_place, axis_1)
        h = LayerNormalization <axis = -1, epsilon = 1e-5> (x_last, last_gain, last_bias)
        products = Mul (h, item)
        match = ReduceSum <keepdims = 0> (products, axis_1)
"""

    def __init__(self, rows: Rows, config: SASRecConfig) -> None:
        """Make tables of the given numbers of rows, the layers, and empty histories."""
        super().__init__(rows, config.dim, config.init_std)
        self.config = config
        self.item = table(rows.items, config.dim)
        self.history = Neighbours(rows.users, rows.items, HISTORY)
        dim, generator = config.dim, torch.Generator().manual_seed(_SEED)

        def drawn(*shape: int, std: float = dim**-0.5) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) * std, requires_grad=False)

        def filled(*shape: int, value: float = 0.0) -> nn.Parameter:
            return nn.Parameter(torch.full(shape, value), requires_grad=False)

        self.position = drawn(HISTORY, dim, std=config.init_std)
        self.start = drawn(dim, std=config.init_std)
        self.query, self.key, self.value = (drawn(BLOCKS, dim, dim) for _ in range(3))
        self.inner, self.outer = drawn(BLOCKS, dim, dim), drawn(BLOCKS, dim, dim)
        self.inner_bias, self.outer_bias = filled(BLOCKS, dim), filled(BLOCKS, dim)
        self.norm_gain, self.norm_bias = filled(BLOCKS, dim, value=1.0), filled(BLOCKS, dim)
        self.forward_gain, self.forward_bias = filled(BLOCKS, dim, value=1.0), filled(BLOCKS, dim)
        self.last_gain, self.last_bias = filled(dim, value=1.0), filled(dim)

    def expand(self, batch: Batch) -> Batch:
        """Return the batch with `history` [B, L]: item rows, each once, the newest last, 0 where there is none."""
        return replace(batch, context={"history": _each_once(self.history.of(batch.user))})

    def note_positives(self, user: Tensor, item: Tensor) -> None:
        """Append items [P] to the histories of users [P]."""
        self.history.add(user, item)

    def interact(self, batch: Batch) -> Tensor:
        """Return what the history makes of the user, times the item. Shape [B, D]."""
        return self.read(batch.context["history"]) * look_up(self.item, batch.item)

    def read(self, history: Tensor) -> Tensor:
        """Return the user's vector that each history [B, L] makes. Shape [B, D]."""
        empty = history == 0  # [B, L]
        other_place, later_place = _places(history.device)
        unseen = later_place | (other_place & empty[:, None, :])  # [B, L, L]
        x = torch.where(empty[..., None], self.start, look_up(self.item, history)) + self.position  # [B, L, D]
        for block in range(BLOCKS):
            asking = slice(-1, None) if block == BLOCKS - 1 else slice(None)  # only the last place is read in the end
            x = self._block(x, unseen, block, asking)
        return self._norm(x[:, 0], self.last_gain, self.last_bias)

    def _block(self, x: Tensor, unseen: Tensor, block: int, asking: slice) -> Tensor:
        n = self._norm(x, self.norm_gain[block], self.norm_bias[block])  # [B, L, D]
        query, key, value = n[:, asking] @ self.query[block], n @ self.key[block], n @ self.value[block]
        alike = query @ key.mT * self.config.dim**-0.5  # [B, A, L] for the A places that ask
        x = x[:, asking] + alike.masked_fill(unseen[:, asking], _NEVER).softmax(-1) @ value  # [B, A, D]
        m = self._norm(x, self.forward_gain[block], self.forward_bias[block])
        inner = torch.relu(m @ self.inner[block] + self.inner_bias[block])
        return x + inner @ self.outer[block] + self.outer_bias[block]

    def _norm(self, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        return layer_norm(x, (self.config.dim,), gain, bias, _EPSILON)

    def start_vectors(self, space: str, rows: Tensor, generator: torch.Generator) -> None:
        """Empty new users' histories; draw new items' vectors from N(0, init_std^2) and take them out of histories."""
        if space == "users":
            self.history.forget(rows)
        if space == "items":
            self.history.forget_target(rows)
            draw(self.item, rows, self.init_std, generator)

    def served_vectors(self, rows: Rows, head: Tensor) -> Parameters:
        """Return the vectors of items [I, D]; users have histories instead."""
        return {"items": self.item[: rows.items]}

    def served_weights(self, head: Tensor) -> Parameters:
        """Return the layers; the head is folded into the last norm, 1 / sqrt(D) into queries."""
        other_place, later_place = _places(head.device)
        weights = {
            "position": self.position,
            "start": self.start,
            "last_gain": self.last_gain * head,
            "last_bias": self.last_bias * head,
            "other_place": other_place,
            "later_place": later_place,
            "never": torch.tensor([_NEVER]),
            "nothing": torch.tensor([0]),
            "last": torch.tensor([HISTORY - 1]),
            "axis_1": torch.tensor([1]),
            "axis_2": torch.tensor([2]),
        }
        for block in range(BLOCKS):
            weights |= {f"{name}_{block}": getattr(self, name)[block] for name in _OF_A_BLOCK}
            weights[f"query_{block}"] = self.query[block] * self.config.dim**-0.5
        return weights

    def rates(self) -> dict[str, float]:
        """Return the learning rate of each parameter."""
        config = self.config
        return {
            "item": config.embedding_rate,
            **dict.fromkeys(("head", "position", "start", "last_gain", "last_bias", *_OF_A_BLOCK), config.dense_rate),
            **dict.fromkeys(("user_bias", "item_bias", "side"), config.bias_rate),
        }


_OF_A_BLOCK = (
    "norm_gain", "norm_bias", "query", "key", "value",
    "forward_gain", "forward_bias", "inner", "inner_bias", "outer", "outer_bias",
)  # fmt: skip


def _each_once(history: Tensor) -> Tensor:
    """Return histories with each item where it was last liked, right-aligned: as a version carries them. [B, L]."""
    _, later_place = _places(history.device)
    again = ((history[:, :, None] == history[:, None, :]) & later_place).any(2)
    kept = torch.where(again, 0, history)
    return torch.gather(kept, 1, torch.argsort((kept != 0).to(torch.int8), dim=1, stable=True))


def _places(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return which pairs of places are not the same, and of which the second comes later. Shapes [L, L], bool."""
    place = torch.arange(HISTORY, device=device)
    return place[:, None] != place, place[:, None] < place
