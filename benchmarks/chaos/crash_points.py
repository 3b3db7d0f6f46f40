"""A kill between every two durable steps of a checkpoint and of a publication: before or after, never between.

A child is forked from a trainer that has learned and not yet written. In it the operating system's own functions are
counted (open, fsync, rename, unlink, mkdir, sends to the log), and before the k-th call it kills itself by SIGKILL. For
every k the log and the home are put back first; afterwards a fresh trainer attaches and goes on (P3, P4, P9).
"""

import io
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import redis

from contract.registry import Registry
from trainer.worker import Worker

Weights = dict[str, bytes]
_COUNTED = [
    (io, "open"),
    *[(os, name) for name in ("open", "fsync", "rename", "replace", "unlink", "mkdir", "rmdir")],
    (socket.socket, "sendall"),
]


def weights(worker: Worker) -> Weights:
    """Return all learned state, to be compared bit for bit."""
    return {name: array.tobytes() for name, array in worker.learner.state().items()}


def die_before(step: int) -> None:
    """Kill this process before the step-th durable call, counted from 1."""
    calls = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return count

    for owner, name in _COUNTED:
        setattr(owner, name, counted(getattr(owner, name)))


def died(act: Callable[[], object], step: int) -> bool:
    """Do `act` in a forked child that dies before its step-th durable call; return False if there are fewer."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            die_before(step)
            act()
            status = 0
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    if os.WIFSIGNALED(ended):
        return True
    if os.waitstatus_to_exitcode(ended) != 0:
        raise RuntimeError(f"the child of step {step} failed by itself")
    return False


class Kept:
    """A home and a log as they are now, to be put back."""

    def __init__(self, home: Path, url: str) -> None:
        """Copy them."""
        self._home, self._copy = home, home.with_name(f"{home.name}-kept")
        self._server = redis.Redis.from_url(url)
        self._log = {key: self._server.dump(key) or b"" for key in self._server.scan_iter()}
        shutil.copytree(home, self._copy)

    def put_back(self) -> None:
        """Make them what they were."""
        self._server.flushall()
        for key, content in self._log.items():
            self._server.restore(key, 0, content)
        shutil.rmtree(self._home)
        shutil.copytree(self._copy, self._home)


def kill_each_checkpoint_step(
    new_worker: Callable[[], Worker], home: Path, url: str, stride: int = 1
) -> tuple[int, list[str]]:
    """Kill a checkpoint at each `stride`-th step; return the steps, and what was wrong after any.

    `new_worker` attaches to `home` and the log at `url`, which hold a checkpoint and events after it.
    """
    worker = new_worker()
    before, kept = worker.account.read, Kept(home, url)
    while worker.advance():
        pass
    after, expected = worker.account.read, weights(worker)
    wrong: list[str] = []
    step = 1
    while died(worker.checkpoint, step):
        again = new_worker()
        if again.account.read not in (before, after):
            wrong.append(f"step {step}: {again.account.read} events, neither {before} nor {after}")
        again.drain()
        rows = pq.read_table(home / "labels")["event_id"].to_pylist()
        if weights(again) != expected:
            wrong.append(f"step {step}: other weights than without the crash")
        if len(rows) != again.account.trained or len(set(rows)) != len(rows):
            wrong.append(f"step {step}: {len(rows)} label rows of {again.account.trained} trained")
        kept.put_back()
        step += stride
    return step - 1, wrong


def kill_each_publish_step(
    new_worker: Callable[[], Worker], home: Path, url: str, stride: int = 1
) -> tuple[int, list[str]]:
    """Kill a publication at each `stride`-th step; return the steps, and what was wrong with the champion after any."""
    worker = new_worker()
    kept, registry = Kept(home, url), Registry(home / "registry")
    wrong: list[str] = []
    step = 1
    while died(worker.publish, step):
        champion = registry.champion()
        if champion:
            try:
                registry.verify(champion.version)
            except Exception as error:  # whatever it is, it is the finding
                wrong.append(f"step {step}: {error}")
        again = new_worker()
        again.publish()
        now = registry.champion()
        if now is None or now == champion:
            wrong.append(f"step {step}: the next version was not promoted")
        kept.put_back()
        step += stride
    return step - 1, wrong
