"""MLServer: a custom model with a handler of its own, in the process that answers (`parallel_workers` 0)."""

from typing import Any

from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.handlers import custom_handler  # type: ignore[import-not-found]
from pydantic import BaseModel

from benchmarks.serving.peers.ranker import Ranker


class Asked(BaseModel):
    """Body of the request."""

    user_id: str
    candidates: list[str]
    surface: str = ""


class Scorer(MLModel):  # type: ignore[misc]
    """Ranks candidates."""

    async def load(self) -> bool:
        """Open the bundle."""
        self.ranker = Ranker()
        return True

    @custom_handler(rest_path="/score")  # type: ignore[untyped-decorator]
    async def score(self, asked: Asked) -> dict[str, Any]:
        """Score one user's candidates, best first."""
        return {"items": self.ranker.rank(asked.user_id, asked.candidates)}
