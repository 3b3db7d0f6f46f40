"""The checks that every backbone passes. Registering one in `models.backbones` is all it takes to be tested here."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from models.backbone import EXPLICIT, HEADS, Backbone, Rows, RowWise, logits, touch
from models.backbones import BACKBONES
from models.row_adagrad import RowAdagrad
from tests.models.checkerboard import (
    DIM,
    ITEM_SLOTS,
    OWNED,
    ROWS,
    SIDE_SLOTS,
    checkerboard,
    fresh,
    gradients,
    lightly_trained,
    pairs,
    score,
    train,
    train_step,
)

_MODEL_TEXT = """
<ir_version: 9, opset_import: ["": 17]>
backbone ({inputs}) => (float[N] match) {{
{graph}
}}
"""

every_backbone = pytest.mark.parametrize("name", BACKBONES)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Learn on one thread, as the trainer does: sums over a batch then have one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


SOME = pairs([1, 2, 2, 0, 9, 24, 28, 1, 17], [3, 4, 3, 5, 0, 24, 30, 3, 2])  # unknown and ownerless rows among them


@every_backbone
def test_a_batch_scores_like_its_rows(name: str) -> None:
    backbone = lightly_trained(name)
    singly = [score(backbone, pairs([user], [item])) for user, item in zip(SOME.user, SOME.item, strict=True)]
    torch.testing.assert_close(score(backbone, SOME), torch.cat(singly), rtol=1e-5, atol=1e-6)


@every_backbone
def test_scores_follow_the_order_of_the_batch(name: str) -> None:
    backbone = lightly_trained(name)
    order = torch.randperm(len(SOME), generator=torch.Generator().manual_seed(5))
    turned = score(backbone, pairs(SOME.user[order], SOME.item[order]))
    torch.testing.assert_close(turned, score(backbone, SOME)[order], rtol=1e-5, atol=1e-6)


@every_backbone
def test_touched_rows_answer_as_the_whole_tables_do(name: str) -> None:
    backbone = lightly_trained(name)
    touched = touch(backbone, backbone.expand(SOME))
    local = logits(backbone, touched.parameters, touched.batch)
    torch.testing.assert_close(local.detach(), score(backbone, SOME), rtol=1e-5, atol=1e-6)


@every_backbone
def test_the_same_seed_gives_the_same_weights_bit_for_bit_whatever_the_global_random_state(name: str) -> None:
    results = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        backbone = fresh(name)
        train(backbone, 3)
        assert torch.equal(torch.get_rng_state(), before)
        results.append(backbone.state_dict())
    assert all(torch.equal(results[0][key], results[1][key]) for key in results[0])


@every_backbone
def test_vectors_follow_the_generator_they_are_drawn_from(name: str) -> None:
    one, other = (score(fresh(name, seed), SOME) for seed in (0, 1))
    assert not torch.equal(one, other)


@every_backbone
def test_a_state_carries_weights_and_neighbours(name: str) -> None:
    backbone, other = lightly_trained(name), fresh(name, seed=99)
    other.load_state_dict({key: tensor.clone() for key, tensor in backbone.state_dict().items()})
    assert torch.equal(score(other, SOME), score(backbone, SOME))
    for either in (backbone, other):
        train(either, 2, seed=3)
    assert torch.equal(score(other, SOME), score(backbone, SOME))


@every_backbone
def test_starting_new_rows_changes_no_old_score(name: str) -> None:
    backbone = lightly_trained(name)
    old = pairs(*torch.cartesian_prod(torch.arange(OWNED + 1), torch.arange(OWNED + 1)).unbind(1))
    before, random = score(backbone, old), torch.Generator().manual_seed(8)
    backbone.start_rows("users", torch.arange(OWNED + 1, ROWS.users), random)
    backbone.start_rows("items", torch.arange(OWNED + 1, ROWS.items), random)
    assert torch.equal(score(backbone, old), before)


@every_backbone
@pytest.mark.parametrize("space", ["users", "items"])
def test_a_row_with_a_new_owner_keeps_nothing_of_the_old(name: str, space: str) -> None:
    weights, row = dict(lightly_trained(name).named_parameters()), torch.tensor([OWNED + 2])
    visited, never = fresh(name), fresh(name)
    for backbone in (visited, never):  # trained, but with few positives: none had to make room for the visitor's
        backbone.load_state_dict(weights, strict=False)
        backbone.note_positives(torch.tensor([1, 2, 2]), torch.tensor([6, 6, 11]))
    for parameter in (parameter for parameter, its in visited.spaces.items() if its == space):
        visited.get_parameter(parameter)[row] = 3.0
    met = [row.repeat(2), torch.tensor([2, 11])]
    visited.note_positives(*(met if space == "users" else met[::-1]))
    if space == "items":
        visited.describe_items(row, torch.full((1, SIDE_SLOTS - 1), 7))
    for backbone in (visited, never):
        backbone.start_rows(space, row, torch.Generator().manual_seed(4))
    every = torch.cartesian_prod(torch.arange(ROWS.users), torch.arange(ROWS.items))
    one, other = (score(backbone, pairs(*every.unbind(1))) for backbone in (visited, never))
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@every_backbone
def test_the_unknown_and_the_new_have_finite_scores(name: str) -> None:
    untrained, trained = BACKBONES[name](ROWS, DIM), lightly_trained(name)
    trained.start_rows("users", torch.tensor([OWNED + 1]), torch.Generator().manual_seed(6))
    trained.start_rows("items", torch.tensor([OWNED + 1]), torch.Generator().manual_seed(6))
    batch = pairs([0, 0, 1, OWNED + 1, OWNED + 1, 1, OWNED + 2], [0, 1, 0, OWNED + 1, 1, OWNED + 1, OWNED + 2])
    for backbone in (untrained, trained):
        assert torch.isfinite(score(backbone, batch)).all()
        touched = touch(backbone, backbone.expand(batch))
        total = logits(backbone, touched.parameters, touched.batch).sum()
        assert all(torch.isfinite(gradient).all() for gradient in gradients(total, touched).values())


@every_backbone
def test_logits_can_be_carried_forward_along_a_direction(name: str) -> None:
    """Inverse Gradient asks how fast logits change along a step, by differentiating a gradient."""
    backbone = lightly_trained(name).double()
    met = pairs([1, 2, 2, 9, 24, 17], [3, 4, 3, 5, 24, 2])  # vectors of zeros would stand on the kink of a relu
    touched = touch(backbone, backbone.expand(met))
    inputs, random = list(touched.parameters.values()), torch.Generator().manual_seed(2)
    along = [torch.randn(whole.shape, generator=random, dtype=torch.float64) for whole in inputs]
    answers = logits(backbone, touched.parameters, touched.batch)
    upstream = torch.zeros_like(answers, requires_grad=True)
    back = torch.autograd.grad(answers, inputs, upstream, create_graph=True)
    slope = torch.stack([(part * way).sum() for part, way in zip(back, along, strict=True)]).sum()
    (tangent,) = torch.autograd.grad(slope, upstream)
    ends = []
    for nudge in (1e-7, -1e-7):
        moved = {
            key: whole.detach() + nudge * way
            for (key, whole), way in zip(touched.parameters.items(), along, strict=True)
        }
        ends.append(logits(backbone, moved, touched.batch))
    torch.testing.assert_close(tangent, (ends[0] - ends[1]) / 2e-7, rtol=1e-4, atol=1e-5)


@every_backbone
def test_parameters_ask_for_no_gradient_and_each_has_a_rate(name: str) -> None:
    backbone = fresh(name)
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert set(backbone.rates()) == dict(backbone.named_parameters()).keys()
    for parameter, space in backbone.spaces.items():
        assert len(backbone.get_parameter(parameter)) == ROWS[space]


class LargestHandled(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the size of the largest tensor an operation makes or writes, but for rows of `whole` ones by index."""

    def __init__(self, whole: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.whole = {tensor.untyped_storage().data_ptr() for tensor in whole}
        self.size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result, operation = func(*args, **(kwargs or {})), func.overloadpacket.__name__
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if not isinstance(tensor, Tensor):
                continue
            view_or_rows = not operation.endswith("_") or "index" in operation
            if not (view_or_rows and tensor.untyped_storage().data_ptr() in self.whole):
                self.size = max(self.size, tensor.numel())
        return result


@every_backbone
def test_a_training_step_handles_nothing_as_long_as_a_table(name: str) -> None:
    """Rows are gathered, stepped and written back: the cost follows the batch and its neighbours."""
    rows = Rows(users=400_000, items=400_000, sides=400_000)
    backbone = fresh(name, rows=rows)
    train(backbone, 2)
    optimizer = RowAdagrad(backbone)
    batch, label = pairs([1, 2, 3, 4], [3, 4, 2, 1]), torch.tensor([1.0, 1.0, 0.0, 0.0])
    with LargestHandled([*backbone.parameters(), *backbone.buffers(), *optimizer.excess.values()]) as largest:
        touched = train_step(backbone, optimizer, batch, label)
        backbone.note_positives(batch.user[:2], batch.item[:2])
    assert largest.size < rows.users
    for parameter, tensor in touched.parameters.items():
        touched_rows = touched.rows_of(backbone, parameter)
        if touched_rows is not None:
            assert len(tensor) == len(touched_rows) <= OWNED + 1


@every_backbone
def test_only_touched_rows_change(name: str) -> None:
    backbone = lightly_trained(name)
    before = {key: parameter.detach().clone() for key, parameter in backbone.named_parameters()}
    touched = train_step(backbone, RowAdagrad(backbone), pairs([1, 2], [3, 5]), torch.tensor([1.0, 0.0]))
    for key, parameter in backbone.named_parameters():
        rows = touched.rows_of(backbone, key)
        if rows is not None:
            untouched = torch.ones(len(parameter), dtype=torch.bool)
            untouched[rows] = False
            assert torch.equal(parameter[untouched], before[key][untouched]), key


def served(
    backbone: Backbone, head: Tensor, user: Tensor, item: Tensor, side: Tensor, history: Tensor | None
) -> npt.NDArray[np.float32]:
    """What onnxruntime makes of a backbone's graph and its served vectors, taken as contract.manifest says."""
    vectors = backbone.served_vectors(Rows(OWNED + 1, OWNED + 1, ROWS.sides), head)
    assert set(vectors) == set(backbone.served_spaces)
    feed = {"item": vectors["items"][item]}
    if "sides" in vectors:
        feed["item"] = feed["item"] + vectors["sides"][side[:, ITEM_SLOTS]].sum(1)
    if "users" in vectors:
        feed["user"] = vectors["users"][user]
    if history is not None:
        feed |= {"history": history, "past": vectors["items"][history]}
    types = {torch.float32: "float", torch.int64: "int64"}
    inputs = ", ".join(f"{types[tensor.dtype]}[{_shape(name, tensor)}] {name}" for name, tensor in feed.items())
    model = onnx.parser.parse_model(_MODEL_TEXT.format(graph=backbone.serving_graph, inputs=inputs))
    for key, tensor in backbone.served_weights(head).items():
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(tensor.numpy()), key))
    onnx.checker.check_model(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (match,) = session.run(["match"], {key: tensor.numpy() for key, tensor in feed.items()})
    return np.asarray(match)


def _shape(name: str, tensor: Tensor) -> str:
    return ", ".join([{"item": "N", "user": "M"}.get(name, "1"), *map(str, tensor.shape[1:])])


@every_backbone
@pytest.mark.parametrize("one_user", [True, False])
@pytest.mark.parametrize("user", [0, 5, 24])
def test_the_serving_graph_answers_as_torch_does(name: str, user: int, one_user: bool) -> None:
    """One user for all items, as a request asks; or one for each (of a graph with a history, the same one).

    As contract.manifest says, the graph gets the item's side features for unknown items alone, and always the surface.
    """
    backbone = lightly_trained(name)
    if user == 24:  # a user with an owner and without a history
        backbone.start_rows("users", torch.tensor([user]), torch.Generator().manual_seed(3))
    item = torch.arange(OWNED + 1)
    users = torch.full_like(item, user) if one_user or backbone.serving_history else (item * 7 + user) % (OWNED + 1)
    batch = backbone.expand(pairs(users, item))
    plain = backbone.user_bias[users] + backbone.item_bias[item] + backbone.side[batch.side].sum(1)
    weight = torch.tensor([0.75, 0.25])
    expected = (backbone(batch) - plain) @ weight
    side = batch.side.clone()
    side[1:, ITEM_SLOTS] = 0  # all items but the first are known
    history = batch.context["history"][:1] if backbone.serving_history else None
    match = served(backbone, weight @ backbone.head, users[:1] if one_user else users, item, side, history)
    assert match.shape == (len(item),)
    np.testing.assert_allclose(match, expected.numpy(), rtol=0, atol=1e-5)


@every_backbone
def test_rows_served_one_by_one_are_those_of_the_whole_tables(name: str) -> None:
    backbone = lightly_trained(name)
    if not isinstance(backbone, RowWise):
        return
    head = torch.linspace(0.5, 1.5, backbone.head.shape[1])
    whole, some = backbone.served_vectors(ROWS, head), torch.tensor([0, 3, 7, 3])
    for space in backbone.served_spaces:
        assert torch.equal(backbone.served_rows(space, some, head), whole[space][some])


@every_backbone
def test_a_withheld_item_comes_before_the_disliked_ones_never_shown(name: str) -> None:
    backbone, board = fresh(name), checkerboard()
    start = {key: parameter.detach().clone() for key, parameter in backbone.named_parameters()}
    train(backbone, 200)
    every = torch.cartesian_prod(torch.arange(OWNED + 1), torch.arange(OWNED + 1))
    table = score(backbone, pairs(*every.unbind(1)))
    assert table.shape == (len(every), HEADS)
    explicit = table[:, EXPLICIT].reshape(OWNED + 1, OWNED + 1)
    withheld = explicit.masked_fill(~board.withheld, float("-inf")).amax(1)[1:]
    unseen = explicit.masked_fill(~board.unseen, float("-inf")).amax(1)[1:]
    assert float((withheld > unseen).float().mean()) >= 0.95
    still = [key for key, parameter in backbone.named_parameters() if torch.equal(parameter, start[key])]
    assert not still, f"{still} did not learn"
