"""Two trainers where there may be one, and a trainer that one event kills again and again (P3, P8, P9)."""

import shutil
import signal
import time
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np

from benchmarks.chaos.deadly import DEADLY_ITEM
from benchmarks.chaos.judge import dead_events, events_of, newest
from benchmarks.chaos.kills import facts, rest
from benchmarks.chaos.parts import start_trainer, trainer_environment, trainer_of
from benchmarks.chaos.prefork import Forked
from benchmarks.chaos.rig import Fed, Rig
from benchmarks.chaos.scenario import Effort, Figure, Outcome, scenario
from benchmarks.serving.processes import until
from contract.blocks import decode_block, encode_block
from contract.dead_letters import DEAD_LETTERS_KEY, Reason
from contract.event_log import GROUP, stream_key
from contract.hashing import PARTITIONS
from contract.registry import Registry

_MOST_DEATHS = 12
_POISON = "poison"
_KEPT = ("checkpoints", "labels", "registry")


@scenario(
    "a second trainer on the same home; a trainer stopped by SIGSTOP, replaced on a copy of its home, and continued",
    "the second is refused and says why; the old one ends non-zero and trims, shows and promotes nothing; 0 lost, "
    "0 twice, weights bitwise those of one trainer",
)
def two_trainers(directory: Path, effort: Effort) -> Outcome:
    """Let trainers meet, and fail over again and again."""
    turns, why, codes = effort.of(2, 30), list[str](), list[int]()
    with Rig(directory) as rig:
        with rig.start().feeding(seed=effort.seed) as fed:
            refused = _second(rig)
            why += [] if refused else ["a second trainer on the same home was not refused by name of the first"]
            for turn in range(turns):
                until(lambda: newest(rig.home, arrays=False) is not None, 60, "a checkpoint")
                code, found = _fail_over(rig, directory / f"home-{turn}", effort.of(2, 60))
                codes.append(code)
                why += found
        judgement = rest(rig, fed)
    why += [judgement.why()] if not judgement.holds else []
    why += [f"exit codes {codes} of trainers that were replaced"] if not all(code > 0 for code in codes) else []
    figures: dict[str, Figure] = {"fail_overs": turns, "exit_codes": str(sorted(set(codes)))}
    return Outcome(not why, {**figures, **facts(judgement)}, "; ".join(why))


@scenario(
    "one event among thousands kills the trainer by SIGSEGV whenever it is learned; a supervisor restarts it",
    f"put aside alone after at most {_MOST_DEATHS} deaths, all others trained once, weights bitwise those without it",
)
def crash_poison(directory: Path, effort: Effort) -> Outcome:
    """Send events that kill, one after another, and restart what dies."""
    poisons, deaths = effort.of(2, 50), list[int]()
    with Rig(directory) as rig:
        rig.trainer = Forked(
            rig.prefork, "deadly", trainer_environment(rig.home, rig.trainer_url), rig.home / "logs" / "trainer.log"
        )
        with rig.start().feeding(seed=effort.seed, rate=150.0) as fed:
            for number in range(poisons):
                time.sleep(0.5)
                _send_poison(rig, number)
                deaths.append(_restart_until_apart(rig, number))
        _without_poison(fed)
        judgement = rest(rig, fed, put_aside=poisons)
        with rig.server.client() as client:
            letters = [letter for _, letter in cast(list[Any], client.xrange(DEAD_LETTERS_KEY))]
    reasons = [letter[b"reason"].decode() for letter in letters]
    why = [judgement.why()] if not judgement.holds else []
    why += [f"dead letters: {reasons}, {poisons} events kill"] if reasons != [Reason.KILLED] * poisons else []
    why += [f"{deaths} deaths"] if max(deaths) > _MOST_DEATHS or min(deaths) == 0 else []
    figures: dict[str, Figure] = {"poisons": poisons, "most_deaths": max(deaths), "dead_letters": len(letters)}
    return Outcome(not why, {**figures, **facts(judgement)}, "; ".join(why))


