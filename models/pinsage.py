"""PinSage: an item is its own features and a pool of the items that short walks from it visit most.

    q_i = sum of side_vector over the author, tags and duration of i, plus a vector of its own
    n_i = sum_j alpha_ij ReLU(Q q_j + b)    alpha_ij = share of the walks i -> user -> j, j != i, of the T most visited
    v_i = W q_i + V n_i                     v_u = user_u + mean over the items j that u liked of W q_j

An item never seen before has neither walks nor a vector of its own, and v = W q is linear in its features: it is served
as the sum of rows of the table side_vector W^T.
Source: Ying et al., "Graph Convolutional Neural Networks for Web-Scale Recommender Systems", KDD 2018, algorithm 1 and
section 3.2 (importance pooling). Ours: all walks of two steps are counted instead of sampled; ReLU and normalisation of
the output are left out, for the cold path to be linear; users, heads, biases and side features.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad, relu

from models.backbone import Backbone, Batch, Parameters, Rows, draw, look_up, table
from models.graph import OnlineGraph, chunks
from models.neighbours import Neighbours
from models.ngcf import xavier


@dataclass(frozen=True)
class PinSageConfig:
    """Sizes and rates."""

    dim: int = 16
    keep: int = 8
    pooled: int = 8
    """Neighbours pooled into an item, T: the most visited of at most keep^2."""
    item_slots: int = 6
    """Features of an item; in a row of `Batch.side` they are the last ones."""
    init_std: float = 0.05
    embedding_rate: float = 0.1
    bias_rate: float = 0.05
    dense_rate: float = 0.01
    weight_seed: int = 2018
    """Seed of dense weights and side vectors: they are part of the design, not of a run."""


class PinSage(OnlineGraph):
    """Side vectors are drawn at construction, for side rows never change owner; items' own vectors start at zero."""

    reads_items: ClassVar[bool] = True
    served_spaces: ClassVar[tuple[str, ...]] = ("users", "items", "sides")
    spaces: ClassVar[dict[str, str]] = {
        **Backbone.spaces,
        "user": "users",
        "item": "items",
        "side_vector": "sides",
    }
    context_spaces: ClassVar[dict[str, str]] = {
        "item_sides": "sides",  # [B, F]
        "near_items": "items",  # [B, T], with near_weight [B, T] float64
        "near_sides": "sides",  # [B, T, F]
        "user_items": "items",  # [B, K]
        "user_items_sides": "sides",  # [B, K, F]
    }

    def __init__(self, rows: Rows, config: PinSageConfig) -> None:
        """Make tables of the given numbers of rows, a graph without edges, and dense weights."""
        super().__init__(rows, config.dim, config.init_std, config.keep)
        self.config = config
        dim, generator = config.dim, torch.Generator().manual_seed(config.weight_seed)
        self.own_map = xavier((dim, dim), generator)  # W
        self.pool_map = xavier((dim, dim), generator)  # V
        self.message_map = xavier((dim, dim), generator)  # Q
        self.message_bias = table(1, dim)  # b
        self.user = table(rows.users, dim)
        self.item = table(rows.items, dim)
        self.side_vector = table(rows.sides, dim)
        draw(self.side_vector, torch.arange(1, rows.sides), config.init_std, generator)
        self.item_side: Tensor
        self.register_buffer("item_side", torch.zeros(rows.items, config.item_slots, dtype=torch.int32))

    def describe_items(self, item: Tensor, side: Tensor) -> None:
        """Store what items [P] are: rows of the side table [P, F'], F' at most `item_slots`; row 0 is no item."""
        known = item != 0
        self.item_side[item[known]] = self._slots(side[known]).to(torch.int32)

    def start_rows(self, space: str, rows: Tensor, generator: torch.Generator) -> None:
        """Give rows [R] a new owner: what was described is forgotten, too."""
        super().start_rows(space, rows, generator)
        if space == "items":
            self.item_side[rows] = 0

    def start_vectors(self, space: str, rows: Tensor, generator: torch.Generator) -> None:
        """Draw users' and sides' vectors from N(0, init_std^2); an item is its features until it learns more."""
        if space == "items":
            self.item[rows] = 0.0
        elif space == "users":
            draw(self.user, rows, self.init_std, generator)
        else:
            draw(self.side_vector, rows[rows != 0], self.init_std, generator)

    def expand(self, batch: Batch) -> Batch:
        """Return the batch with features, most visited neighbours and liked items; row 0 has the features of `side`."""
        unseen = (batch.item == 0)[:, None]
        liked = self.user_items.of(batch.user)
        near, weight = importance(batch.item, self.item_users, self.user_items, self.config.pooled)
        context = {
            "item_sides": torch.where(unseen, self._slots(batch.side), self._described(batch.item)),
            "near_items": near,
            "near_weight": weight,
            "near_sides": self._described(near),
            "user_items": liked,
            "user_items_sides": self._described(liked),
        }
        return Batch(batch.user, batch.item, batch.side, context)

    def interact(self, batch: Batch) -> Tensor:
        """Return v_u * v_i. Shape [B, D]."""
        of = batch.context
        item = self._features(batch.item, of["item_sides"])  # [B, D]
        near = self._features(of["near_items"], of["near_sides"])  # [B, T, D]
        liked = self._features(of["user_items"], of["user_items_sides"])  # [B, K, D]
        user = self._user_vector(look_up(self.user, batch.user), of["user_items"], liked)
        return user * self._item_vector(item, near, of["near_weight"])

    @torch.no_grad()
    def served_vectors(self, rows: Rows, head: Tensor) -> Parameters:
        """Return finished vectors of users [U, D] and items [I, D], and of side features [S, D] for unseen items."""
        users, items = rows.users, rows.items
        config, (_, every_item) = self.config, self.reach(users, items)
        features = self.item.new_empty(every_item, config.dim)  # q
        for chunk in chunks(features):
            features[chunk] = self._features(chunk, self._described(chunk))
        item_table = features.new_empty(items, config.dim)
        for chunk in chunks(item_table):
            near, weight = importance(chunk, self.item_users, self.user_items, config.pooled)
            item_table[chunk] = self._item_vector(features[chunk], features[near], weight) * head
        user_table = features.new_empty(users, config.dim)
        for chunk in chunks(user_table):
            liked = self.user_items.of(chunk)
            user_table[chunk] = self._user_vector(self.user[chunk], liked, features[liked])
        side_table = self.side_vector @ self.own_map.T * head
        item_table[0] = side_table[0] = 0.0  # an unseen item is its features and nothing else
        return {"users": user_table, "items": item_table, "sides": side_table}

    def rates(self) -> dict[str, float]:
        """Return the learning rate of each parameter."""
        config = self.config
        dense = ("head", "own_map", "pool_map", "message_map", "message_bias")
        return {
            **dict.fromkeys(("user", "item", "side_vector"), config.embedding_rate),
            **dict.fromkeys(dense, config.dense_rate),
            **dict.fromkeys(("user_bias", "item_bias", "side"), config.bias_rate),
        }

    def _features(self, item: Tensor, sides: Tensor) -> Tensor:
        """Return q: shapes [...], [..., F] -> [..., D]. Row 0 stands for many items, and has no vector of its own."""
        described = look_up(self.side_vector, sides) * (sides != 0)[..., None]  # [..., F, D]
        return look_up(self.item, item) * (item != 0)[..., None] + described.sum(-2)

    def _item_vector(self, own: Tensor, near: Tensor, weight: Tensor) -> Tensor:
        """Return v_i: shapes [B, D], [B, T, D], [B, T] -> [B, D]."""
        messages = relu(near @ self.message_map.T + self.message_bias)
        pooled = torch.einsum("bt,btd->bd", weight.to(own.dtype), messages)
        return own @ self.own_map.T + pooled @ self.pool_map.T

    def _user_vector(self, own: Tensor, liked: Tensor, features: Tensor) -> Tensor:
        """Return v_u: shapes [B, D], [B, K], [B, K, D] -> [B, D]."""
        there = (liked != 0).to(own.dtype)
        mean = torch.einsum("bk,bkd->bd", there, features) / there.sum(-1, keepdim=True).clamp(min=1.0)
        return own + mean @ self.own_map.T

    def _described(self, item: Tensor) -> Tensor:
        return self.item_side[item].to(torch.int64)  # [..., F]

    def _slots(self, side: Tensor) -> Tensor:
        """Return the last F columns of rows of sides, filled up with zeros where there are fewer."""
        taken = side[:, -self.config.item_slots :]
        return pad(taken, (0, self.config.item_slots - taken.shape[1]))


