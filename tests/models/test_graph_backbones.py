"""LightGCN, NGCF and PinSage against dense statements of their equations, and what an online graph must keep.

The statements are float64 NumPy over whole adjacency matrices, written from the papers. What every backbone must pass
stands in test_backbone_checks.py.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

import models.graph
from models.backbone import Batch, Rows, logits, touch
from models.graph import OnlineGraph, edge_weights
from models.lightgcn import LightGCN, LightGCNConfig
from models.ngcf import NGCF, SLOPE, NGCFConfig
from models.pinsage import PinSage, PinSageConfig, importance

Floats = npt.NDArray[np.float64]
Make = Callable[[Rows, int], OnlineGraph]

ROWS = Rows(users=14, items=17, sides=20)
SLOTS = 6
MAKE: dict[str, Make] = {
    "lightgcn": lambda rows, keep: LightGCN(rows, LightGCNConfig(dim=4, keep=keep, init_std=0.5)),
    "lightgcn-1": lambda rows, keep: LightGCN(rows, LightGCNConfig(dim=4, layers=1, keep=keep, init_std=0.5)),
    "ngcf": lambda rows, keep: NGCF(rows, NGCFConfig(dim=4, keep=keep, init_std=0.5)),
    "ngcf-1": lambda rows, keep: NGCF(rows, NGCFConfig(dim=4, layers=1, keep=keep, init_std=0.5)),
    "pinsage": lambda rows, keep: PinSage(rows, PinSageConfig(dim=4, keep=keep, pooled=keep, init_std=0.5)),
}
each_graph = pytest.mark.parametrize("name", MAKE)


def fresh(name: str, keep: int, rows: Rows = ROWS) -> OnlineGraph:
    backbone, random = MAKE[name](rows, keep).double(), torch.Generator().manual_seed(3)
    for space in ("users", "items"):
        backbone.start_rows(space, torch.arange(rows[space]), random)
    item = torch.arange(rows.items)
    backbone.describe_items(item, torch.randint(rows.sides, (rows.items, SLOTS), generator=random))
    if isinstance(backbone, PinSage):
        backbone.item.copy_(torch.randn(backbone.item.shape, generator=random))
    return backbone


def likes(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Pairs of a user and an item; one pair stands there twice."""
    random = torch.Generator().manual_seed(seed)
    user = torch.randint(1, ROWS.users, (count,), generator=random)
    item = torch.randint(1, ROWS.items, (count,), generator=random)
    return torch.cat([user, user[:1]]), torch.cat([item, item[:1]])


def adjacency(user: Tensor, item: Tensor) -> Floats:
    a = np.zeros((ROWS.users, ROWS.items))
    np.add.at(a, (user.numpy(), item.numpy()), 1.0)
    return a


def normalized(a: Floats) -> Floats:
    """D^-1/2 [[0, A], [A', 0]] D^-1/2 over users, then items."""
    whole = np.block([[np.zeros((len(a), len(a))), a], [a.T, np.zeros((a.shape[1], a.shape[1]))]])
    root = np.sqrt(np.maximum(whole.sum(1), 1.0))
    return np.asarray(whole / root[:, None] / root[None, :])


def every_pair() -> Batch:
    user, item = torch.cartesian_prod(torch.arange(ROWS.users), torch.arange(ROWS.items)).unbind(1)
    side = torch.randint(ROWS.sides, (len(user), 1 + SLOTS), generator=torch.Generator().manual_seed(1))
    return Batch(user, item, side)


def products(backbone: OnlineGraph, batch: Batch) -> Floats:
    return backbone.interact(backbone.expand(batch)).numpy()


def of_pairs(user: Floats, item: Floats) -> Floats:
    return (user[:, None] * item[None]).reshape(-1, user.shape[1])


