"""Ray Serve: one replica behind its HTTP proxy, tuned as its performance page says (RAY_SERVE_THROUGHPUT_OPTIMIZED)."""

import os
import signal
import threading
from typing import Any

import orjson
from ray import serve  # type: ignore[import-not-found]

from benchmarks.serving.peers.ranker import BUNDLE, PORT, Ranker


@serve.deployment(num_replicas=1, max_ongoing_requests=100)
class Scorer:
    """Ranks candidates."""

    def __init__(self) -> None:
        self.ranker = Ranker()

    async def __call__(self, request: Any) -> bytes:
        """Score one user's candidates, best first. Bytes spare the walk that a dict takes through its encoder."""
        asked = orjson.loads(await request.body())
        return orjson.dumps({"items": self.ranker.rank(asked["user_id"], asked["candidates"])})


if __name__ == "__main__":
    import ray

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {name: os.environ[name] for name in (BUNDLE, "PYTHONPATH")}},
    )
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(os.environ[PORT])}, logging_config={"enable_access_log": False}
    )
    serve.run(
        Scorer.bind(),  # type: ignore[attr-defined]
        route_prefix="/score",
    )
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    while not stopping.wait(0.2):  # a signal is seen between two waits
        pass
    serve.shutdown()
    ray.shutdown()
