"""KuaiRand logs as people have them: the real one, and the ways in which files are broken."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.blocks import decode_block, encode_block
from contract.errors import DataError
from contract.events import Action, FeedbackEvent
from contract.events import Events as PackedEvents
from contract.watch import long_views
from trainer.csv_columns import BAD_ID, MISSING, NOT_A_NUMBER, OUT_OF_RANGE
from trainer.datasets import (
    DUPLICATE_ROW,
    DURATION_UNKNOWN,
    NEGATIVE_WATCH,
    OUT_OF_ORDER,
    WRONG_WIDTH,
    KuaiRandLog,
    read_kuairand,
    write_csv,
)
from trainer.log_block import LogBlock

REAL = Path(__file__).parents[2] / "../shared/data/kuairand"
SHORT_HEADER = "user_id,video_id,time_ms,play_time_ms,duration_ms,is_like,is_hate"


def log_of(directory: Path, *rows: str, header: str = SHORT_HEADER) -> Path:
    path = directory / "log.csv"
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


def played(log: KuaiRandLog) -> LogBlock:
    return LogBlock.concatenate(list(log))


@pytest.fixture(scope="module")
def real() -> KuaiRandLog:
    if not REAL.is_dir():
        pytest.skip("the KuaiRand log is not beside the repository; get it from https://kuairand.com")
    return read_kuairand([REAL / "log_standard_4_25_to_4_30.csv.gz"], REAL / "video_features_basic_pure.csv.gz")


def test_the_real_log_plays_whole_with_repeats_merged(real: KuaiRandLog) -> None:
    block = played(real)
    report = real.report
    assert (report.rows, report.refused, report.noted[DUPLICATE_ROW]) == (94_784, {}, 2_979)  # counted with pandas
    assert report.events == len(block) == 94_784 - 2_979
    assert report.noted[OUT_OF_ORDER] == 0
    assert (np.diff(block.events.at_ms) >= 0).all()
    assert len(np.unique(block.events.event_key)) == len(block)


def test_the_real_log_tells_authors_tags_and_surfaces(real: KuaiRandLog) -> None:
    events = played(real).events
    first = events.take(slice(0, 1))
    assert (first.author_id[0], first.tags[0], first.surface[0]) == ("8079479", "39", "tab1")
    assert any("\x1f" in tags for tags in events.tags)
    assert encode_block(decode_block(encode_block(events))) == encode_block(events)


def test_long_view_is_18_seconds_or_the_whole_video_as_far_as_the_real_log_says(real: KuaiRandLog) -> None:
    block = played(real)
    ours = long_views(block.events.watch_ms, block.events.duration_ms)
    assert (ours == (block.long_view == 1)).mean() > 0.995


def test_an_event_is_what_feedback_would_have_made_of_it(tmp_path: Path) -> None:
    path = log_of(tmp_path, "7,9,1650812741436,61802,49866,1,1")
    sent = FeedbackEvent(
        event_id="7-9-1650812741436",
        user_id="7",
        item_id="9",
        at=1650812741436,
        watch_ms=61802,
        duration_ms=49866,
        actions=[Action.LIKE, Action.DISLIKE],
    )
    assert encode_block(played(read_kuairand([path])).events) == encode_block(PackedEvents.from_models([sent]))


def test_what_the_log_does_not_say_is_absent(tmp_path: Path) -> None:
    block = played(read_kuairand([log_of(tmp_path, "7,9,1000,5,6,0,0")]))
    assert (block.long_view[0], block.is_random[0], np.isnan(block.truth[0])) == (-1, -1, True)
    assert (block.events.author_id[0], block.events.surface[0], block.events.position[0]) == ("", "", -1)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("7,9,soon,5,6,0,0", NOT_A_NUMBER),
        ("7,9,1000,4.5,6,0,0", NOT_A_NUMBER),
        ("7,9,1000,nan,6,0,0", NOT_A_NUMBER),
        ("7,9,1000,-5,6,0,0", NEGATIVE_WATCH),
        ("7,9,1000,5,-6,0,0", OUT_OF_RANGE),
        ("7,9,1000,5000000000,6,0,0", OUT_OF_RANGE),
        ("7,9,1" + "0" * 30 + ",5,6,0,0", OUT_OF_RANGE),
        ("7,9,1000,5,6,2,0", OUT_OF_RANGE),
        (",9,1000,5,6,0,0", MISSING),
        ("7,9,,5,6,0,0", MISSING),
        ("7,9,1000,,6,0,0", MISSING),
        ("7" * 129 + ",9,1000,5,6,0,0", BAD_ID),
        ("7\x00,9,1000,5,6,0,0", BAD_ID),
        ("7,9,1000,5", WRONG_WIDTH),
        ("7,9,1000,5,6,0,0,0,0", WRONG_WIDTH),
        ('7,"9,1000,5,6,0,0', WRONG_WIDTH),
    ],
)
def test_a_bad_row_is_counted_by_reason_and_its_neighbours_play(tmp_path: Path, row: str, reason: str) -> None:
    log = read_kuairand([log_of(tmp_path, "1,2,1000,5,6,0,0", row, "3,4,1001,5,6,0,0")])
    assert played(log).events.user_id.tolist() == ["1", "3"]
    assert (log.report.rows, log.report.events, log.report.refused) == (3, 2, {reason: 1})


@pytest.mark.parametrize(
    "row", ["7,9,1000.0,5.0,6.0,0.0,0", '"7","9",1000,5,6,,0', "7,9, 1000,5,6,0,0", "7,9,1000,5,6,0,0\r"]
)
def test_other_spellings_of_the_same_row_play_the_same(tmp_path: Path, row: str) -> None:
    block = played(read_kuairand([log_of(tmp_path, row)]))
    assert encode_block(block.events) == encode_block(
        played(read_kuairand([log_of(tmp_path, "7,9,1000,5,6,0,0")])).events
    )


def test_an_action_without_a_watch_is_an_event(tmp_path: Path) -> None:
    events = played(read_kuairand([log_of(tmp_path, "7,9,1000,,6,1,0")])).events
    assert (events.watch_ms[0], events.actions[0]) == (-1, Action.LIKE.bit)


def test_a_byte_that_is_not_utf8_costs_its_row_only(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(SHORT_HEADER.encode() + b"\n\xff7,9,1000,5,6,0,0\n7,9,1001,5,6,0,0\n")
    log = read_kuairand([path])
    assert len(played(log)) == 1
    assert log.report.refused == {BAD_ID: 1}


def test_repeats_become_one_event_with_all_actions_and_the_longest_watch(tmp_path: Path) -> None:
    rows = ["1,2,999,5,6,0,0", "7,9,1000,5,60,1,0", "8,9,1000,1,60,0,0", "7,9,1000,40,60,0,1", "7,9,1001,5,60,0,0"]
    log = read_kuairand([log_of(tmp_path, *rows)])
    events = played(log).events
    assert events.user_id.tolist() == ["1", "7", "8", "7"]
    assert events.watch_ms.tolist() == [5, 40, 1, 5]
    assert events.actions[1] == Action.LIKE.bit | Action.DISLIKE.bit
    assert log.report.noted == {DUPLICATE_ROW: 1}


def test_merging_keeps_the_order_of_the_log(tmp_path: Path) -> None:
    users = [str(number) for number in range(20)]
    rows = [f"{user},9,1000,5,6,0,0" for user in [*users, "0"]]
    assert played(read_kuairand([log_of(tmp_path, *rows)])).events.user_id.tolist() == users


def test_a_byte_order_mark_and_blank_lines_do_not_matter(tmp_path: Path) -> None:
    log = read_kuairand([log_of(tmp_path, "", "7,9,1000,5,6,0,0", "", header=f"\ufeff{SHORT_HEADER}")])
    assert len(played(log)) == 1
    assert log.report.rows == 1


def test_a_repeat_that_comes_later_keeps_its_event_id(tmp_path: Path) -> None:
    log = read_kuairand([log_of(tmp_path, "7,9,1000,5,6,0,0", "8,9,1001,5,6,0,0", "7,9,1000,5,6,0,0")])
    assert played(log).events.event_id.tolist() == ["7-9-1000", "8-9-1001", "7-9-1000"]
    assert log.report.noted == {OUT_OF_ORDER: 1}


@settings(max_examples=25)
@given(st.integers(1, 9), st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), min_size=1, max_size=20))
def test_repeats_meet_whatever_the_block_size(
    tmp_path_factory: pytest.TempPathFactory, size: int, steps: list[tuple[int, int]]
) -> None:
    times = np.cumsum([later for later, _ in steps])
    rows = [f"{user},9,{1000 + time},5,6,0,0" for time, (_, user) in zip(times, steps, strict=True)]
    path = log_of(tmp_path_factory.mktemp("log"), *rows)
    longest_time = np.bincount(times).max()  # a time of more rows than a block may be cut
    blocks = list(read_kuairand([path], block_events=max(size, int(longest_time) + 1)))
    found = [event_id for block in blocks for event_id in block.events.event_id]
    assert sorted(found) == sorted({f"{row.split(',')[0]}-9-{row.split(',')[2]}" for row in rows})


def test_a_block_is_never_larger_than_asked_even_at_one_single_time(tmp_path: Path) -> None:
    path = log_of(tmp_path, *[f"{user},9,1000,5,6,0,0" for user in range(25)])
    assert [len(block) for block in read_kuairand([path], block_events=10)] == [10, 10, 5]


def test_rows_out_of_time_order_play_and_are_counted_across_files(tmp_path: Path) -> None:
    first = log_of(tmp_path, "1,9,1000,5,6,0,0", "2,9,3000,5,0,0,0", "3,9,2000,5,6,0,0")
    second = tmp_path / "second.csv"
    second.write_text(f"{SHORT_HEADER}\n4,9,2500,5,6,0,0\n5,9,3000,5,6,0,0\n")
    log = read_kuairand([first, second])
    assert played(log).events.user_id.tolist() == ["1", "2", "3", "4", "5"]
    assert log.report.noted == {OUT_OF_ORDER: 2, DURATION_UNKNOWN: 1}


def test_a_log_can_be_read_twice(tmp_path: Path) -> None:
    log = read_kuairand([log_of(tmp_path, "7,9,1000,5,6,0,0")])
    assert [len(played(log)), len(played(log)), log.report.rows] == [1, 1, 1]


def test_ids_too_long_for_a_joint_event_id_get_a_short_one(tmp_path: Path) -> None:
    user, item = "u" * 128, "i" * 128
    events = played(read_kuairand([log_of(tmp_path, f"{user},{item},1000,5,6,0,0")])).events
    assert len(events.event_id[0]) == 16


def test_a_missing_file_is_named_with_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv: there is no such file.*https://kuairand\.com.*zenodo"):
        read_kuairand([tmp_path / "nowhere.csv"])


@pytest.mark.parametrize("content", [b"", b"user_id,video_id,rating\n1,2,3\n", "user_id,video_id".encode("utf-16")])
def test_missing_columns_are_named_with_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"log\.csv: .*does not name .*time_ms, play_time_ms, duration_ms;.*kuairand"):
        read_kuairand([path])


def test_a_directory_is_refused_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Is a directory"):
        read_kuairand([tmp_path])


def test_an_archive_that_ends_early_plays_up_to_there_and_says_so(tmp_path: Path) -> None:
    rows = [f"{row},{row * 7919 % 1000},{row},5,6,0,0" for row in range(20_000)]
    whole = gzip.compress("\n".join([SHORT_HEADER, *rows]).encode())
    path = tmp_path / "log.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    log, blocks = read_kuairand([path]), list[int]()
    with pytest.raises(DataError, match="ends early"):
        blocks.extend(len(block) for block in log)
    assert 5_000 < sum(blocks) == log.report.rows


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(SHORT_HEADER.encode())[:12] + b"\xff" * 40)
    with pytest.raises(DataError, match="archive is damaged"):
        read_kuairand([path])


def block_of(rows: Sequence[tuple[str, int, int]]) -> LogBlock:
    """Events of (user, watch_ms, actions), one a second."""
    events = PackedEvents.from_models(
        [
            FeedbackEvent(event_id=f"{user}-v-{at}", user_id=user, item_id="v", at=at, watch_ms=watch, tags=["1", "2"])
            for at, (user, watch, _) in zip(range(0, 1000 * len(rows), 1000), rows, strict=True)
        ]
    )
    events.actions[:] = [actions for _, _, actions in rows]
    size = len(rows)
    rng = np.random.default_rng(size)
    return LogBlock(
        events,
        rng.integers(-1, 2, size).astype(np.int8),
        rng.integers(-1, 2, size).astype(np.int8),
        np.where(rng.random(size) < 0.2, np.nan, rng.random(size)).astype(np.float32),
    )


ids = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
actions = st.integers(0, 31).map(lambda bits: bits & 0b11111)


@settings(max_examples=50)
@given(st.lists(st.tuples(ids, st.integers(0, 10**9), actions), min_size=1, max_size=8), st.sampled_from(["", ".gz"]))
def test_what_is_written_reads_back_identical(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int, int]], suffix: str
) -> None:
    path = tmp_path_factory.mktemp("written") / f"log.csv{suffix}"
    block = block_of(rows)
    assert write_csv(path, [block]) == len(rows)
    again = played(read_kuairand([path]))
    assert encode_block(again.events) == encode_block(block.events)
    for name in ("long_view", "is_random", "truth"):
        np.testing.assert_array_equal(getattr(again, name), getattr(block, name))


def test_a_written_log_has_the_public_columns_in_their_order(tmp_path: Path) -> None:
    write_csv(tmp_path / "log.csv", [block_of([("u", 5, 0)])])
    header = (tmp_path / "log.csv").read_text().splitlines()[0].split(",")
    if not REAL.is_dir():
        pytest.skip("the KuaiRand log is not beside the repository; get it from https://kuairand.com")
    with gzip.open(REAL / "log_standard_4_25_to_4_30.csv.gz", "rt") as real:
        public = real.readline().strip().split(",")
    assert header[: len(public)] == public
