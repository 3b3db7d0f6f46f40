"""Everything on one machine: what dies comes back where it was, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import orjson
import psutil
import pytest

from contract.errors import SetupError
from winnow.child import restart_delay_s
from winnow.embedded_log import EmbeddedLog
from winnow.up import Loop

NO_METRICS_PORT = {"WINNOW_TRAINER_METRICS_PORT": "0"}


def until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def answers(url: str) -> bool:
    try:
        return bool(httpx.get(f"{url}/readyz", timeout=2, trust_env=False).json()["log"])
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    with Loop(tmp_path_factory.mktemp("home"), environment=NO_METRICS_PORT) as running:
        yield running


@pytest.mark.parametrize("victim", ["service", "log", "trainer"])
def test_what_is_killed_comes_back_at_the_same_address(loop: Loop, victim: str) -> None:
    url, redis_url, pid, restarts = loop.url, loop.redis_url, loop.pids[victim], loop.restarts
    console_url = loop.console_url
    os.kill(pid, signal.SIGKILL)
    until(lambda: loop.restarts > restarts and loop.pids.get(victim) not in (None, pid))
    until(lambda: answers(url))
    assert (loop.url, loop.redis_url) == (url, redis_url)
    until(lambda: orjson.loads((loop.home / "up.json").read_bytes())["pids"] == loop.pids)
    assert (loop.console_url, loop.console_url.startswith(f"{loop.admin_url}/")) == (console_url, True)


def test_the_console_that_may_change_things_is_where_up_says_it_is(loop: Loop) -> None:
    said = orjson.loads((loop.home / "up.json").read_bytes())
    assert (said["console_url"], said["admin_url"]) == (loop.console_url, loop.admin_url)
    assert httpx.get(said["console_url"], trust_env=False).headers["content-type"].startswith("text/html")
    session = httpx.get(f"{said['url']}/console/api/session", trust_env=False).json()
    assert (session["may_change"], session["admin_url"]) == (False, loop.admin_url)


def test_a_second_supervisor_of_a_home_is_refused(loop: Loop) -> None:
    with pytest.raises(SetupError, match=r"works in .* already"):
        Loop(loop.home, environment=NO_METRICS_PORT).start()
    assert answers(loop.url)


def test_a_part_that_cannot_start_is_named_with_its_last_words_and_nothing_is_left(home: Path) -> None:
    loop = Loop(home, environment={**NO_METRICS_PORT, "WINNOW_MAX_BODY_BYTES": "1"})
    with pytest.raises(SetupError, match=r"the service cannot start.*max_body_bytes"):
        loop.start()
    assert loop.pids == {}
    assert not EmbeddedLog(home).is_alive()
    assert not (home / "up.json").exists()


def test_a_loop_that_is_not_whole_answers_while_its_trainer_still_loads(home: Path) -> None:
    with Loop(home, environment=NO_METRICS_PORT, whole=False) as loop:
        assert not (home / "trainer.lock").exists()
        assert answers(loop.url)
        loop.wait_for_trainer()
        assert (home / "trainer.lock").read_text() == str(loop.pids["trainer"])


def test_a_trainer_that_cannot_start_is_named_by_whoever_waits_for_it(home: Path) -> None:
    with (
        Loop(home, environment={**NO_METRICS_PORT, "WINNOW_BATCH_EVENTS": "0"}, whole=False) as loop,
        pytest.raises(SetupError, match=r"the trainer cannot start.*batch_events"),
    ):
        loop.wait_for_trainer()
    assert loop.pids == {}


def test_a_killed_up_takes_its_children_along_and_the_next_one_goes_on_with_its_log(home: Path) -> None:
    command = [sys.executable, "-m", "winnow", "up", "--home", str(home), "--port", "0"]
    with subprocess.Popen(command, env={**os.environ, **NO_METRICS_PORT}, stdout=subprocess.DEVNULL) as up:
        until((home / "up.json").exists)
        pids = orjson.loads((home / "up.json").read_bytes())["pids"]
        up.kill()
    children = [psutil.Process(pids[name]) for name in ("service", "trainer") if psutil.pid_exists(pids[name])]
    assert psutil.wait_procs(children, timeout=30)[1] == []
    with Loop(home, environment=NO_METRICS_PORT) as loop:
        assert loop.pids["log"] == pids["log"]
    assert not EmbeddedLog(home).is_alive()


def test_pauses_before_a_restart_grow_to_a_bound() -> None:
    assert [restart_delay_s(deaths) for deaths in (0, 1, 2, 3, 4, 1_000)] == [0.0, 0.0, 0.25, 0.5, 1.0, 10.0]
