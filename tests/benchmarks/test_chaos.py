"""The campaign's own judge is judged: doctored evidence must be found, and a run must say how it went."""

import datetime
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pytest
import redis
from typer.testing import CliRunner

from benchmarks.chaos import campaign
from benchmarks.chaos.bad_blocks import KINDS, bad_entry
from benchmarks.chaos.judge import different, judge_account, judge_events
from benchmarks.chaos.proxy import Proxy, Weather
from benchmarks.chaos.recorder import Recorder
from benchmarks.chaos.report.faults import render
from benchmarks.chaos.scenario import SCENARIOS, Effort, NotShown, Outcome, Scenario
from benchmarks.chaos.soak import Growth
from benchmarks.chaos.streams import appearances
from benchmarks.chaos.trouble import below_zero
from contract.blocks import decode_block
from contract.errors import CorruptBlock, SetupError
from contract.event_log import EventLog, stream_key
from winnow.cli import app


def test_a_whole_ledger_holds() -> None:
    judgement = judge_events(["a", "b", "c"], ["c", "a"], {"b"}, {"a", "b", "c"})
    assert judgement.holds
    assert (judgement.acknowledged, judgement.found) == (3, 2)


@pytest.mark.parametrize(
    ("rows", "dead", "lost", "twice", "strange"),
    [
        (["a"], set[str](), ["b"], [], []),
        (["a", "b", "b"], set[str](), [], ["b"], []),
        (["a", "b", "z"], set[str](), [], [], ["z"]),
        (["a"], {"b"}, [], [], []),
    ],
)
def test_the_judge_finds_what_is_missing_doubled_or_invented(
    rows: list[str], dead: set[str], lost: list[str], twice: list[str], strange: list[str]
) -> None:
    judgement = judge_events(["a", "b"], rows, dead, {"a", "b"})
    assert (judgement.lost, judgement.twice, judgement.strange) == (lost, twice, strange)
    assert judgement.holds == (not lost + twice + strange)


def test_the_judge_finds_an_account_that_does_not_add_up() -> None:
    assert judge_account({"trained": 7, "dead": 2, "duplicates": 5}, 9) == ""
    assert "is not 10 unique" in judge_account({"trained": 7, "dead": 2}, 10)


def test_the_judge_finds_one_flipped_bit_of_a_weight() -> None:
    weights: dict[str, npt.NDArray[Any]] = {
        "learner.w": np.arange(6, dtype=np.float32),
        "learner.n": np.zeros(2, np.int64),
    }
    other = {name: array.copy() for name, array in weights.items()}
    assert different(weights, other) == []
    other["learner.w"].view(np.uint32)[3] ^= 1
    assert different(weights, other) == ["learner.w"]
    assert different(weights, {"learner.w": weights["learner.w"]}) == ["learner.n"]
    assert different({"x": np.array([0.0])}, {"x": np.array([-0.0])}) == ["x"]


def entry(run: Callable[[Path, Effort], Outcome], needs: tuple[str, ...] = ()) -> Scenario:
    return Scenario("one", "a fault", "an invariant", run, needs)


def raises(_directory: Path, _effort: Effort) -> Outcome:
    raise SetupError("it did not come up")


def test_a_scenario_that_raises_does_not_hold_and_says_why(tmp_path: Path) -> None:
    line = campaign.run_one(entry(raises), tmp_path, Effort())
    assert line.holds is False
    assert line.first_try == ""  # a deadline that passed may be the product's fault: it is not asked again
    assert "it did not come up" in line.why
    assert "Traceback" in (tmp_path / "one" / "traceback.txt").read_text()


def test_what_showed_nothing_is_tried_once_more_and_said_so(tmp_path: Path) -> None:
    tries = list[Path]()

    def second(directory: Path, _effort: Effort) -> Outcome:
        tries.append(directory)
        if len(tries) == 1:
            raise NotShown("too little work was in danger")
        return Outcome(True, {"lost": 0})

    line = campaign.run_one(entry(second), tmp_path, Effort())
    assert (line.holds, line.first_try) == (True, "NotShown: too little work was in danger")
    assert not (tmp_path / "one").exists()
    page = render([line], "a machine", "a command", datetime.date(2026, 11, 24))
    assert "| held, at the second try: the first showed nothing, NotShown: too little work was in danger |" in page


def test_a_broken_invariant_is_not_asked_again(tmp_path: Path) -> None:
    tries = list[Path]()

    def breaks(directory: Path, _effort: Effort) -> Outcome:
        tries.append(directory)
        return Outcome(False, {"lost": 1}, "1 lost")

    assert campaign.run_one(entry(breaks), tmp_path, Effort()).holds is False
    assert len(tries) == 1


def test_a_scenario_whose_program_is_missing_is_skipped_and_said_so(tmp_path: Path) -> None:
    line = campaign.run_one(entry(raises, ("no-such-program",)), tmp_path, Effort())
    assert line.holds is None
    assert "no-such-program" in line.why


def test_the_page_tells_held_broken_and_not_run_apart() -> None:
    lines = [
        campaign.Line("good", "f", "i", True, {"lost": 0}),
        campaign.Line("bad", "f", "i", False, {"lost": 3}, why="3 lost"),
        campaign.Line("slow", "f", "i", True, missed="p99 is 3 ms, the bar is 1 ms"),
        campaign.Line("away", "f", "i", None, why="needs strace on PATH"),
    ]
    page = render(lines, "a machine", "a command", datetime.date(2026, 11, 24), ["other"])
    assert "2 of 3 scenarios lost nothing" in page
    assert "| held, a bar missed |" in page
    assert "- `slow`: p99 is 3 ms, the bar is 1 ms" in page
    assert "| lost 3, 0 s in all | **broken** |" in page
    assert "- `bad`: 3 lost" in page
    assert "- `away`: needs strace on PATH" in page
    assert "- `other`: not asked for" in page


