"""Adagrad on touched rows, against the formula row by row in float64."""

import numpy as np
import pytest
import torch

from models.backbone import touch
from models.gmf import GMF
from models.row_adagrad import RowAdagrad
from tests.models.small_gmf import pairs_of, small_gmf

START, L2 = 0.25, 0.01


def stepped(backbone: GMF, optimizer: RowAdagrad, user: list[int], user_gradient: list[list[float]]) -> None:
    """Apply gradients of the users' vectors, sorted by user with the unknown first, and of the heads."""
    touched = touch(backbone, pairs_of(user, [1] * len(user)))
    gradients = {name: torch.zeros_like(part) for name, part in touched.parameters.items()}
    gradients["user"] = torch.tensor(user_gradient)
    gradients["head"] = torch.full_like(gradients["head"], 0.5)
    optimizer.step(backbone, touched, gradients)


def test_steps_follow_the_formula_on_touched_rows_and_leave_the_others_alone() -> None:
    backbone = small_gmf(dtype=torch.float32)
    optimizer = RowAdagrad(backbone, l2=L2, start=START)
    expected, rate = backbone.user.detach().numpy().astype(np.float64), backbone.config.embedding_rate
    untouched = expected[[1, 3, 5]].copy()
    s = np.full(6, START)
    for user, given in [([2, 4], [[0.0] * 4, [3.0, 0, 0, 0], [0.0, 1, 0, -1]]), ([2], [[0.0] * 4, [1.0, 1, 1, 1]])]:
        stepped(backbone, optimizer, user, given)
        for row, gradient in zip([0, *user], given, strict=True):
            g = np.array(gradient) + L2 * expected[row]
            s[row] += (g**2).mean()
            expected[row] -= rate * g / np.sqrt(s[row])
    np.testing.assert_allclose(backbone.user.detach().numpy(), expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(backbone.user.detach().numpy()[[1, 3, 5]], untouched)


def test_dense_parameters_take_plain_adagrad_without_the_pull_to_zero() -> None:
    backbone = small_gmf(dtype=torch.float32)
    optimizer, before = RowAdagrad(backbone, l2=L2, start=START), small_gmf(dtype=torch.float32).head.detach()
    for _ in range(2):
        stepped(backbone, optimizer, [2], [[0.0] * 4] * 2)
    moved = sum(0.5 / np.sqrt(START + n * 0.25) for n in (1, 2)) * backbone.config.dense_rate
    np.testing.assert_allclose((before - backbone.head.detach()).numpy(), moved, rtol=1e-6)


@pytest.mark.parametrize("forgets", [True, False])
def test_a_row_with_a_new_owner_steps_as_if_it_were_new(forgets: bool) -> None:
    """Else what the former owner was told would slow the new one down."""
    backbone, moves = small_gmf(dtype=torch.float32), []
    optimizer = RowAdagrad(backbone, l2=0.0)
    for _ in range(2):
        before = backbone.user.detach()[2].clone()
        stepped(backbone, optimizer, [2], [[0.0] * 4, [1.0] * 4])
        moves.append(float((before - backbone.user.detach()[2]).norm()))
        if forgets:
            optimizer.start_rows(backbone, "users", torch.tensor([2]))
    assert (moves[1] == pytest.approx(moves[0])) is forgets
    assert forgets or moves[1] < moves[0]
