"""Real parts for every test: one private Valkey a session, emptied for each test that asks for it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import structlog

from winnow.embedded_log import EmbeddedLog


@pytest.fixture(autouse=True)
def logs_as_they_are_at_first() -> None:
    """Take back what a command that ran in this process has set: its level would hide lines that a test awaits."""
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def no_sender_of_traces_outlives_its_test() -> Iterator[None]:
    """Wait for the thread that sends spans: where no collector answers it draws pauses from `random`, which Hypothesis,
    in the tests after it, takes for a strategy that does.
    """
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("OtelBatch"):
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture(scope="session")
def private_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedLog]:
    """A Valkey of this session alone."""
    with EmbeddedLog(tmp_path_factory.mktemp("log")) as log:
        yield log


@pytest.fixture
def log_url(private_log: EmbeddedLog) -> str:
    """The URL of an empty event log."""
    with redis.Redis.from_url(private_log.url) as client:
        client.flushall()
    return private_log.url


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty directory for runtime state."""
    directory = tmp_path / "home"
    directory.mkdir()
    return directory
