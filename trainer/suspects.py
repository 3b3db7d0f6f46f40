"""Who killed the trainer: events that end the process are found and put aside, whoever else is in their batch (P8).

    home/suspects/doing      which batch is being learned now, 40 bytes; nothing between batches
    home/suspects/case.json  the batch that the process died in, how often, and who is still suspected
    home/suspects/condemned.json   keys of events that killed it; they are never learned

A batch in which the process dies three times is looked into before it is learned again: parts of it, an eighth at a
time, are learned by a copy of the learner that is thrown away. A part that the process dies in is cut again; an event
that it dies in three times, alone, is condemned. Where no part kills, the case is dropped and the batch learned: what
the learner itself goes through is the same as if nobody had been suspected, so kills at random cost time alone (P3).

`doing` is written without fsync: it has to outlive the process, which the page cache does, and not the machine. A lost
case costs deaths, never an event.
"""

import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import structlog

from contract.durable import write_atomically
from contract.events import Events

DEATHS = 3  # in one batch, before it is looked into; and in one event alone, before it is condemned
PARTS = 8
MOST_CONDEMNED = 10_000
_DOING = struct.Struct("<QQQQQ")  # batch, first, past, is a trial, all of these mixed
_NOTHING = bytes(_DOING.size)

log = structlog.get_logger()


@dataclass(frozen=True)
class Doing:
    """A batch, by its identity, and the events of it that are being learned: from `first` to before `past`."""

    batch: int
    first: int
    past: int
    trial: bool = False

    @property
    def alone(self) -> bool:
        """Whether it is one event."""
        return self.past - self.first == 1


@dataclass(frozen=True)
class Case:
    """A batch that the process died in. `suspects` are events of it, first and past, once it is looked into."""

    batch: int
    deaths: int
    suspects: tuple[int, int] | None = None
    alone: int = 0  # deaths in one event alone

    @property
    def guilty(self) -> int | None:
        """The event that killed, if that is certain."""
        return self.suspects[0] if self.suspects and self.alone >= DEATHS else None

    def parts(self) -> list[tuple[int, int]]:
        """Return what to try out, one after another."""
        if self.suspects is None:
            return []
        first, past = self.suspects
        step = max(-(-(past - first) // PARTS), 1)
        return [(start, min(start + step, past)) for start in range(first, past, step)]


def after_death(case: Case | None, doing: Doing) -> Case:
    """Return what is known once the process has died while it was `doing`. Pure."""
    if case is None or case.batch != doing.batch:
        case = Case(doing.batch, 0)
    if not doing.trial:
        deaths = case.deaths + 1
        return replace(case, deaths=deaths, suspects=(doing.first, doing.past) if deaths >= DEATHS else None)
    suspects = (doing.first, doing.past)
    alone = (case.alone if suspects == case.suspects else 0) + 1 if doing.alone else 0
    return replace(case, deaths=case.deaths + 1, suspects=suspects, alone=alone)


def identity(events: Events) -> int:
    """Return what a batch is known by when it comes again: how many events, and which. Never 0."""
    return len(events) << 32 | zlib.crc32(events.event_key.tobytes())


class Condemned(Exception):
    """An event was condemned: go back to the checkpoint and read again without it."""


class Suspects:
    """The files of one home. Held by the one trainer that works in it."""

    def __init__(self, directory: Path) -> None:
        """Open, or make, the files."""
        directory.mkdir(parents=True, exist_ok=True)
        self._case_file = directory / "case.json"
        self._condemned_file = directory / "condemned.json"
        self._doing = os.open(directory / "doing", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.case = _case_in(self._case_file)
        self.condemned = set(_keys_in(self._condemned_file))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._doing)

    def take_up(self) -> Case | None:
        """Note the death of the process before this one, if it died while learning; return the case."""
        doing = _doing_in(os.pread(self._doing, _DOING.size, 0))
        if doing is None:
            return self.case
        self.case = after_death(self.case, doing)
        write_atomically(self._case_file, json.dumps(asdict(self.case)).encode())
        self._note(_NOTHING)
        log.warning("trainer_died_in_batch", deaths=self.case.deaths, suspects=self.case.suspects)
        return self.case

    def look_into(self, events: Events, try_out: Callable[[Events], Callable[[], object]]) -> None:
        """Try out the suspects of a batch that is about to be learned, if there is a case about it.

        `try_out` makes ready to learn a part by a copy, and returns what then learns it. Raises Condemned.
        """
        case = self.case
        if case is None or case.suspects is None or case.batch != identity(events):
            return
        if case.guilty is not None:
            self._condemn(int(events.event_key[case.guilty]))
            raise Condemned
        for first, past in case.parts():
            learn = try_out(events.take(slice(first, past)))
            with self._while(Doing(case.batch, first, past, trial=True)):
                learn()
        log.info("suspicion_dropped", events=len(events), deaths=case.deaths)
        self._close_case()

    @contextmanager
    def learning(self, events: Events) -> Iterator[None]:
        """Say which batch is being learned, for as long as it is. An exception is a death too."""
        with self._while(Doing(identity(events), 0, len(events))):
            yield

    @contextmanager
    def _while(self, doing: Doing) -> Iterator[None]:
        facts = (doing.batch, doing.first, doing.past, int(doing.trial))
        self._note(_DOING.pack(*facts, zlib.crc32(struct.pack("<QQQQ", *facts))))
        yield
        self._note(_NOTHING)

    def _note(self, content: bytes) -> None:
        os.pwrite(self._doing, content, 0)

    def _condemn(self, event_key: int) -> None:
        latest = [*_keys_in(self._condemned_file), event_key][-MOST_CONDEMNED:]
        write_atomically(self._condemned_file, json.dumps(latest).encode())
        self.condemned.add(event_key)
        self._close_case()
        log.error("event_condemned", event_key=f"{event_key:016x}", condemned=len(latest))

    def _close_case(self) -> None:
        self.case = None
        self._case_file.unlink(missing_ok=True)


def _doing_in(content: bytes) -> Doing | None:
    if len(content) < _DOING.size or content == _NOTHING:
        return None
    batch, first, past, trial, mixed = _DOING.unpack(content)
    if mixed != zlib.crc32(content[:32]):
        return None
    return Doing(batch, first, past, bool(trial))


def _case_in(path: Path) -> Case | None:
    try:
        facts = json.loads(path.read_bytes())
        suspects = facts["suspects"]
        return Case(facts["batch"], facts["deaths"], tuple(suspects) if suspects else None, facts["alone"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None  # a case is only ever worth the deaths it took


def _keys_in(path: Path) -> list[int]:
    try:
        return [int(key) for key in json.loads(path.read_bytes())]
    except (FileNotFoundError, ValueError, TypeError):
        return []
