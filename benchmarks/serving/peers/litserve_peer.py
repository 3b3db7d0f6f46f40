"""LitServe: one worker, its queue over ZeroMQ (`fast_queue`), no batching: a run takes less than a wait for others."""

import os
from typing import Any

import litserve  # type: ignore[import-not-found]

from benchmarks.serving.peers.ranker import PORT, Ranker


class Scorer(litserve.LitAPI):  # type: ignore[misc]
    """Ranks candidates."""

    def setup(self, device: str) -> None:
        """Open the bundle in the worker."""
        self.ranker = Ranker()

    def decode_request(self, request: dict[str, Any]) -> dict[str, Any]:
        """Take the JSON as it is."""
        return request

    def predict(self, x: dict[str, Any]) -> list[dict[str, object]]:
        """Score one user's candidates, best first."""
        return self.ranker.rank(x["user_id"], x["candidates"])

    def encode_response(self, output: list[dict[str, object]]) -> dict[str, object]:
        """Answer in JSON."""
        return {"items": output}


if __name__ == "__main__":
    server = litserve.LitServer(
        Scorer(api_path="/score"), accelerator="cpu", devices=1, workers_per_device=1, fast_queue=True
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ[PORT]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
