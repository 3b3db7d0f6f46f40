"""What stands in the log: duplicates in any order, bad entries, a log that is flushed or full (P2, P3, P8, P9)."""

import contextlib
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import redis

from benchmarks.chaos.bad_blocks import KINDS, bad_entry
from benchmarks.chaos.drawn import drawn
from benchmarks.chaos.judge import different, label_rows, newest, weights_of
from benchmarks.chaos.kills import facts, rest
from benchmarks.chaos.prefork import Prefork
from benchmarks.chaos.recorder import Fields
from benchmarks.chaos.rig import Rig, drained
from benchmarks.chaos.scenario import Effort, Figure, Outcome, scenario
from benchmarks.serving.processes import until
from contract.blocks import encode_partitions, pieces_of
from contract.dead_letters import DEAD_LETTERS_KEY
from contract.event_log import GROUP, StreamId, append_arguments, stream_key
from contract.events import Events
from contract.hashing import PARTITIONS

_MOST_COPIES = 8
_SLOT_MS = 7
_BEGAN_MS = 1_700_000_000_000
_PROBE = "probe"
_QUIET_S = 1.0  # after a break an event that was stored before it has been answered


@scenario(
    "30 % of the events stand 2 to 8 times in the log, in any order, across and within entries",
    "the state is bitwise that of a run over the first appearances alone, at the same ids; one row an event",
)
def duplicates(directory: Path, effort: Effort) -> Outcome:
    """Drain two logs through trainers of their own: one with copies, one where each event stands once.

    The equality is exact where the first appearances have the same entry ids, so the same windows and batches: it
    spans learner, caps, progressive figures and what dedupe remembers. The accounts differ in `duplicates` alone.
    """
    count, wrong, copies, unequal = effort.of(3_000, 100_000), list[str](), 0, set[str]()
    (directory / "logs").mkdir()
    prefork = Prefork(directory / "logs" / "prefork.log")
    try:
        for turn in range(effort.of(2, 10)):
            events, draw = drawn(count, 100 * effort.seed + turn, "d"), random.Random(100 * effort.seed + turn)
            many, once = appearances(count, draw)
            copies += len(many) - count
            work = directory / str(turn)
            with_copies = drained(work / "many", prefork, _entries(events, many), {})
            alone = drained(work / "once", prefork, _entries(events, once), {})
            unequal |= set(different(with_copies.arrays, alone.arrays))
            rows = label_rows(work / "many" / "home")
            wrong += [f"{len(rows)} rows of {count} events"] if sorted(rows) != sorted(events.event_id) else []
            expected = alone.account | {"duplicates": len(many) - count}
            found = with_copies.account | {"acknowledged_ms": alone.account["acknowledged_ms"]}  # when each was run
            wrong += [f"{found} is not {expected}"] if found != expected else []
    finally:
        prefork.close()
    wrong += [f"arrays differ: {sorted(unequal)[:5]}"] if unequal else []
    return Outcome(
        not wrong, {"events": count, "copies": copies, "arrays_that_differ": len(unequal)}, "; ".join(wrong[:3])
    )


@scenario(
    f"5 % of the entries are bad in {KINDS} ways: noise, torn, another version, the bits of NaN and infinity",
    "each is one dead letter, weights are finite and bitwise those without them, the trainer never ends",
)
def poison_entries(directory: Path, effort: Effort) -> Outcome:
    """Write bad entries among the good ones, as a stranger with access to the log could."""
    draw, count = random.Random(effort.seed), effort.of(100, 10_000)
    bad = set[tuple[int, bytes]]()
    with Rig(directory) as rig:
        with rig.start().feeding(seed=effort.seed, rate=600.0) as fed, rig.server.client() as client:
            while len(bad) < count:
                until(lambda: len(fed.entries) * 0.05 >= len(bad) - 20, 30, "entries to be bad among")
                partition = draw.randrange(PARTITIONS)
                fields = bad_entry(len(bad) % KINDS, draw)
                bad.add((partition, cast(bytes, client.xadd(stream_key(partition), fields))))
            until(lambda: len(fed.entries) * 0.05 >= len(bad), 120, "enough good entries")
            pid_stayed = rig.trainer.is_alive()
        share = len(bad) / len(fed.entries)
        # What is compared with never sees them.
        said = sum(int(fed.entries.pop(key).get(b"events", 0)) for key in bad)
        judgement = rest(rig, fed, put_aside=said)
        starts, letters = rig.trainer.starts, _letters(rig)
        final = newest(rig.home)
        assert final is not None
    floats = [array for array in weights_of(final).values() if array.dtype.kind == "f"]
    why = [judgement.why()] if not judgement.holds else []
    why += [f"the trainer was started {starts} times"] if starts != 1 or not pid_stayed else []
    sources = sorted(f"{partition}/{at.decode()}" for partition, at in bad)
    why += [f"{len(letters)} dead letters of {len(sources)} bad entries"] if sorted(letters) != sources else []
    why += ["weights that are not finite"] if not all(np.isfinite(array).all() for array in floats) else []
    figures: dict[str, Figure] = {
        "bad_entries": len(bad),
        "dead_letters": len(letters),
        "share": round(share, 3),
        "trainer_starts": starts,
    }
    return Outcome(not why, {**figures, **facts(judgement)}, "; ".join(why))


