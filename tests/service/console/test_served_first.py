"""Which version first had an event, read off the registry's history as it grows."""

from pathlib import Path

from contract.pointer import Champion, champion_line
from service.console.served_first import ServedFirst


def line(version: str, through_ms: int, at: int = 0) -> bytes:
    return champion_line(Champion(version, None, False, "a test", at, "trainer", "promote", None, through_ms))


def version_of(served: ServedFirst, acknowledged_ms: int) -> str | None:
    change = served.of(acknowledged_ms)
    return change.version if change else None


def test_the_first_change_that_went_beyond_the_event_counts_whatever_came_after(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    history.write_bytes(line("1", 10) + line("2", 20) + line("1", 10) + b"{}\n" + line("3", 30))
    served = ServedFirst(history)
    assert [version_of(served, at) for at in (0, 9, 10, 19, 20, 29, 30)] == ["1", "1", "2", "2", "3", "3", None]


def test_what_is_appended_is_read_and_a_line_half_written_waits(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    served = ServedFirst(history)
    assert version_of(served, 5) is None
    history.write_bytes(line("1", 10)[:-5])
    assert version_of(served, 5) is None
    history.write_bytes(line("1", 10))
    assert version_of(served, 5) == "1"


def test_a_change_that_was_taken_back_is_forgotten(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    history.write_bytes(line("1", 10) + line("2", 20))
    served = ServedFirst(history)
    assert version_of(served, 15) == "2"
    history.write_bytes(line("1", 10))
    assert version_of(served, 15) is None


def test_lines_of_an_earlier_release_are_passed_over(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    history.write_bytes(b'{"version":"1","previous":null,"pinned":false,"why":"","changed_ms":1}\n' + line("2", 20))
    assert version_of(ServedFirst(history), 5) == "2"
