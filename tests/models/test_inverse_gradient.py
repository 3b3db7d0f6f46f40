"""Inverse Gradient against a plain statement of its test, and the faults it must not have."""

import numpy as np
import pytest
import torch

from models.backbone import logits, touch
from models.gmf import GMF, GMFConfig
from models.inverse_gradient import Direction, decide, judge, propose
from models.targets import inverse_dual, loss
from tests.golden import reference


def gmf(seed: int = 0, users: int = 8, items: int = 9, dim: int = 4) -> GMF:
    backbone = GMF(users, items, GMFConfig(dim=dim, init_std=0.7)).double()
    random = torch.Generator().manual_seed(seed)
    backbone.start_rows("users", torch.arange(users), random)
    backbone.start_rows("items", torch.arange(items), random)
    return backbone


@pytest.mark.parametrize(
    ("direct", "keep", "inverse", "chosen"),
    [
        (0.1, 0.2, 0.3, Direction.DIRECT),
        (0.3, 0.2, 0.1, Direction.INVERSE),
        (0.3, 0.2, 0.3, Direction.KEEP),
        (0.2, 0.2, 0.2, Direction.KEEP),  # ties keep theta
        (0.1, 0.2, 0.1, Direction.DIRECT),
    ],
)
def test_the_least_loss_wins_and_ties_keep(direct: float, keep: float, inverse: float, chosen: Direction) -> None:
    decision = decide({Direction.DIRECT: direct, Direction.KEEP: keep, Direction.INVERSE: inverse})
    assert decision.direction is chosen


@pytest.mark.parametrize("inner", ["sgd", "sign"])
def test_the_three_losses_equal_a_plain_numpy_statement(inner: str) -> None:
    """Gradients by central differences in float64, trial models by hand, losses from the definition."""
    backbone, rate = gmf(), 0.1
    user, item = torch.tensor([1, 2, 2, 5]), torch.tensor([3, 3, 4, 7])
    meta_user, meta_item, meta_said = torch.tensor([2, 5]), torch.tensor([3, 4]), np.array([1.0, 0.0])
    touched = touch(backbone, torch.cat([user, meta_user]), torch.cat([item, meta_item]))
    u, i, mu, mi = touched.user[:4], touched.item[:4], touched.user[4:], touched.item[4:]
    y = logits(backbone, touched.parameters, u, i)
    w = inverse_dual(y)
    names = list(touched.parameters)
    gradient = dict(
        zip(
            names,
            torch.autograd.grad(loss(y, w, torch.ones_like(w)) / 4, list(touched.parameters.values())),
            strict=True,
        )
    )
    said = torch.tensor(meta_said)
    decision = judge(
        touched.parameters,
        gradient,
        lambda p: loss(logits(backbone, p, mu, mi), said, torch.ones_like(said)) / 2,
        rate,
        "sign" if inner == "sign" else "sgd",
    )

    plain = {name: tensor.detach().numpy().copy() for name, tensor in touched.parameters.items()}

    def plain_logits(p: dict[str, np.ndarray], users: np.ndarray, items: np.ndarray) -> np.ndarray:
        return np.array(
            [
                reference.gmf_logit(
                    p["user"][a], p["item"][b], p["weight"], p["user_bias"][a, 0], p["item_bias"][b, 0], p["bias"][0]
                )
                for a, b in zip(users, items, strict=True)
            ]
        )

    fixed = reference.idl_weight(plain_logits(plain, u.numpy(), i.numpy()))
    numeric: dict[str, np.ndarray] = {}
    for name, table in plain.items():
        numeric[name] = np.zeros_like(table)
        for place in np.ndindex(table.shape):
            ends = []
            for nudge in (1e-6, -1e-6):
                moved = {key: value.copy() for key, value in plain.items()}
                moved[name][place] += nudge
                ends.append(reference.cross_entropy(plain_logits(moved, u.numpy(), i.numpy()), fixed) / 4)
            numeric[name][place] = (ends[0] - ends[1]) / 2e-6
    for direction, sign in ((Direction.DIRECT, -1), (Direction.KEEP, 0), (Direction.INVERSE, 1)):
        step = {n: np.sign(np.round(g, 12)) if inner == "sign" else g for n, g in numeric.items()}
        trial = {n: plain[n] + sign * rate * step[n] for n in plain}
        expected = reference.cross_entropy(plain_logits(trial, mu.numpy(), mi.numpy()), meta_said) / 2
        assert decision.losses[direction] == pytest.approx(expected, abs=1e-6)


def test_judging_leaves_theta_and_its_gradients_untouched() -> None:
    """The released code accumulates gradients over trials; here every trial starts at the same theta."""
    backbone = gmf()
    touched = touch(backbone, torch.tensor([1, 2]), torch.tensor([3, 4]))
    before = {name: tensor.detach().clone() for name, tensor in touched.parameters.items()}
    gradient = {name: torch.ones_like(tensor) for name, tensor in before.items()}
    results = [
        judge(touched.parameters, gradient, lambda p: logits(backbone, p, touched.user, touched.item).sum(), 0.1)
        for _ in range(2)
    ]
    assert results[0] == results[1]
    assert all(torch.equal(before[name], tensor) for name, tensor in touched.parameters.items())
    assert all(tensor.grad is None for tensor in touched.parameters.values())


def test_an_sgd_trial_step_scales_with_the_gradient_and_a_sign_step_does_not() -> None:
    """The released code makes Adam anew each step, which turns a gradient step into a sign step unasked."""
    theta, small, large = {"x": torch.zeros(1)}, {"x": torch.tensor([0.1])}, {"x": torch.tensor([0.4])}
    assert float(propose(theta, large, 1.0, -1.0, "sgd")["x"]) == pytest.approx(-0.4)
    assert propose(theta, large, 1.0, -1.0, "sign") == propose(theta, small, 1.0, -1.0, "sign")


def test_touched_rows_answer_as_the_whole_tables_do() -> None:
    backbone = gmf()
    user, item = torch.tensor([1, 7, 1, 0]), torch.tensor([8, 0, 2, 2])
    touched = touch(backbone, user, item)
    local = logits(backbone, touched.parameters, touched.user, touched.item)
    torch.testing.assert_close(local.detach(), backbone(user, item).detach())