@scenario(
    "FLUSHALL, a stream deleted, the consumer group destroyed, another type in a stream's place, in mid-run",
    "the trainer goes on and keeps what it knows; what is acknowledged afterwards is trained, once",
)
def log_flushed(directory: Path, effort: Effort) -> Outcome:
    """Do to the log what an operator's slip does."""
    breaks = {"flushall": _flush, "stream": _delete, "group": _ungroup, "type": _retype}
    draw, lost, late_lost, twice = random.Random(effort.seed), dict.fromkeys(breaks, 0), 0, set[str]()
    trained, fell = 0, list[str]()
    with Rig(directory) as rig:
        rig.start()
        pid = rig.trainer.pid
        for number in range(effort.of(1, 50) * len(breaks)):
            name = list(breaks)[number % len(breaks)]
            with (
                rig.feeding(seed=effort.seed + number, prefix=f"{name}{number}-") as fed,
                rig.server.client() as client,
            ):
                time.sleep(draw.uniform(0.3, 1.0))
                breaks[name](client, draw.randrange(PARTITIONS))
                time.sleep(_QUIET_S)
                early = set(fed.ledger.acknowledged())
                time.sleep(0.5)
            until(rig.is_settled, 60, f"a checkpoint after {name}")
            judgement = rig.judge(fed, weights=False)
            lost[name] += len(early & set(judgement.lost))
            late_lost += len(set(judgement.lost) - early)
            twice |= set(judgement.twice)
            final = newest(rig.home, arrays=False)
            assert final is not None
            fell += [f"trained fell from {trained} after {name}"] if final.account["trained"] < trained else []
            trained = final.account["trained"]
        same = rig.trainer.is_alive() and rig.trainer.pid == pid
    why = [*fell, *([] if same else ["the trainer ended"])]
    why += [f"{late_lost} events lost that were acknowledged after a break"] if late_lost else []
    why += [f"{len(twice)} events twice"] if twice else []
    why += [f"{lost['group']} events lost though no entry was taken away"] if lost["group"] else []
    figures: dict[str, Figure] = {f"gone_with_{name}": count for name, count in lost.items()}
    return Outcome(
        not why, {**figures, "trained": trained, "lost_afterwards": late_lost, "twice": len(twice)}, "; ".join(why)
    )


