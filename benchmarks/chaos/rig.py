"""The rig: a loop under test with a ledger before it, a recorder beside it, and a judge behind it.

A scenario breaks the parts while `feeding` goes on; `settle` lets the loop come to rest, and `judge` compares what was
acknowledged with what is on disk, and the weights with those of a trainer that learned the same entries undisturbed.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from benchmarks.chaos.child import Child
from benchmarks.chaos.judge import (
    Final,
    Judgement,
    dead_events,
    different,
    events_of,
    judge_account,
    judge_events,
    label_rows,
    newest,
    weights_of,
)
from benchmarks.chaos.ledger import Ledger, Plan, Summary
from benchmarks.chaos.parts import LogServer, Service, start_trainer, trainer_environment, trainer_of
from benchmarks.chaos.prefork import Forked, Prefork
from benchmarks.chaos.recorder import Fields, Recorder, play
from benchmarks.serving.processes import until
from contract.event_log import StreamId, stream_key
from contract.hashing import PARTITIONS

SETTLE_S = 120.0


@dataclass
class Fed:
    """What `feeding` leaves behind."""

    ledger: Ledger
    recorder: Recorder
    summary: Summary | None = None

    @property
    def entries(self) -> dict[tuple[int, bytes], Fields]:
        """The entries of the log, as they were written."""
        return self.recorder.entries


class Rig:
    """Server, service and trainer in a directory of their own. A context manager; nothing is left running."""

    def __init__(
        self,
        directory: Path,
        server: LogServer | None = None,
        log_url: str | None = None,
        trainer_url: str | None = None,
        settings: dict[str, str] | None = None,
    ) -> None:
        """Describe the loop. `log_url` and `trainer_url` are what service and trainer are told instead of the
        server's address; `settings` go to both.
        """
        self.directory = directory
        self.home = directory / "home"
        self.settings = settings or {}
        (self.home / "logs").mkdir(parents=True, exist_ok=True)
        self.prefork = Prefork(self.home / "logs" / "prefork.log")
        self.server = server or LogServer(directory / "server")
        self.trainer_url = trainer_url or self.server.url
        self.service = Service(self.home, log_url or self.server.url, **self.settings)
        self.trainer: Child = trainer_of(self.home, self.trainer_url, self.prefork, **self.settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for part in (self.service, self.trainer, self.server):
            part.close()
        self.prefork.close()

    def start(self, trainer: bool = True) -> Self:
        """Start the parts and wait until each is at work."""
        self.server.start()
        self.service.start()
        if trainer:
            self.start_trainer()
        return self

    def start_trainer(self) -> float:
        """Start the trainer, wait until it has taken up its checkpoint, and return the seconds."""
        return start_trainer(self.trainer)

    @contextlib.contextmanager
    def feeding(self, url: str | None = None, whole: bool = False, **plan: object) -> Iterator[Fed]:
        """Let a ledger send while the block runs; with `whole` until it has sent all its events."""
        made = Plan(url=url or self.service.url, directory=str(self.directory / "ledger"))
        ledger = Ledger(dataclasses.replace(made, **plan))  # type: ignore[arg-type]
        try:
            with Recorder(self.server.url) as recorder:
                fed = Fed(ledger, recorder)
                ledger.start()
                yield fed
                for part in (self.server, self.service):
                    if not part.is_alive():  # whatever was killed last: the ledger insists on what is on its way
                        part.start()
                fed.summary = ledger.finish(600.0) if whole else ledger.end()
        finally:
            ledger.close()

    def settle(self, timeout_s: float = SETTLE_S) -> None:
        """Let the trainer, started again if need be, learn and checkpoint all that the log holds, and end."""
        if not self.trainer.is_alive():
            self.start_trainer()
        until(self.is_settled, timeout_s, "a checkpoint that covers the whole log")
        self.trainer.stop()

    def is_settled(self) -> bool:
        """Whether the newest checkpoint covers the last entry of every stream."""
        final = newest(self.home, arrays=False)
        if final is None:
            return False
        with contextlib.suppress(redis.RedisError), self.server.client() as client:
            for partition in range(PARTITIONS):
                rows = client.xrevrange(stream_key(partition), count=1)
                covered = StreamId.parse(final.position.get(partition, "0-0"))
                if rows and StreamId.parse(rows[0][0]) > covered:
                    return False
            return True
        return False

    def judge(self, fed: Fed, weights: bool = True, put_aside: int = 0) -> Judgement:
        """Say whether every acknowledged event is there once, and the weights are those of a run without faults.

        `put_aside` is how many events are rightly dead that are not among the recorded entries.
        """
        final = newest(self.home)
        if final is None:
            return Judgement(0, 0, account="there is no checkpoint")
        plan, summary = fed.ledger.plan, fed.summary
        sent = [f"{plan.prefix}{number}" for number in range(summary.sent)] if summary is not None else None
        judgement = judge_events(fed.ledger.acknowledged(), label_rows(self.home), dead_events(self.server.url), sent)
        stored = {event for fields in fed.entries.values() for event in events_of(fields[b"block"])}
        unequal: list[str] = []
        if weights:
            unequal = different(weights_of(final), weights_of(self.undisturbed(fed.entries)))
        account = judge_account(final.account, len(stored) + put_aside)
        return dataclasses.replace(judgement, checkpoints=final.number, account=account, weights=unequal)

    def undisturbed(self, entries: dict[tuple[int, bytes], Fields], name: str = "undisturbed") -> Final:
        """Return the checkpoint of a trainer that learned the entries without any fault, in a home of its own."""
        return drained(self.directory / name, self.prefork, entries, self.settings)


def drained(
    directory: Path, prefork: Prefork, entries: dict[tuple[int, bytes], Fields], settings: dict[str, str]
) -> Final:
    """Return the checkpoint of a trainer that learned exactly these entries, in a home and on a server of its own."""
    home, server = directory / "home", LogServer(directory / "server")
    (home / "logs").mkdir(parents=True)
    trainer = Forked(prefork, "drain", trainer_environment(home, server.url, **settings), home / "logs" / "trainer.log")
    try:
        server.start()
        play(entries, server.url)
        trainer.spawn()
        if code := trainer.wait(600.0):
            raise RuntimeError(f"the run without faults ended with {code}: {trainer.said()[-500:]!r}")
        final = newest(home)
        assert final is not None
        return final
    finally:
        trainer.close()
        server.close()
