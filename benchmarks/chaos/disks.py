"""Disks: full under each part in turn, failing to sync, slow to sync (P1, P3, P4)."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from benchmarks.chaos.child import Child
from benchmarks.chaos.judge import newest
from benchmarks.chaos.kills import facts, rest
from benchmarks.chaos.parts import LogServer, trainer_environment
from benchmarks.chaos.rig import Rig
from benchmarks.chaos.scenario import Effort, Figure, NotShown, Outcome, scenario
from benchmarks.serving.processes import until
from contract.errors import SetupError

_NO_RIGHT = "needs the right to mount a tmpfs"
_FULL_S = 6.0  # how long a disk of the trainer's stays full: several checkpoints and versions are due in it
_REFUSED = re.compile(r'^winnow_requests_total\{route="/v1/feedback",status="5xx"\} (\S+)', re.MULTILINE)


@scenario(
    "the disk of the log's server (tmpfs) filled, and emptied again",
    "feedback answers 503, never a 202 that is lost; it goes on when space returns",
)
def disk_full_redis(directory: Path, effort: Effort) -> Outcome:
    """Fill the disk under the log."""
    with _small_disk(directory / "server", 16) as mounted:
        if not mounted:
            return Outcome(False, {"not_run": _NO_RIGHT})
        with Rig(directory, LogServer(directory / "server")) as rig:
            with rig.start().feeding(seed=effort.seed, rate=400.0) as fed:
                until(lambda: len(fed.ledger.acknowledged()) > 200, 60, "feedback before the disk is full")
                with _filled(directory / "server"):
                    _until_refused(rig, 20)  # by then what was on its way has been answered
                    stuck = len(fed.ledger.acknowledged())
                    _until_refused(rig, 100)  # what is acknowledged meanwhile is counted, and judged with all else
                    came = len(fed.ledger.acknowledged()) - stuck
                if not rig.server.is_alive():
                    rig.server.start()  # a server that cannot write its log may end; a supervisor starts it again
                at = len(fed.ledger.acknowledged())
                until(lambda: len(fed.ledger.acknowledged()) > at + 50, 60, "feedback after the disk had room again")
            judgement = rest(rig, fed)
    assert fed.summary is not None
    why = [judgement.why()] if not judgement.holds else []
    return Outcome(
        not why,
        {**facts(judgement), "acknowledged_while_full": came, "503": fed.summary.statuses.get("503", 0)},
        "; ".join(why),
    )


@scenario(
    "the disk of the checkpoints (tmpfs) filled, and emptied again; a supervisor restarts what ends",
    "no acknowledged event lost or trained twice, the log not trimmed meanwhile, it goes on when space returns",
)
def disk_full_checkpoints(directory: Path, effort: Effort) -> Outcome:
    """Fill the disk under the checkpoints."""
    return _full_under("checkpoints", directory, effort)


@scenario(
    "the disk of the registry (tmpfs) filled, and emptied again; a supervisor restarts what ends",
    "no half version is promoted, no acknowledged event lost, it goes on when space returns",
)
def disk_full_registry(directory: Path, effort: Effort) -> Outcome:
    """Fill the disk under the registry."""
    return _full_under("registry", directory, effort)


@scenario(
    "fsync answers EIO from the n-th call of the trainer on (strace)",
    "the trainer exits non-zero, and what it did not sync is trained after the restart, once",
    needs=("strace",),
)
def fsync_fails(directory: Path, effort: Effort) -> Outcome:
    """Let fsync fail, as a dying disk does."""
    codes = []
    with Rig(directory) as rig:
        with rig.start(trainer=False).feeding(seed=effort.seed) as fed:
            for number in range(effort.of(6, 18)):
                inject = ["-e", "trace=fsync", "-e", f"inject=fsync:error=EIO:when={2 + 7 * number}+"]
                command = ["strace", "-f", "-qq", "-o", os.devnull, *inject, sys.executable, "-m", "winnow", "train"]
                only_checkpoints = {"WINNOW_PUBLISH_EVERY_S": "3600"} if number % 2 else {}
                environment = trainer_environment(rig.home, rig.trainer_url, **only_checkpoints)
                failing = Child(command, environment, rig.home / "logs" / "failing.log")
                try:
                    failing.spawn()
                    codes.append(failing.wait(60.0))
                except SetupError:
                    codes.append(0)  # it went on as if nothing had been
                finally:
                    failing.close()
            at_checkpoint = failing.said().count("nothing was acknowledged")  # the others met the fsyncs of a version
        judgement = rest(rig, fed)
    why = [judgement.why()] if not judgement.holds else []
    why += [f"exit codes {codes}: a trainer went on after a failed fsync"] if 0 in codes else []
    if not why and not at_checkpoint:
        raise NotShown("no failure met a checkpoint")
    figures: dict[str, Figure] = {
        "failures": len(codes),
        "in_a_checkpoint": at_checkpoint,
        "exit_codes": str(sorted(set(codes))),
    }
    return Outcome(not why, {**figures, **facts(judgement)}, "; ".join(why))


def _full_under(part: str, directory: Path, effort: Effort) -> Outcome:
    home_part = directory / "home" / part
    with _small_disk(home_part, 64) as mounted:
        if not mounted:
            return Outcome(False, {"not_run": _NO_RIGHT})
        restarts = 0
        with Rig(directory, settings={"WINNOW_GATE_MIN_EVENTS": "100", "WINNOW_KEEP_CHECKPOINTS": "5"}) as rig:
            with rig.start().feeding(seed=effort.seed) as fed:
                until(lambda: newest(rig.home, arrays=False) is not None, 60, "a checkpoint before the disk is full")
                begun = rig.trainer.log_file.stat().st_size
                with _filled(home_part):
                    ends = time.monotonic() + _FULL_S
                    while time.monotonic() < ends:
                        time.sleep(0.2)  # between two looks of the supervisor
                        if not rig.trainer.is_alive():
                            rig.trainer.spawn()
                            restarts += 1
                if not restarts and "disk_full" not in rig.trainer.said(begun):
                    raise NotShown("the trainer wrote nothing while the disk was full")
                if not rig.trainer.is_alive():
                    rig.start_trainer()
                at = newest(rig.home, arrays=False)
                until(lambda: newest(rig.home, arrays=False) != at, 60, "a checkpoint after the disk had room again")
            judgement = rest(rig, fed)
            verified = _verify(rig)
    why = [judgement.why()] if not judgement.holds else []
    why += [verified] if verified else []
    return Outcome(not why, {**facts(judgement), "trainer_restarts": restarts}, "; ".join(why))


def _until_refused(rig: Rig, more: int) -> None:
    """Wait until the service has refused so many requests more; it says when, the ledger judges."""

    def refused() -> float:
        found = _REFUSED.search(httpx.get(rig.service.url + "/metrics", timeout=5, trust_env=False).text)
        return float(found[1]) if found else 0.0

    least = refused() + more
    until(lambda: refused() >= least, 30, f"{more} requests refused for a full disk")


def _verify(rig: Rig) -> str:
    """Return what is wrong with the champion, by its own digests; "" if nothing is, or there is none."""
    from contract.errors import RegistryError
    from contract.registry import Registry

    try:
        registry = Registry(rig.home / "registry")
        if (champion := registry.champion()) is not None:
            registry.verify(champion.version)
    except RegistryError as error:
        return str(error)
    return ""


@contextlib.contextmanager
def _small_disk(where: Path, megabytes: int) -> Iterator[bool]:
    """Mount a tmpfs; yield whether that was allowed."""
    where.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "winnow-chaos", str(where)],
        check=False,
        capture_output=True,
    )
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", str(where)], check=False)


@contextlib.contextmanager
def _filled(disk: Path) -> Iterator[None]:
    """Fill a disk to the last byte; give the space back afterwards."""
    ballast = disk / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"\0" * size)
        yield
    finally:
        ballast.unlink(missing_ok=True)
