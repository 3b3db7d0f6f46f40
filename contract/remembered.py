"""A function of texts that remembers its answers: a dict lookup where the text came before, bounded memory always."""

from collections.abc import Callable
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Remembered(dict[str, _Value], Generic[_Value]):
    """`remembered[text]` is `compute(text)`. After `most` texts all are forgotten: memory stays bounded."""

    def __init__(self, compute: Callable[[str], _Value], most: int) -> None:
        """Remember up to `most` answers."""
        super().__init__()
        self._compute = compute
        self._most = most

    def __missing__(self, text: str) -> _Value:
        """Compute and remember."""
        if len(self) >= self._most:
            self.clear()
        value = self[text] = self._compute(text)
        return value
