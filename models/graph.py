"""The online user-item graph and how vectors travel over it; what LightGCN, NGCF and PinSage share.

An edge joins a user and an item with a positive. Each row keeps its latest K edges, so memory is fixed, a batch brings
a bounded neighbourhood whatever the graph holds, and nothing is sampled: the same state gives the same vectors, and the
finished tables of a version equal what training saw. Edges enter after their batch was learned: nothing leaks.

An edge weighs 1 / sqrt(d_u d_i), where a degree counts the edges that a row keeps and that still hold, not all it ever
had: an item with ten thousand likes passes on K of them, and by true counts its sum would all but vanish. While every
neighbour fits in K, the two are the same. A pair with two positives counts twice, in sums and degrees alike.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from models.backbone import Backbone, Batch, Parameters, Rows, draw, look_up, table
from models.gmf import DOT_GRAPH, DOT_WEIGHTS
from models.neighbours import Neighbours

CHUNK = 8_192
"""Rows whose neighbourhoods are in memory at once while tables are finished."""
USER_HOPS = ("user_items", "user_items_users")
ITEM_HOPS = ("item_users", "item_users_items")


class OnlineGraph(Backbone):
    """A backbone that keeps the graph: who liked what, both ways. Finished vectors meet in a dot product."""

    serving_graph: ClassVar[str] = DOT_GRAPH

    def __init__(self, rows: Rows, width: int, init_std: float, keep: int) -> None:
        """Make a graph without edges; `keep` is K."""
        super().__init__(rows, width, init_std)
        self.user_items = Neighbours(rows.users, rows.items, keep)
        self.item_users = Neighbours(rows.items, rows.users, keep)

    def note_positives(self, user: Tensor, item: Tensor) -> None:
        """Add edges [P], in order of time."""
        self.user_items.add(user, item)
        self.item_users.add(item, user)

    def start_rows(self, space: str, rows: Tensor, generator: torch.Generator) -> None:
        """Give rows [R] a new owner: biases to zero, vectors anew, edges from and to them forgotten."""
        super().start_rows(space, rows, generator)
        if space == "users":
            self.user_items.forget(rows)
            self.item_users.forget_target(rows)
        if space == "items":
            self.item_users.forget(rows)
            self.user_items.forget_target(rows)

    def served_weights(self, head: Tensor) -> Parameters:
        """Return the axis that the products are summed along."""
        return dict(DOT_WEIGHTS)

    def reach(self, users: int, items: int) -> tuple[int, int]:
        """Return how many rows of each side finishing the first ones may look at: theirs, and all that have edges."""
        highest_user, highest_item = int(self.item_users.rows.max()), int(self.user_items.rows.max())
        return max(users, highest_user + 1), max(items, highest_item + 1)


class Propagation(OnlineGraph):
    """Vectors of both sides sent over the graph layer by layer; a finished pair meets in a dot product.

    e^(l+1) = `layer` of a row's e^(l), its neighbours' e^(l) and the weights of their edges; the finished vector is
    `combine` of e^(0) ... e^(L). A batch computes it within the neighbourhood that it brings, L hops deep around every
    pair; `finished` computes it for whole tables, one layer after the other.
    """

    spaces: ClassVar[dict[str, str]] = {**Backbone.spaces, "user": "users", "item": "items"}
    context_spaces: ClassVar[dict[str, str]] = {
        "user_items": "items",  # [B, K]
        "user_items_users": "users",  # [B, K, K]
        "item_users": "users",
        "item_users_items": "items",
    }
    """With each list goes "<list>_weight", float64 of its shape: the weights of its edges, 0 where there is none."""

    def __init__(self, rows: Rows, dim: int, width: int, layers: int, keep: int, init_std: float) -> None:
        """Make tables of width `dim`; `layers` L is 1 or 2, and `width` is Z, that of finished vectors."""
        super().__init__(rows, width, init_std, keep)
        self.layers = layers
        self.user = table(rows.users, dim)
        self.item = table(rows.items, dim)

    @abstractmethod
    def layer(self, depth: int, own: Tensor, near: Tensor, weight: Tensor) -> Tensor:
        """Return e^(depth+1) of rows. Shapes: own [..., D], near [..., K, D], weight [..., K] -> [..., D]."""

    @abstractmethod
    def combine(self, vectors: Sequence[Tensor]) -> Tensor:
        """Return finished vectors, given e^(0) ... e^(L). Shapes [..., D] each -> [..., Z]."""

    def expand(self, batch: Batch) -> Batch:
        """Return the batch with the lists of `context_spaces`, L hops deep, and their weights."""
        user_context = self._neighbourhood(batch.user, USER_HOPS, self.user_items, self.item_users)
        item_context = self._neighbourhood(batch.item, ITEM_HOPS, self.item_users, self.user_items)
        return Batch(batch.user, batch.item, batch.side, {**user_context, **item_context})

    def interact(self, batch: Batch) -> Tensor:
        """Return the finished user vector times the finished item vector. Shape [B, Z]."""
        user, item = look_up(self.user, batch.user), look_up(self.item, batch.item)  # [B, D]
        return self._travel(batch, user, USER_HOPS, (self.item, self.user)) * self._travel(
            batch, item, ITEM_HOPS, (self.user, self.item)
        )

    @torch.no_grad()
    def finished(self, users: int, items: int) -> tuple[Tensor, Tensor]:
        """Return the finished vectors of the first rows of each side. Shapes [U, Z], [I, Z]."""
        every_user, every_item = self.reach(users, items)
        user_degree, item_degree = degrees(self.user_items, every_user), degrees(self.item_users, every_item)
        user, item = self.user[:every_user], self.item[:every_item]
        user_layers, item_layers = [user[:users]], [item[:items]]
        for depth in range(self.layers):
            user, item = (
                self._propagate(depth, user, item, self.user_items, item_degree),
                self._propagate(depth, item, user, self.item_users, user_degree),
            )
            user_layers.append(user[:users])
            item_layers.append(item[:items])
        return self.combine(user_layers), self.combine(item_layers)

    def start_vectors(self, space: str, rows: Tensor, generator: torch.Generator) -> None:
        """Draw new owners' vectors from N(0, init_std^2)."""
        if space != "sides":
            draw(self.user if space == "users" else self.item, rows, self.init_std, generator)

    def served_vectors(self, rows: Rows, head: Tensor) -> Parameters:
        """Return the finished vectors of users [U, Z], and of items [I, Z] with the head folded in."""
        user, item = self.finished(rows.users, rows.items)
        return {"users": user, "items": item * head}

    def _neighbourhood(self, row: Tensor, hops: tuple[str, str], out: Neighbours, back: Neighbours) -> Parameters:
        """Return the lists around rows [B] and their weights; `out` leads away from them, `back` to their side."""
        near = out.of(row)  # [B, K]
        far = back.of(near)  # [B, K, K]
        context = {hops[0]: near, f"{hops[0]}_weight": edge_weights(near, (far != 0).sum(-1))}
        if self.layers == 2:
            context |= {hops[1]: far, f"{hops[1]}_weight": edge_weights(far, _degrees_of(out, far))}
        return context

    def _travel(self, batch: Batch, own: Tensor, hops: tuple[str, str], tables: tuple[Tensor, Tensor]) -> Tensor:
        """Return finished vectors of rows whose own are [B, D], from the outermost hop inward. Shape [B, Z]."""
        used = hops[: self.layers]
        vectors = [own, *(look_up(whole, batch.context[hop]) for hop, whole in zip(used, tables, strict=False))]
        weights = [batch.context[f"{hop}_weight"].to(own.dtype) for hop in used]
        layers = [own]
        for depth in range(self.layers):
            inward = zip(vectors, vectors[1:], weights, strict=False)  # one hop fewer each time
            vectors = [self.layer(depth, here, near, weight) for here, near, weight in inward]
            layers.append(vectors[0])
        return self.combine(layers)

    def _propagate(self, depth: int, own: Tensor, other: Tensor, out: Neighbours, degree: Tensor) -> Tensor:
        """Return the next layer of all rows of one side, given this one of both. [R, D], [R', D], [R'] -> [R, D]."""
        next_layer = torch.empty_like(own)
        for chunk in chunks(own):
            near = out.of(chunk)  # [C, K]
            weight = edge_weights(near, degree[near]).to(own.dtype)
            next_layer[chunk] = self.layer(depth, own[chunk], other[near], weight)
        return next_layer