def test_a_module_of_the_campaign_that_is_missing_is_not_left_out_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "MODULES", (*campaign.MODULES, "no_such"))
    with pytest.raises(SetupError, match="no_such"):
        campaign.load()


def test_a_sample_below_zero_is_found_whatever_its_labels() -> None:
    text = '# HELP winnow_a_seconds x\nwinnow_a_seconds{le="a b"} -0.5\nwinnow_b 1e-9\nwinnow_c -0.0\nwinnow_d -3\n'
    assert below_zero(text) == {"winnow_a_seconds", "winnow_d"}


@pytest.mark.parametrize("kind", range(KINDS))
def test_no_bad_entry_can_be_decoded(kind: int) -> None:
    for seed in range(50):
        with pytest.raises(CorruptBlock):
            decode_block(bad_entry(kind, random.Random(seed)).get(b"block", b""))


def test_copies_stand_in_any_order_and_each_event_first_stands_where_it_does_without_them() -> None:
    many, once = appearances(500, random.Random(1))
    assert len(many) > 800
    assert sorted(event for _, event in once) == list(range(500))
    first: dict[int, int] = {}
    for slot, event in many:
        first.setdefault(event, slot)
    assert [(first[event], event) for _, event in once] == once


def test_growth_is_told_from_the_second_half() -> None:
    growth = Growth(
        [600.0 * n for n in range(12)], [500.0] * 6 + [500.0 + n for n in range(6)], [9, 18, 9] * 2 + [12, 12, 21] * 2
    )
    assert growth.slope_mb_h() == pytest.approx(6.0)
    assert growth.more_fds() == 3


def misses(_directory: Path, _effort: Effort) -> Outcome:
    return Outcome.of({}, [""], ["", "slow"])


def test_a_missed_bar_fails_the_command_only_where_it_is_strict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign.load()
    monkeypatch.setitem(SCENARIOS, "trainer-killed", entry(misses))
    command = ["bench", "chaos", "--only", "trainer-killed", "--work", str(tmp_path)]
    run = CliRunner().invoke(app, command)
    assert (run.exit_code, orjson.loads(run.stdout)["missed"]) == (0, "slow")
    assert CliRunner().invoke(app, [*command, "--strict"]).exit_code == 1


def test_a_campaign_that_broke_is_resumed_with_what_did_not_hold(tmp_path: Path) -> None:
    effort = Effort(seed=3)
    before = [
        campaign.Line("good", "f", "i", True, {"lost": 0}, seed=3),
        campaign.Line("bad", "f", "i", False, seed=3),
        campaign.Line("other seed", "f", "i", True),
    ]
    said = tmp_path / "said.jsonl"
    said.write_bytes(b"".join(orjson.dumps(line.as_dict()) + b"\n" for line in before))
    held = campaign.held_before(said, effort)
    assert held == {"good": before[0]}
    ran = list(campaign.run_all([replace(entry(raises), name=n) for n in ("good", "bad")], tmp_path, effort, held))
    assert [(line.scenario, line.holds, line.figures) for line in ran] == [
        ("good", True, {"lost": 0}),
        ("bad", False, {}),
    ]
    said.write_text("{}")
    with pytest.raises(SetupError, match="not the lines of a campaign"):
        campaign.held_before(said, effort)


def test_a_name_that_is_no_scenario_is_refused() -> None:
    with pytest.raises(SetupError, match="no such scenario"):
        campaign.chosen(campaign.load(), ["no-such"], long=False)


def test_the_command_exits_with_1_where_an_invariant_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign.load()
    monkeypatch.setitem(SCENARIOS, "trainer-killed", entry(raises))
    run = CliRunner().invoke(app, ["bench", "chaos", "--only", "trainer-killed", "--work", str(tmp_path)])
    assert run.exit_code == 1
    assert orjson.loads(run.stdout)["holds"] is False
    assert run.stderr == "did not hold: one: SetupError: it did not come up\n"
    assert "0 of 1 scenarios lost nothing" in (tmp_path / "faults.md").read_text()


def test_the_recorder_holds_every_entry_though_the_log_is_trimmed(log_url: str) -> None:
    log = EventLog(log_url)
    with Recorder(log_url) as recorder:
        first = log.append({3: (1, b"one"), 5: (2, b"two")})
    with redis.Redis.from_url(log_url) as client:
        for partition in first:
            client.xtrim(stream_key(partition), maxlen=0, approximate=False)
    assert sorted(fields[b"block"] for fields in recorder.entries.values()) == [b"one", b"two"]
    assert {partition for partition, _ in recorder.entries} == {3, 5}


def test_a_lost_reply_leaves_what_was_written(tmp_path: Path) -> None:
    from benchmarks.chaos.parts import LogServer

    server = LogServer(tmp_path / "server")
    try:
        server.start()
        with Proxy(server.port, seed=1) as proxy:
            through = redis.Redis.from_url(proxy.url, retry=None)
            assert through.set("calm", 1)
            proxy.weather = Weather(lost_reply=1.0)
            with pytest.raises(redis.RedisError):
                through.set("stormy", 2)
            through.close()
        with server.client() as client:
            assert client.get("stormy") == b"2"
        assert proxy.done["lost_reply"] == 1
    finally:
        server.close()
