"""GMF in compiled loops equals GMF by autograd."""

import pytest
import torch

from models.backbone import Batch, Rows
from models.fused_gmf import FusedGMFStep
from models.gmf import GMF, GMFConfig
from models.row_adagrad import RowAdagrad
from models.step import AutogradStep, begin

ROWS = Rows(users=40, items=30, sides=20)


def trained(seed: int) -> tuple[GMF, RowAdagrad]:
    backbone = GMF(ROWS, GMFConfig(dim=8))
    random = torch.Generator().manual_seed(seed)
    for parameter in backbone.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.3)
    return backbone, RowAdagrad(backbone)


def drawn(seed: int, size: int = 64) -> Batch:
    random = torch.Generator().manual_seed(seed)
    user, item = (torch.randint(0, count, (size,), generator=random) for count in (40, 30))
    return Batch(user, item, torch.randint(0, 20, (size, 7), generator=random))


@pytest.mark.parametrize("seed", range(5))
def test_logits_gradients_and_tangents_equal_those_of_autograd(seed: int) -> None:
    backbone, optimizer = trained(seed)
    batch, random = drawn(seed), torch.Generator().manual_seed(seed)
    fused, autograd = FusedGMFStep(backbone, optimizer, batch), AutogradStep(backbone, optimizer, batch)
    torch.testing.assert_close(fused.logits(), autograd.logits(), atol=1e-5, rtol=1e-5)
    upstream = torch.randn(64, 2, generator=random)
    ours, theirs = fused.gradients(upstream), autograd.gradients(upstream)
    torch.testing.assert_close(norms(ours), norms(theirs), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(fused.tangent(ours), autograd.tangent(theirs), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(
        fused.logits({name: part + 0.1 * ours[name] for name, part in fused.parameters.items()}),
        autograd.logits({name: part + 0.1 * theirs[name] for name, part in autograd.parameters.items()}),
        atol=1e-4, rtol=1e-4,
    )  # fmt: skip


def norms(gradients: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The two steps order their rows differently; what is equal in any order is compared."""
    return {name: part.norm(dim=-1).sort().values for name, part in gradients.items()}


def test_many_steps_end_where_autograd_ends() -> None:
    (one, one_optimizer), (two, two_optimizer) = trained(1), trained(1)
    for seed in range(20):
        batch, random = drawn(seed), torch.Generator().manual_seed(seed)
        upstream = torch.randn(64, 2, generator=random)
        for step in (FusedGMFStep(one, one_optimizer, batch), AutogradStep(two, two_optimizer, batch)):
            step.apply(step.gradients(upstream))
    for name, parameter in one.named_parameters():
        torch.testing.assert_close(parameter, two.get_parameter(name), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(one_optimizer.excess[name], two_optimizer.excess[name], atol=1e-3, rtol=1e-4)


def test_a_step_is_bitwise_reproducible_and_chosen_on_a_cpu() -> None:
    states = []
    for _ in range(2):
        backbone, optimizer = trained(2)
        step = begin(backbone, optimizer, drawn(3))
        assert isinstance(step, FusedGMFStep)
        step.apply(step.gradients(torch.ones(64, 2)))
        states.append({name: part.numpy().tobytes() for name, part in backbone.named_parameters()})
    assert states[0] == states[1]
