"""`winnow dead-letters` on a real log."""

import orjson
import pytest
from typer.testing import CliRunner

from contract.blocks import encode_block
from contract.dead_letters import DeadLetter, DeadLetters, Reason, reason_of
from contract.event_log import EventLog
from tests.trainer.conftest import some_events
from winnow.cli import app

SOUND = DeadLetter("3/5-0", Reason.UNKNOWN_VERSION, "not of version 1", 4, encode_block(some_events(4)))
UNSOUND = DeadLetter("3/6-0", Reason.NOT_A_BLOCK, "no block", 7, b"\x1b[31m")
KILLER = DeadLetter("3/7-0#2", Reason.KILLED, "died", 1, encode_block(some_events(1)))


@pytest.fixture
def letters(log_url: str) -> DeadLetters:
    letters = DeadLetters(EventLog(log_url))
    for letter in (SOUND, UNSOUND, KILLER):
        letters.put(letter)
    return letters


def winnow(log_url: str, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["dead-letters", *arguments, "--redis-url", log_url])
    return result.exit_code, result.output


def test_letters_are_listed_and_shown_with_their_bytes(letters: DeadLetters, log_url: str) -> None:
    code, output = winnow(log_url, "list", "--json")
    listed = [orjson.loads(line) for line in output.splitlines()]
    assert (code, [one["source"] for one in listed]) == (0, ["3/5-0", "3/6-0", "3/7-0#2"])
    assert listed[1] == {"source": "3/6-0", "reason": "not-a-block", "why": "no block", "events": 7}
    code, output = winnow(log_url, "show", "3/6-0")
    assert orjson.loads(output)["block"] == UNSOUND.block.hex()
    assert "3/6-0" in winnow(log_url, "list")[1]


def test_a_replay_appends_what_is_sound_and_says_why_the_rest_stays(letters: DeadLetters, log_url: str) -> None:
    code, output = winnow(log_url, "replay", "--all")
    assert code == 1
    assert "3/5-0: 4 events appended" in output
    assert "3/6-0: still unsound" in output
    assert "3/7-0#2: the trainer died" in output
    assert [letter.source for letter in letters.all()] == ["3/6-0", "3/7-0#2"]
    assert sum(entry.events for entry in EventLog(log_url).read_after({}, 10).entries) == 4


def test_dropping_takes_one_or_all(letters: DeadLetters, log_url: str) -> None:
    assert winnow(log_url, "drop", "3/6-0") == (0, "1 dropped\n")
    assert winnow(log_url, "drop", "--all") == (0, "2 dropped\n")
    assert letters.count() == 0


@pytest.mark.parametrize("arguments", [["drop"], ["replay", "3/5-0", "--all"], ["show", "9/9-9"]])
def test_a_command_that_names_nothing_is_refused(letters: DeadLetters, log_url: str, arguments: list[str]) -> None:
    assert winnow(log_url, *arguments)[0] == 2
    assert letters.count() == 3


def test_a_source_has_one_letter_and_may_have_another_after_it_was_removed(letters: DeadLetters) -> None:
    assert not letters.put(SOUND)
    assert letters.remove(SOUND.source)
    assert not letters.remove(SOUND.source)
    assert letters.put(SOUND)
    assert letters.find(SOUND.source) == SOUND


def test_the_oldest_letters_go_when_there_are_too_many(log_url: str) -> None:
    letters = DeadLetters(EventLog(log_url), most=3)
    for n in range(5):
        letters.put(DeadLetter(f"1/{n}-0", Reason.UNSOUND, "", 1, b""))
    assert [letter.source for letter in letters.all()] == ["1/2-0", "1/3-0", "1/4-0"]
    assert letters.put(DeadLetter("1/0-0", Reason.UNSOUND, "", 1, b""))  # forgotten with its letter


@pytest.mark.parametrize(
    ("block", "reason"),
    [(b"", Reason.NOT_A_BLOCK), (b"WNW2", Reason.UNKNOWN_VERSION), (b"WNW1", Reason.UNSOUND)],
)
def test_a_block_is_told_by_its_first_bytes(block: bytes, reason: Reason) -> None:
    assert reason_of(block) is reason