@scenario(
    "the trainer stopped by SIGSTOP until the log holds as many entries as it may, then continued",
    "503 with Retry-After, nothing untrained is trimmed, and all is learned after the stop: 0 lost, 0 twice",
)
def backlog(directory: Path, effort: Effort) -> Outcome:
    """Let the log fill up to a small bound, see who says what, and let it drain."""
    refused, trimmed, rounds = 0, 0, effort.of(2, 50)
    settings = {"WINNOW_LOG_MAX_ENTRIES": "150", "WINNOW_KEEP_CHECKPOINTS": "2"}
    why = list[str]()
    with Rig(directory, settings=settings) as rig:
        with rig.start().feeding(seed=effort.seed, rate=500.0) as fed:
            for _ in range(rounds):
                time.sleep(1.0)
                rig.trainer.signal(signal.SIGSTOP)
                answers = list[str]()
                until(lambda said=answers: _is_full(rig.service.url, said), 60, "a log that is full")  # type: ignore[misc]
                refused += 1
                why += [f"503 with Retry-After {answers[-1]!r}"] if not answers[-1].isdigit() else []
                time.sleep(1.0)
                trimmed += _missing(rig, fed.entries)
                rig.trainer.signal(signal.SIGCONT)
                at = len(fed.ledger.acknowledged())
                until(lambda now=at: len(fed.ledger.acknowledged()) > now + 100, 60, "feedback")  # type: ignore[misc]
        judgement = rest(rig, fed)
    assert fed.summary is not None
    judgement = replace(judgement, strange=[event for event in judgement.strange if event != _PROBE])
    why += [judgement.why()] if not judgement.holds else []
    why += [f"{trimmed} entries trimmed that no checkpoint covers"] if trimmed else []
    figures: dict[str, Figure] = {"times_full": refused, "503": fed.summary.statuses.get("503", 0), "trimmed": trimmed}
    return Outcome(not why, {**figures, **facts(judgement)}, "; ".join(why))


def appearances(count: int, draw: random.Random) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return (slot, event) of all copies, in order, and those of first appearances alone."""
    slots = count // 10
    stands = [
        (draw.randrange(slots), draw.random(), event)
        for event in range(count)
        for _ in range(draw.randint(2, _MOST_COPIES) if draw.random() < 0.3 else 1)
    ]
    many = [(slot, event) for slot, _, event in sorted(stands)]
    seen, once = set[int](), list[tuple[int, int]]()
    for slot, event in many:
        if event not in seen:
            seen.add(event)
            once.append((slot, event))
    return many, once


def _entries(events: Events, stands: list[tuple[int, int]]) -> dict[tuple[int, bytes], Fields]:
    """Return the entries of a log: those of a slot have its id, one a partition."""
    slots: dict[int, list[int]] = {}
    for slot, event in stands:
        slots.setdefault(slot, []).append(event)
    return {
        (partition, f"{_BEGAN_MS + slot * _SLOT_MS}-1".encode()): append_arguments(held, block)
        for slot, places in slots.items()
        for partition, (held, block) in encode_partitions([pieces_of(events.take(np.array(places)))]).items()
    }


def _letters(rig: Rig) -> list[str]:
    with rig.server.client() as client:
        return [letter[b"source"].decode() for _, letter in cast(list[Any], client.xrange(DEAD_LETTERS_KEY))]


def _flush(client: redis.Redis, _partition: int) -> None:
    client.flushall()


def _delete(client: redis.Redis, partition: int) -> None:
    client.delete(stream_key(partition))


def _ungroup(client: redis.Redis, partition: int) -> None:
    client.xgroup_destroy(stream_key(partition), GROUP)


def _retype(client: redis.Redis, partition: int) -> None:
    key = stream_key(partition)
    with client.pipeline() as pipe:
        pipe.delete(key)
        pipe.set(key, "a stranger's")
        pipe.execute()
    time.sleep(_QUIET_S)
    client.delete(key)


def _is_full(url: str, answers: list[str]) -> bool:
    """Whether feedback is refused for the bound, which it names; note the Retry-After, "" for none."""
    event = {"event_id": _PROBE, "user_id": _PROBE, "item_id": "v1", "at": 1_650_000_000_000, "watch_ms": 1}
    with contextlib.suppress(httpx.TransportError):
        answer = httpx.post(f"{url}/v1/feedback", json=event, timeout=5, trust_env=False)
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and "WINNOW_LOG_MAX_ENTRIES" in answer.text:
            answers.append(answer.headers.get("retry-after", ""))
    return bool(answers)


def _missing(rig: Rig, entries: dict[tuple[int, bytes], Fields]) -> int:
    """Return how many recorded entries are gone from the log that no checkpoint covers."""
    final = newest(rig.home, arrays=False)
    covered = final.position if final else {}
    recorded = {key for key in list(entries) if _is_after(key[1], covered.get(key[0], "0-0"))}
    with rig.server.client() as client:
        there = {
            (partition, at)
            for partition in range(PARTITIONS)
            for at, _ in cast(list[Any], client.xrange(stream_key(partition)))
        }
    return len(recorded - there)


def _is_after(at: bytes, covered: str) -> bool:
    return StreamId.parse(at) > StreamId.parse(covered)
