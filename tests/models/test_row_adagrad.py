"""Adagrad on touched rows."""

import numpy as np
import torch

from models.backbone import touch
from models.gmf import GMF, GMFConfig
from models.row_adagrad import RowAdagrad


def test_a_step_is_the_formula_on_touched_rows_and_nothing_on_others() -> None:
    backbone = GMF(5, 6, GMFConfig(dim=3))
    backbone.start_rows("users", torch.arange(5), torch.Generator().manual_seed(1))
    optimizer = RowAdagrad(backbone, l2=0.0, start=0.25)
    before = backbone.user.detach().clone()
    touched = touch(backbone, torch.tensor([2, 4]), torch.tensor([1, 1]))
    gradients = {name: torch.zeros_like(tensor) for name, tensor in touched.parameters.items()}
    gradients["user"] = torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    optimizer.step(backbone, touched, gradients)
    moved = (backbone.user.detach() - before).numpy()
    np.testing.assert_allclose(moved[2], [-backbone.config.embedding_rate * 3 / np.sqrt(0.25 + 9 / 3), 0, 0], rtol=1e-5)
    assert not moved[[0, 1, 3, 4]].any()
