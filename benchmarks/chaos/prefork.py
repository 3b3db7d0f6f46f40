"""Trainers at once: a process that has loaded the trainer's libraries and forks a fresh trainer whenever it is told.

Loading torch takes seconds, and a campaign of a thousand kills would be about loading. A child of this process has
learned nothing yet: it reads its settings, opens its home and its log, and is killed, like any trainer. Told `drain`
instead of `run` it learns what the log holds, writes one checkpoint and ends: the run without faults. Told `deadly` it
is a trainer that one item kills.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from benchmarks.chaos.child import STOP_S, Child
from contract.errors import SetupError


class Prefork:
    """The process that forks trainers. A context manager."""

    def __init__(self, log_file: Path) -> None:
        """Start it; its libraries load meanwhile."""
        with log_file.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.chaos.prefork"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
            )

    def fork(self, task: str, environment: Mapping[str, str], log_file: Path) -> int:
        """Start a trainer (`run`, `deadly`) or a run without faults (`drain`) and return its pid."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"task": task, "environment": dict(environment), "log": str(log_file)}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SetupError("the process that forks trainers ended; see prefork.log")
        return int(answer)

    def close(self) -> None:
        """End it. Trainers that run are their owners' to end."""
        self._process.kill()
        self._process.communicate()


class Forked(Child):
    """A trainer that a Prefork starts."""

    def __init__(self, prefork: Prefork, task: str, environment: Mapping[str, str], log_file: Path) -> None:
        """Describe it; nothing runs yet."""
        super().__init__(["trainer", task], environment, log_file)
        self._prefork = prefork
        self._task = task
        self._pid: int | None = None

    @property
    def pid(self) -> int:
        """The running process. Raises SetupError if it was never started."""
        if self._pid is None:
            raise SetupError("this trainer was not started")
        return self._pid

    def spawn(self) -> None:
        """Start it, without waiting for anything."""
        self._pid = self._prefork.fork(self._task, self.environment, self.log_file)
        self.starts += 1

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._pid is not None and Path(f"/proc/{self._pid}").exists()

    def wait(self, timeout_s: float = STOP_S) -> int:
        """Wait until it is gone; the exit code is in its log, as `exit: N`, unless it was killed (then -9)."""
        deadline = time.monotonic() + timeout_s
        while self.is_alive():
            if time.monotonic() > deadline:
                raise SetupError(f"trainer {self._pid} did not end within {timeout_s:g} s")
            time.sleep(0.005)
        last = self.said().rstrip().rsplit("\n", 1)[-1]
        return int(last.removeprefix("exit: ")) if last.startswith("exit: ") else -signal.SIGKILL

    def kill(self) -> None:
        """Kill it and wait until it is gone."""
        if self._pid is not None:
            self.signal(signal.SIGKILL)
            self.wait()


def main() -> None:
    """Fork a trainer for each line on standard input, and say its pid."""
    _warm_up()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the children
    for line in sys.stdin.buffer:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(order["task"], order["environment"], Path(order["log"]))
        os.write(1, f"{pid}\n".encode())


def _warm_up() -> None:
    """Load what takes seconds, compiled loops included: a trainer that is killed before it learns proves nothing."""
    import torch

    import trainer.app  # noqa: F401
    from benchmarks.serving.world import World
    from trainer.learner import Learner
    from trainer.settings import LearnerSettings

    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("warn")
    Learner(LearnerSettings(user_capacity=100, item_capacity=100)).step(World.of(50, 50).watches(64, seed=1))


def _become(task: str, environment: Mapping[str, str], log_file: Path) -> None:
    """Be a trainer until it ends; never return."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        with log_file.open("ab") as output, Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        os.environ.update(environment)
        code = _work(task)
    except BaseException:  # a child must never go on as its parent
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
            os.write(2, f"\nexit: {code}\n".encode())
        os._exit(code)


def _work(task: str) -> int:
    from trainer.app import make_worker, only_trainer, run
    from trainer.settings import TrainerSettings

    settings = TrainerSettings()
    if task == "run":
        return run(settings)
    if task == "deadly":
        from benchmarks.chaos.deadly import run_deadly

        return run_deadly(settings)
    with only_trainer(settings.home):
        worker = make_worker(settings)
        worker.attach()
        worker.drain()
    return 0


if __name__ == "__main__":
    main()