def _second(rig: Rig) -> bool:
    """Whether a second trainer on the home ends, and says who works there."""
    environment = trainer_environment(rig.home, rig.trainer_url)
    second = Forked(rig.prefork, "run", environment, rig.home / "logs" / "second.log")
    try:
        second.spawn()
        code = second.wait(30.0)
        return code > 0 and f"another trainer (pid {rig.trainer.pid})" in second.said() and rig.trainer.is_alive()
    finally:
        second.close()


def _fail_over(rig: Rig, home: Path, stopped_s: float) -> tuple[int, list[str]]:
    """Stop the trainer, start another on a copy of its home, continue it; return its exit code, and what it did."""
    old, old_home = rig.trainer, rig.home
    old.signal(signal.SIGSTOP)
    try:
        for part in _KEPT:
            if (old_home / part).exists():
                shutil.copytree(old_home / part, home / part)
        rig.trainer = trainer_of(home, rig.trainer_url, rig.prefork, **rig.settings)
        rig.home = home
        start_trainer(rig.trainer)
        number = newest(old_home, arrays=False)
        assert number is not None
        until(lambda: cast(Any, newest(home, arrays=False)).number > number.number + 1, 60, "a checkpoint of its own")
        time.sleep(stopped_s)
        rig.trainer.signal(signal.SIGSTOP)  # so that whatever is trimmed now, the old one has trimmed
        try:
            shown, champion = _shown(rig), _champion(old_home)
            old.signal(signal.SIGCONT)
            code = old.wait(60.0)
            after = _shown(rig)
        finally:
            rig.trainer.signal(signal.SIGCONT)
    finally:
        old.close()
    why = [f"the old trainer changed {name}" for name in shown if after[name] != shown[name]]
    why += ["the old trainer promoted a version"] if _champion(old_home) != champion else []
    why += [] if "a newer trainer has claimed" in old.said() else ["the old trainer did not say why it ended"]
    return code, why


def _shown(rig: Rig) -> dict[str, object]:
    """Return the first entry of every stream and the position that is shown: what a trainer changes in the log."""
    found = dict[str, object]()
    with rig.server.client() as client:
        for partition in range(PARTITIONS):
            key = stream_key(partition)
            if client.exists(key):
                found[f"the first entry of {key}"] = cast(list[Any], client.xrange(key, count=1))[:1]
                groups = {group["name"]: group["last-delivered-id"] for group in client.xinfo_groups(key)}
                found[f"the position of {key}"] = groups.get(GROUP.encode())
    return found


def _champion(home: Path) -> str | None:
    champion = Registry(home / "registry").champion()
    return champion.version if champion else None


def _send_poison(rig: Rig, number: int) -> None:
    event = {
        "event_id": f"{_POISON}{number}",
        "user_id": f"u{number}",
        "item_id": DEADLY_ITEM,
        "at": time.time_ns() // 1_000_000,
        "watch_ms": 1_000,
        "duration_ms": 30_000,
        "surface": "feed",
    }
    httpx.post(f"{rig.service.url}/v1/feedback", json=event, timeout=5, trust_env=False).raise_for_status()


def _restart_until_apart(rig: Rig, number: int) -> int:
    """Restart the trainer, as a supervisor would, until the event is a dead letter; return how often it died."""
    deaths, deadline = 0, time.monotonic() + 90.0
    while f"{_POISON}{number}" not in dead_events(rig.server.url):
        if time.monotonic() > deadline or deaths > 3 * _MOST_DEATHS:
            break
        if not rig.trainer.is_alive():
            deaths += 1
            rig.trainer.spawn()
        time.sleep(0.05)
    return deaths


def _without_poison(fed: Fed) -> None:
    """Take the events that kill out of what was recorded: what is compared with never had them."""
    for key, fields in list(fed.entries.items()):
        ids = np.array(events_of(fields[b"block"]))
        if (good := ~np.char.startswith(ids, _POISON)).all():
            continue
        if good.any():
            fields[b"block"] = encode_block(decode_block(fields[b"block"]).take(good))
            fields[b"events"] = str(int(good.sum())).encode()
        else:
            del fed.entries[key]
