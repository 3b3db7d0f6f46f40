"""Parts that a checkpoint carries: arrays by dotted names."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

State = dict[str, npt.NDArray[Any]]


class Stateful(Protocol):
    """Something that a checkpoint carries."""

    def state(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return everything `restore` needs."""

    def restore(self, state: State) -> None:
        """Take over a state."""


def gather(parts: Mapping[str, Stateful]) -> State:
    """Return the states of all parts, each array under part.name."""
    return {f"{part}.{name}": value for part, owner in parts.items() for name, value in owner.state().items()}


def scatter(parts: Mapping[str, Stateful], state: Mapping[str, npt.NDArray[Any]]) -> None:
    """Give each part what `gather` took from it."""
    for part, owner in parts.items():
        prefix = f"{part}."
        owner.restore(
            {name.removeprefix(prefix): np.asarray(value) for name, value in state.items() if name.startswith(prefix)}
        )
