"""A disk that is slow to sync, and a clock that is set back an hour under all that stamp (P1, P2, P3)."""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from benchmarks.chaos.judge import Judgement
from benchmarks.chaos.kills import facts, rest
from benchmarks.chaos.parts import LogServer
from benchmarks.chaos.rig import Fed, Rig
from benchmarks.chaos.scenario import Effort, Figure, Outcome, scenario
from benchmarks.serving.processes import free_port, until
from contract.errors import SetupError

_RATE = 300.0
_SLOW_S = 1.5  # a server that syncs every second holds appends back for as long as the sync before lasts
_LOSS_S = 2.5
_BACK_S = 3_600
_SAMPLE = re.compile(r"^(winnow_\S+?)(?:\{.*\})? (-\S+)$", re.MULTILINE)


@scenario(
    f"fdatasync of the log's server delayed by {_SLOW_S:g} s (strace), and the server killed in the midst of it",
    f"appendfsync always: 0 lost; everysec: at most {_LOSS_S:g} s of events lost; 0 twice, and it goes on",
    needs=("strace",),
)
def slow_fsync(directory: Path, effort: Effort) -> Outcome:
    """Show what `everysec` may lose, which is why `always` is the default."""
    figures, why, kills = dict[str, Figure](), list[str](), effort.of(1, 50)
    for fsync, delay_s in (("always", 0.1), ("everysec", _SLOW_S)):
        inject = ["-e", "trace=fdatasync", "-e", f"inject=fdatasync:delay_enter={round(delay_s * 1e6)}"]
        server = LogServer(directory / fsync / "server", fsync, ["strace", "-f", "-qq", "-o", os.devnull, *inject])
        with Rig(directory / fsync, server) as rig:
            with rig.start().feeding(seed=effort.seed, rate=_RATE, clients=32, batch=5) as fed:
                for _ in range(kills):
                    time.sleep(3.0)  # the stretch that may be lost, and more; the kill falls where it falls in a sync
                    rig.server.kill()
                    rig.server.start()
            rig.server.kill()
            rig.server.around = []
            rig.server.start()
            judgement = rest(rig, fed, weights=False)
        most = 0 if fsync == "always" else round((kills + 1) * _LOSS_S * _RATE)
        lost = len(judgement.lost)
        why += [f"{fsync}: {lost} lost, at most {most} may be"] if lost > most else []
        why += [f"{fsync}: {len(judgement.twice)} twice"] if judgement.twice else []
        figures |= {f"{fsync}_{name}": value for name, value in _counts(judgement).items()}
    return Outcome(not why, {"kills": kills, **figures}, "; ".join(why))


@scenario(
    "the clocks of server and service set back by an hour in mid-run, and forward again (faketime)",
    "0 lost, 0 twice, the trainer goes on meanwhile, and no metric below zero",
    needs=("faketime",),
)
def clock_set_back(directory: Path, effort: Effort) -> Outcome:
    """Set clocks back as a bad time source does, while everything runs."""
    clock, turns, port = directory / "clock", effort.of(1, 30), free_port()
    _set(clock, 0)
    with _faked_clock(clock) as fake, Rig(directory, settings={"WINNOW_TRAINER_METRICS_PORT": str(port)}) as rig:
        for part in (rig.server, rig.service):
            part.environment |= fake
        below, why, shifts = set[str](), list[str](), list[int]()
        with rig.start().feeding(seed=effort.seed) as fed:
            for _ in range(turns):
                for offset_s in (-_BACK_S, 0):
                    why += _goes_on(rig, fed)
                    before = _server_s(rig)
                    _set(clock, offset_s)
                    shifts.append(round(_server_s(rig) - before))
                    why += _goes_on(rig, fed)
                    below |= below_zero(_metrics(rig.service.url)) | below_zero(_metrics(f"http://127.0.0.1:{port}"))
        judgement = rest(rig, fed, weights=False)
    why += [judgement.why()] if not judgement.holds else []
    why += [f"below zero: {sorted(below)}"] if below else []
    why += [f"the server's clock moved by {shifts} s"] if min(shifts) > 5 - _BACK_S else []
    figures: dict[str, Figure] = {"set_back_s": -min(shifts), "metrics_below_zero": len(below)}
    return Outcome(not why, {**figures, **facts(judgement, weights=False)}, "; ".join(why))


def _counts(judgement: Judgement) -> dict[str, Figure]:
    return {"acknowledged": judgement.acknowledged, "lost": len(judgement.lost), "twice": len(judgement.twice)}


def _goes_on(rig: Rig, fed: Fed) -> list[str]:
    """Return a complaint if what is acknowledged from now on is not learned soon."""
    at = len(fed.ledger.acknowledged())
    try:
        until(lambda: len(fed.ledger.acknowledged()) > at + 50, 10, "feedback")
        until(rig.is_settled, 20, "a checkpoint that covers the log")
    except SetupError as error:
        return [str(error)]
    return []


@contextlib.contextmanager
def _faked_clock(file: Path) -> Iterator[dict[str, str]]:
    """Yield the environment of a process whose wall clock is what a file says, and whose monotonic clock is true."""
    told = subprocess.run(
        ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"], capture_output=True, text=True, check=True
    )
    yield {
        "LD_PRELOAD": told.stdout.strip(),
        "FAKETIME_TIMESTAMP_FILE": str(file.resolve()),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }


def _set(clock: Path, offset_s: int) -> None:
    new = clock.with_suffix(".new")
    new.write_text(f"{offset_s:+d}\n")
    new.replace(clock)


def _server_s(rig: Rig) -> float:
    with rig.server.client() as client:
        seconds, micros = client.time()
        return float(seconds) + float(micros) / 1e6


def below_zero(exposition: str) -> set[str]:
    """Return the names of samples that are below zero."""
    return {name for name, value in _SAMPLE.findall(exposition) if float(value) < 0}


def _metrics(url: str) -> str:
    return httpx.get(f"{url}/metrics", timeout=5, trust_env=False).raise_for_status().text