@pytest.mark.parametrize("layers", [1, 2])
def test_lightgcn_is_the_mean_of_powers_of_the_normalized_adjacency(layers: int) -> None:
    backbone, (user, item) = fresh("lightgcn-1" if layers == 1 else "lightgcn", keep=16), likes(30)
    assert isinstance(backbone, LightGCN)
    backbone.note_positives(user, item)
    s, e = normalized(adjacency(user, item)), np.concatenate([backbone.user.numpy(), backbone.item.numpy()])
    expected = sum(np.linalg.matrix_power(s, power) @ e for power in range(layers + 1)) / (layers + 1)
    expected_pairs = of_pairs(expected[: ROWS.users], expected[ROWS.users :])
    np.testing.assert_allclose(products(backbone, every_pair()), expected_pairs, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
def test_ngcf_is_the_matrix_form_of_the_paper(layers: int) -> None:
    """E' = LeakyReLU((S + I) E W1' + (S E * E) W2'), equation 7; layers side by side, equation 9."""
    backbone, (user, item) = fresh("ngcf-1" if layers == 1 else "ngcf", keep=16), likes(30)
    assert isinstance(backbone, NGCF)
    backbone.note_positives(user, item)
    s, e = normalized(adjacency(user, item)), np.concatenate([backbone.user.numpy(), backbone.item.numpy()])
    stages = [e]
    for depth in range(layers):
        w1, w2 = backbone.sum_map[depth].numpy(), backbone.product_map[depth].numpy()
        e = (s @ e + e) @ w1.T + ((s @ e) * e) @ w2.T
        e = np.where(e > 0, e, SLOPE * e)
        stages.append(e)
    expected = np.concatenate(stages, 1)
    expected_pairs = of_pairs(expected[: ROWS.users], expected[ROWS.users :])
    np.testing.assert_allclose(products(backbone, every_pair()), expected_pairs, atol=1e-12)


def test_pinsage_pools_by_the_visits_of_short_walks() -> None:
    """All neighbours fit, so importance is the two-step transition matrix without its diagonal."""
    backbone, (user, item) = fresh("pinsage", keep=16), likes(30)
    assert isinstance(backbone, PinSage)
    backbone.note_positives(user, item)
    a = adjacency(user, item)
    walk = (a.T / np.maximum(a.sum(0), 1.0)[:, None]) @ (a / np.maximum(a.sum(1), 1.0)[:, None])
    np.fill_diagonal(walk, 0.0)
    alpha = walk / np.maximum(walk.sum(1, keepdims=True), 1e-300)
    w, v, q_map = (part.numpy() for part in (backbone.own_map, backbone.pool_map, backbone.message_map))
    side_vector, described = backbone.side_vector.numpy().copy(), backbone.item_side.numpy()
    side_vector[0] = 0.0
    q = backbone.item.numpy() + side_vector[described].sum(1)
    items = q @ w.T + (alpha @ np.maximum(q @ q_map.T, 0.0)) @ v.T
    users = backbone.user.numpy() + (a @ q / np.maximum(a.sum(1), 1.0)[:, None]) @ w.T
    batch = every_pair()
    known = batch.item.numpy() != 0
    np.testing.assert_allclose(products(backbone, batch)[known], of_pairs(users, items)[known], atol=1e-12)


def test_only_the_most_visited_are_pooled() -> None:
    backbone = fresh("pinsage", keep=8)
    backbone.note_positives(torch.tensor([1, 1, 2, 2, 2, 3, 3]), torch.tensor([5, 9, 5, 9, 4, 5, 7]))
    rows, weights = importance(torch.tensor([5, 16]), backbone.item_users, backbone.user_items, 2)
    # from item 5: user 1 -> 9 (1/2), user 2 -> 9, 4 (1/3 each), user 3 -> 7 (1/2); item 16 leads nowhere
    assert rows.tolist() == [[9, 7], [0, 0]]
    np.testing.assert_allclose(weights.numpy(), [[5 / 8, 3 / 8], [0.0, 0.0]])


@each_graph
def test_finished_tables_are_the_vectors_of_training(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more edges than are kept, rows that changed owner, and tables that take several chunks."""
    monkeypatch.setattr(models.graph, "CHUNK", 5)
    backbone, random = fresh(name, keep=3), torch.Generator().manual_seed(8)
    for seed in range(4):
        backbone.note_positives(*likes(25, seed))
        backbone.start_rows("users", torch.tensor([2 + seed]), random)
        backbone.start_rows("items", torch.tensor([3 + seed, 9]), random)
    users, items = ROWS.users - 5, ROWS.items - 6  # edges may lead beyond what is asked for
    batch = every_pair()
    asked = ((batch.user < users) & (batch.item < items) & (batch.item > 0)).numpy()
    head = torch.arange(1.0, 1 + backbone.head.shape[1], dtype=torch.float64)
    served = backbone.served_vectors(Rows(users, items, ROWS.sides), head)
    tables = {key: tensor.numpy() for key, tensor in served.items()}
    pairs = tables["users"][batch.user.numpy()[asked]] * tables["items"][batch.item.numpy()[asked]]
    np.testing.assert_allclose(pairs, products(backbone, batch)[asked] * head.numpy(), atol=1e-12)
    assert len(tables["users"]) == users
    assert len(tables["items"]) == items


@each_graph
def test_edges_of_an_expired_row_no_longer_count(name: str) -> None:
    visited, never, (user, item) = fresh(name, keep=16), fresh(name, keep=16), likes(20)
    kept = (item != 6) & (user != 4)
    visited.note_positives(user, item)
    never.note_positives(user[kept], item[kept])
    for backbone in (visited, never):
        backbone.start_rows("items", torch.tensor([6]), torch.Generator().manual_seed(1))
        backbone.start_rows("users", torch.tensor([4]), torch.Generator().manual_seed(2))
    np.testing.assert_allclose(products(visited, every_pair()), products(never, every_pair()), atol=1e-12)


def test_a_neighbour_that_kept_no_edge_of_its_own_weighs_as_one_with_one_edge() -> None:
    weights = edge_weights(torch.tensor([[0, 5, 7]]), torch.tensor([[0, 0, 8]]))
    np.testing.assert_allclose(weights.numpy(), [[0.0, 2**-0.5, 16**-0.5]])


def two_tastes() -> LightGCN:
    """Users and items of even and odd rows with vectors of opposite sign, as training leaves them."""
    backbone, random = LightGCN(ROWS, LightGCNConfig(dim=8)), torch.Generator().manual_seed(0)
    for whole in (backbone.user, backbone.item):
        sign = 1.0 - 2.0 * (torch.arange(len(whole)) % 2)
        whole.copy_(sign[:, None] * torch.tensor([0.3, -0.3] * 4) + 0.1 * torch.randn(whole.shape, generator=random))
    user, item = torch.cartesian_prod(torch.arange(1, 11), torch.arange(1, 13)).unbind(1)
    alike = (user % 2 == item % 2) & ((user + item) % 3 > 0)
    backbone.note_positives(user[alike], item[alike])
    return backbone


@pytest.mark.parametrize("space", ["users", "items"])
def test_a_row_that_was_never_trained_stands_where_its_neighbours_put_it(space: str) -> None:
    backbone, row, liked = two_tastes(), torch.tensor([13]), torch.tensor([2, 6])
    backbone.start_rows(space, row, torch.Generator().manual_seed(5))
    pair = (row.expand(2), liked)
    backbone.note_positives(*(pair if space == "users" else pair[::-1]))
    near = (backbone.item if space == "users" else backbone.user)[liked]
    finished = backbone.finished(ROWS.users, ROWS.items)
    own, other = finished if space == "users" else finished[::-1]
    assert float(torch.cosine_similarity(own[13], near.sum(0), dim=0)) > 0.98  # one-hop fold-in
    scores = other[1:11] @ own[13]
    assert (scores[1::2] > 0).all()
    assert (scores[::2] < 0).all()


def test_an_unseen_item_scores_as_a_new_one_with_the_same_features() -> None:
    backbone = PinSage(ROWS, PinSageConfig())
    random = torch.Generator().manual_seed(2)
    backbone.start_rows("users", torch.arange(ROWS.users), random)
    backbone.start_rows("items", torch.arange(ROWS.items), random)
    side = torch.tensor([[3, 9, 4, 7, 0, 0, 0]])  # of the exposure, then of the item
    backbone.note_positives(*likes(20))
    backbone.start_rows("items", torch.tensor([16]), random)
    backbone.describe_items(torch.tensor([16]), side[:, 1:])
    user, head = torch.arange(ROWS.users), torch.linspace(0.5, 2.0, backbone.config.dim)
    new, unseen = (
        backbone.interact(backbone.expand(Batch(user, torch.full_like(user, row), side.expand(len(user), -1)))) @ head
        for row in (16, 0)
    )
    tables = backbone.served_vectors(ROWS, head)
    served = tables["users"] @ tables["sides"][side[0, 1:]].sum(0)
    for answer in (unseen, served):
        np.testing.assert_allclose(answer.numpy(), new.numpy(), atol=1e-5)
    assert float(new.abs().min()) > 1e-5
    assert not tables["sides"][0].any()


@each_graph
def test_a_batch_touches_a_bounded_neighbourhood_whatever_the_graph_holds(name: str) -> None:
    """One item everybody likes; ten times the rows and edges, the same number of rows to touch."""
    touched_rows = []
    for users in (400, 4_000):
        backbone = fresh(name, 4, Rows(users=users, items=users, sides=30))
        every = torch.arange(1, users)
        backbone.note_positives(every.repeat(3), torch.cat([torch.ones_like(every), every, every.flip(0)]))
        batch = Batch(torch.tensor([3, 7]), torch.tensor([1, 9]), torch.zeros(2, 1 + SLOTS, dtype=torch.int64))
        touched = touch(backbone, backbone.expand(batch))
        touched_rows.append({space: len(rows) for space, rows in touched.rows.items()})
    assert touched_rows[1].keys() == touched_rows[0].keys()
    for rows in touched_rows:
        assert max(rows["users"], rows["items"]) <= 1 + 2 * (1 + 4 + 4 * 4)


@each_graph
def test_gradients_of_many_rows_repeat_bit_for_bit(name: str) -> None:
    """Recovery replays a batch and must end where it ended before; summing by threads in any order would not."""
    backbone = fresh(name, keep=8).float()
    backbone.note_positives(*likes(200))
    random = torch.Generator().manual_seed(4)
    batch = Batch(
        torch.randint(ROWS.users, (2_000,), generator=random),
        torch.randint(ROWS.items, (2_000,), generator=random),
        torch.randint(ROWS.sides, (2_000, 1 + SLOTS), generator=random),
    )

    def gradients() -> tuple[Tensor, ...]:
        touched = touch(backbone, backbone.expand(batch))
        total = logits(backbone, touched.parameters, touched.batch).square().sum()
        return torch.autograd.grad(total, list(touched.parameters.values()))

    first = gradients()
    for _ in range(3):
        assert all(torch.equal(one, other) for one, other in zip(first, gradients(), strict=True))
