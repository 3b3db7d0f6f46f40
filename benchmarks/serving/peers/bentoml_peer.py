"""BentoML: a service class with one asynchronous API, so that a call of microseconds takes no hop to a thread."""

from typing import Any

import bentoml  # type: ignore[import-not-found]

from benchmarks.serving.peers.ranker import Ranker


@bentoml.service(workers=1, traffic={"timeout": 30}, metrics={"enabled": True})
class Scorer:
    """Ranks candidates."""

    def __init__(self) -> None:
        self.ranker = Ranker()

    @bentoml.api(route="/score")  # type: ignore[untyped-decorator]
    async def score(self, user_id: str, candidates: list[str], surface: str = "") -> dict[str, Any]:
        """Score one user's candidates, best first."""
        return {"items": self.ranker.rank(user_id, candidates)}