def edge_weights(near: Tensor, near_degree: Tensor) -> Tensor:
    """Return 1 / sqrt(d_row d_neighbour) of each edge, 0 where there is none. Shapes [..., K] -> [..., K] float64.

    A neighbour may have dropped its side of the edge, or had all its own expire: its degree counts as at least 1.
    Source: Kipf and Welling, ICLR 2017, as in NGCF and LightGCN.
    """
    edge = near != 0
    product = edge.sum(-1, keepdim=True) * near_degree.clamp(min=1)
    return torch.where(edge, product.to(torch.float64).rsqrt(), 0.0)


def degrees(lists: Neighbours, rows: int) -> Tensor:
    """Return how many kept edges of each of the first rows hold. Shape [rows] int64."""
    return torch.cat([(lists.of(chunk) != 0).sum(-1) for chunk in chunks(lists.rows[:rows])])


def chunks(rows: Tensor) -> Iterator[Tensor]:
    """Yield the rows of a table in order, CHUNK at a time, as int64."""
    yield from torch.split(torch.arange(len(rows), device=rows.device), CHUNK)


def _degrees_of(lists: Neighbours, row: Tensor) -> Tensor:
    """Return the degrees of rows, each looked up once. Shape [...] -> [...]."""
    distinct, place = torch.unique(row, return_inverse=True)
    return (lists.of(distinct) != 0).sum(-1)[place]
