"""The backbone in a checkpoint: its tables and buffers, cut to the rows in use, and the optimizer's accumulators."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.backbone import Backbone, Rows
from models.row_adagrad import RowAdagrad

State = dict[str, npt.NDArray[Any]]


def weights(backbone: Backbone, optimizer: RowAdagrad, used: Rows) -> State:
    """Return backbone and optimizer by dotted names; arrays share memory with them on a CPU."""
    full = {len(backbone.user_bias): used.users, len(backbone.item_bias): used.items}
    state: State = {}
    for name, tensor in backbone.state_dict().items():
        space = backbone.spaces.get(name)
        count = used[space] if space else full.get(len(tensor), len(tensor))  # a buffer with a row an id is as long
        state[f"model.{name}"] = tensor[:count].cpu().numpy()
    for name, tensor in optimizer.excess.items():
        space = backbone.spaces.get(name)
        state[f"adagrad.{name}"] = tensor[: used[space] if space else None].cpu().numpy()
    return state


def put_weights(backbone: Backbone, optimizer: RowAdagrad, state: Mapping[str, npt.NDArray[Any]]) -> None:
    """Take over what `weights` returned of a backbone of the same sizes."""
    wholes = {f"model.{name}": whole for name, whole in backbone.state_dict().items()}
    wholes |= {f"adagrad.{name}": whole for name, whole in optimizer.excess.items()}
    for name, whole in wholes.items():
        saved = torch.from_numpy(np.array(state[name]))
        whole.data[: len(saved)] = saved.to(whole.device)
