"""A loop at work for the console to show: events played, labels written, two versions promoted one after the other."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson

from contract.registry import Registry
from trainer.simulated_world import SimulatorConfig
from trainer.simulator import Simulator
from winnow.client import Client
from winnow.player import play
from winnow.up import Loop

EVENTS = 6_000
BOT = "bot"  # loops whatever it is shown and never says a word
_TIMEOUT_S = 60.0
_START_MS = SimulatorConfig().start_ms
_ENVIRONMENT = {
    "WINNOW_ADMIN_PORT": "0",
    "WINNOW_TRAINER_METRICS_PORT": "0",
    "WINNOW_PUBLISH_EVERY_S": "1",
    "WINNOW_CHECKPOINT_EVERY_S": "1",
    "WINNOW_META_EVERY": "500",
    "WINNOW_WINDOW_MS": "50",
}
_LENIENT_GATE = """
max_auc_drop = 1
min_auc = 0
max_ece = 1
max_rate_factor = 1000
max_log_loss_ratio = 1000
max_target_one_sidedness = 1000
"""  # few events make poor models, which have to be served all the same


@dataclass(frozen=True)
class LiveLoop:
    """Where it answers, and what it holds."""

    url: str
    admin_url: str
    registry: Registry

    def ask(self, path: str, **query: str | int) -> Any:
        """Return what a GET of the console's API answers."""
        answer = httpx.get(f"{self.url}/console/api/{path}", params=query, timeout=20, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def change(self, path: str) -> None:
        """Change what is served, as somebody else would."""
        sent = {"why": "by somebody else"}
        httpx.post(f"{self.admin_url}/admin/models{path}", json=sent, timeout=20, trust_env=False).raise_for_status()

    def champion(self) -> str:
        """Return the version that the pointer names."""
        champion = self.registry.champion()
        assert champion is not None
        return champion.version


@contextmanager
def live_loop(home: Path) -> Iterator[LiveLoop]:
    """Run a loop in `home` and let it learn EVENTS simulated events."""
    registry = Registry(home / "registry")
    (home / "gate.toml").write_text(_LENIENT_GATE)
    environment = {**_ENVIRONMENT, "WINNOW_GATE_POLICY": str(home / "gate.toml")}
    with Loop(home, environment=environment) as loop, closing(Client(loop.url)) as client:
        for number, block in enumerate(Simulator(SimulatorConfig(users=200, items=100), 5).blocks(EVENTS, EVENTS // 2)):
            client.feedback(_looped(f"{BOT}-{number}", list(block.events.item_id[:60])))
            play([block.events], client, None, lambda _: None)
            until(partial(_has_promoted, registry, number + 1))
        announced = orjson.loads((home / "service.json").read_bytes())
        live = LiveLoop(announced["url"], announced["admin_url"], registry)
        until(lambda: live.ask("models")["serving"] == live.champion())
        until(lambda: live.ask("labels/histogram", hours=1)["rows"] > EVENTS // 2)
        yield live


def _has_promoted(registry: Registry, versions: int) -> bool:
    return len({change.version for change in registry.history()}) >= versions


def _looped(prefix: str, items: Sequence[str]) -> list[dict[str, object]]:
    """Return the views of the bot, one of each item."""
    view = {"user_id": BOT, "watch_ms": 90_000, "duration_ms": 9_000, "surface": "tab1"}
    return [view | {"event_id": f"{prefix}-{n}", "item_id": item, "at": _START_MS + n} for n, item in enumerate(items)]


def until(condition: Callable[[], bool], timeout_s: float = _TIMEOUT_S) -> None:
    """Wait until a condition holds; fail if it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)
