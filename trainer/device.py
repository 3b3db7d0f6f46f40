"""Where to learn."""

import torch

from contract.errors import SetupError


def choose_device(name: str) -> torch.device:
    """Return the device of a `--device` value. Raises SetupError for cuda where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise SetupError("device cuda was asked for, but torch sees no GPU here; use --device auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
