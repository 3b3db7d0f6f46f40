"""The ledger: a sender of its own process that knows what was acknowledged, and takes no one's word for it.

It sends feedback over HTTP and repeats a request with the same event ids after anything but a 202, as a real sender
does. The ids of a 202 are appended to a file and fsynced before they count. Told to end (SIGTERM) it insists on what is
on its way, then writes a summary: what was given up was never acknowledged, so it may be stored or not.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.chaos.child import Child

_RETRY_S = 0.05
_SURFACES = ("feed", "search", "profile")


@dataclass(frozen=True)
class Plan:
    """What to send, and where to write it down."""

    url: str
    directory: str
    prefix: str = "e"  # of event ids, so that two ledgers never share one
    clients: int = 8
    batch: int = 10  # events a request
    rate: float = 200.0  # events a second, as long as the service keeps up
    events: int = 10**9  # ends after that many
    seed: int = 1
    users: int = 200
    items: int = 300
    twice: float = 0.0  # share of acknowledged requests that are sent once more, as impatient senders do
    timeout_s: float = 3.0
    patience_s: float = 60.0  # after being told to end

    @property
    def acknowledged(self) -> Path:
        """The file of acknowledged event ids, one a line, each line fsynced before it counts."""
        return Path(self.directory) / f"acknowledged-{self.prefix}.txt"

    @property
    def summary(self) -> Path:
        """Where the summary is written at the end."""
        return Path(self.directory) / f"summary-{self.prefix}.json"


@dataclass
class Summary:
    """What a ledger saw."""

    sent: int = 0  # events
    acknowledged: int = 0
    given_up: list[str] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)  # 0: no answer
    attempts: list[tuple[float, float, int]] = field(default_factory=list)  # epoch seconds, seconds it took, status

    def odd(self) -> dict[str, int]:
        """Return the answers that a sender cannot expect: neither taken, nor come back later, nor none."""
        return {status: count for status, count in self.statuses.items() if status not in ("0", "202", "429", "503")}


class Ledger(Child):
    """The process, seen by whoever started it."""

    def __init__(self, plan: Plan) -> None:
        """Describe it; nothing runs yet."""
        self.plan = plan
        file = Path(plan.directory) / f"plan-{plan.prefix}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(plan)))
        plan.acknowledged.write_text("")
        command = [sys.executable, "-m", "benchmarks.chaos.ledger", str(file)]
        super().__init__(command, {}, file.with_suffix(".log"))

    def acknowledged(self) -> list[str]:
        """Return the event ids that were acknowledged until now."""
        return self.plan.acknowledged.read_text().split()

    def start(self) -> None:
        """Start it and wait for its first acknowledgement."""
        self.spawn()
        self.await_ready(lambda: self.plan.acknowledged.stat().st_size > 0, "the ledger's first acknowledgement")

    def end(self) -> Summary:
        """Let it bring home what is on its way, and return its summary."""
        self.signal(signal.SIGTERM)
        return self.finish()

    def finish(self, timeout_s: float | None = None) -> Summary:
        """Wait until it has ended, and return its summary."""
        if code := self.wait(timeout_s or self.plan.patience_s + 30):
            raise RuntimeError(f"the ledger ended with {code}: {self.said()[-500:]!r}")
        said = json.loads(self.plan.summary.read_text())
        said["attempts"] = [(at, took, status) for at, took, status in said["attempts"]]
        return Summary(**said)


class _Sender:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.random = random.Random(plan.seed)
        self.summary = Summary()
        self.statuses: Counter[str] = Counter()
        self.told_at: float | None = None
        self.told = asyncio.Event()
        self.number = 0
        self.book = plan.acknowledged.open("a")

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end)
        limits = httpx.Limits(max_connections=self.plan.clients, max_keepalive_connections=self.plan.clients)
        async with httpx.AsyncClient(base_url=self.plan.url, trust_env=False, limits=limits) as client:
            await asyncio.gather(*(self.send(client, place) for place in range(self.plan.clients)))
        self.summary.statuses = dict(self.statuses)
        self.plan.summary.write_text(json.dumps(asdict(self.summary)))

    def end(self) -> None:
        self.told_at = self.told_at or time.monotonic()
        self.told.set()

    async def send(self, client: httpx.AsyncClient, place: int) -> None:
        """Be one client: request after request, each until it is taken."""
        pause = self.plan.batch * self.plan.clients / self.plan.rate
        due = time.monotonic() + pause * place / self.plan.clients
        while self.told_at is None and self.number < self.plan.events:
            events = self.events()
            ids = [str(event["event_id"]) for event in events]
            body = json.dumps(events).encode()
            await self.insist(client, body, ids)
            if self.random.random() < self.plan.twice:
                await self.attempt(client, body)
            due = max(due + pause, time.monotonic() - 1.0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.told.wait(), max(0.0, due - time.monotonic()))

    async def insist(self, client: httpx.AsyncClient, body: bytes, ids: list[str]) -> None:
        while await self.attempt(client, body) != httpx.codes.ACCEPTED:
            if self.told_at is not None and time.monotonic() - self.told_at > self.plan.patience_s:
                self.summary.given_up += ids
                return
            await asyncio.sleep(_RETRY_S * (1 + self.random.random()))
        self.book.write("\n".join(ids) + "\n")
        self.book.flush()
        os.fsync(self.book.fileno())
        self.summary.acknowledged += len(ids)

    async def attempt(self, client: httpx.AsyncClient, body: bytes) -> int:
        at, started, status = time.time(), time.monotonic(), 0
        with contextlib.suppress(httpx.TransportError):
            answer = await client.post(
                "/v1/feedback",
                content=body,
                headers={"content-type": "application/json"},
                timeout=self.plan.timeout_s,
            )
            status = answer.status_code
        self.statuses[str(status)] += 1
        self.summary.attempts.append((at, time.monotonic() - started, status))
        return status

    def events(self) -> list[dict[str, Any]]:
        """Make the events of the next request."""
        made = []
        for _ in range(min(self.plan.batch, self.plan.events - self.number)):
            watch_ms = self.random.randrange(60_000)
            made.append(
                {
                    "event_id": f"{self.plan.prefix}{self.number}",
                    "user_id": f"u{self.random.randrange(self.plan.users)}",
                    "item_id": f"v{self.random.randrange(self.plan.items)}",
                    "at": time.time_ns() // 1_000_000,
                    "watch_ms": watch_ms,
                    "duration_ms": 30_000,
                    "actions": ["like"] if watch_ms > 50_000 else [],
                    "surface": self.random.choice(_SURFACES),
                }
            )
            self.number += 1
        self.summary.sent += len(made)
        return made


def main() -> None:
    """Be the sender that a plan in a file describes."""
    asyncio.run(_Sender(Plan(**json.loads(Path(sys.argv[1]).read_text()))).run())


if __name__ == "__main__":
    main()
