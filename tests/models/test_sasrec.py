"""SASRec's histories, and its equations in plain NumPy."""

import numpy as np
import numpy.typing as npt
import torch

from contract.histories import merged
from models.backbone import Batch, Rows
from models.sasrec import BLOCKS, HISTORY, SASRec, SASRecConfig

Floats = npt.NDArray[np.float64]
DIM = 6


def sasrec() -> SASRec:
    """A network of which no weight is at its start."""
    backbone = SASRec(Rows(9, 40, 4), SASRecConfig(dim=DIM)).double()
    random = torch.Generator().manual_seed(2)
    for parameter in backbone.parameters():
        parameter.add_(0.3 * torch.randn(parameter.shape, generator=random, dtype=torch.float64))
    return backbone


def histories(backbone: SASRec, *user: int) -> npt.NDArray[np.int64]:
    rows = torch.tensor(user)
    batch = Batch(rows, torch.zeros_like(rows), torch.zeros(len(rows), 7, dtype=torch.int64))
    return backbone.expand(batch).context["history"].numpy()


def test_training_reads_histories_as_a_version_carries_them() -> None:
    """The service continues histories by `merged`: each item once, where it was last liked."""
    backbone, random = sasrec(), torch.Generator().manual_seed(1)
    user, item = (torch.randint(1, high, (300,), generator=random) for high in (9, 30))
    backbone.note_positives(user, item)
    backbone.start_rows("items", torch.tensor([3, 4, 5]), random)
    repeats = 0
    for row in range(9):
        ring = backbone.history.of(torch.tensor([row]))[0].numpy().astype(np.int32)
        found = histories(backbone, row)[0]
        assert not np.isin([3, 4, 5], found).any()
        np.testing.assert_array_equal(found, merged(np.zeros(HISTORY, np.int32), ring))
        repeats += int((ring != 0).sum() - (found != 0).sum())
    assert repeats > 0


def test_a_users_vector_is_the_published_formula() -> None:
    backbone = sasrec()
    items = [[5, 9, 7], list(range(1, HISTORY + 1)), []]
    for row, liked in enumerate(items, start=1):
        backbone.note_positives(torch.full((len(liked),), row), torch.tensor(liked, dtype=torch.int64))
    vectors = backbone.read(torch.from_numpy(histories(backbone, 1, 2, 3))).numpy()
    for vector, liked in zip(vectors, items, strict=True):
        np.testing.assert_allclose(vector, user_vector(backbone, liked), atol=1e-10)


def user_vector(backbone: SASRec, liked: list[int]) -> Floats:
    """The equations place by place, over the liked items alone; nothing stands where there is no item."""
    w = {name: parameter.numpy() for name, parameter in backbone.named_parameters()}
    places = range(HISTORY - max(len(liked), 1), HISTORY)
    x = [
        (w["item"][item] if item else w["start"]) + w["position"][p]
        for item, p in zip(liked or [0], places, strict=True)
    ]
    for b in range(BLOCKS):
        n = [norm(one, w["norm_gain"][b], w["norm_bias"][b]) for one in x]
        after = []
        for t in range(len(x)):
            alike = np.array([(n[t] @ w["query"][b]) @ (n[s] @ w["key"][b]) / np.sqrt(DIM) for s in range(t + 1)])
            share = np.exp(alike) / np.exp(alike).sum()
            y = x[t] + sum(share[s] * (n[s] @ w["value"][b]) for s in range(t + 1))
            inner = np.maximum(
                norm(y, w["forward_gain"][b], w["forward_bias"][b]) @ w["inner"][b] + w["inner_bias"][b], 0
            )
            after.append(y + inner @ w["outer"][b] + w["outer_bias"][b])
        x = after
    return norm(x[-1], w["last_gain"], w["last_bias"])


def norm(x: Floats, gain: Floats, bias: Floats) -> Floats:
    return np.asarray((x - x.mean()) / np.sqrt(x.var() + 1e-5) * gain + bias)


def test_an_example_does_not_meet_a_positive_that_is_noted_after_it() -> None:
    backbone = sasrec()
    before = histories(backbone, 1)
    backbone.note_positives(torch.tensor([1]), torch.tensor([8]))
    assert not before.any()
    assert histories(backbone, 1)[0, -1] == 8


def test_the_order_of_likes_matters() -> None:
    backbone = sasrec()
    for row, liked in ((1, [5, 6, 7]), (2, [7, 6, 5])):
        backbone.note_positives(torch.full((3,), row), torch.tensor(liked))
    one, other = backbone.read(torch.from_numpy(histories(backbone, 1, 2)))
    assert not torch.allclose(one, other)