def importance(item: Tensor, item_users: Neighbours, user_items: Neighbours, keep: int) -> tuple[Tensor, Tensor]:
    """Return the items most visited by walks of two steps from items, and the shares of their visits.

    A walk goes to one of the item's users and on to one of theirs, each with equal chance; coming back does not count.
    Of equal shares the lower row goes first. Shapes [B] -> rows [B, keep] int64, 0 for none, and weights [B, keep]
    float64 that sum to 1, or are all 0 where no walk leads elsewhere.
    """
    distinct, place = torch.unique(item, return_inverse=True)
    users = item_users.of(distinct)  # [M, K]
    ends = user_items.of(users)  # [M, K, K]
    there = ends != 0
    chance = there.to(torch.float64) / there.sum(-1, keepdim=True).clamp(min=1)
    visits = torch.where(ends == distinct[:, None, None], 0.0, chance).flatten(1)  # [M, K^2]
    ends, order = ends.flatten(1).sort(dim=-1, stable=True)
    visits = visits.gather(1, order)
    run = (ends.diff(dim=1, prepend=ends[:, :1]) != 0).cumsum(1)  # [M, K^2] number of the distinct end
    rows = torch.zeros_like(ends).scatter_(1, run, ends)
    counts = torch.zeros_like(visits).scatter_add_(1, run, visits)
    counts, most = (part[:, :keep] for part in counts.sort(dim=-1, descending=True, stable=True))
    rows = rows.gather(1, most) * (counts > 0)
    weights = counts / counts.sum(-1, keepdim=True).clamp(min=torch.finfo(counts.dtype).tiny)
    return rows[place], weights[place]
