"""The registry under real processes: two that promote at once, and one that dies in the middle."""

import itertools
import multiprocessing
import os
import threading
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from contract.pointer import Champion
from contract.registry import Registry
from tests.contract.versions import stage_version

PROMOTIONS = 40
_processes = multiprocessing.get_context("spawn")


def promote_often(directory: Path, start: Barrier, version: str) -> None:
    registry = Registry(directory)
    start.wait()
    for turn in range(PROMOTIONS):
        registry.promote(version, f"{version} {turn}")


def stage_often(directory: Path, start: Barrier) -> None:
    start.wait()
    for _ in range(10):
        stage_version(Registry(directory))


def die_when_renaming(directory: Path, verb: str) -> None:
    """Do `stage` or `promote`, and end as by kill -9 where the new name would appear."""
    Path.rename = Path.replace = lambda *_names: os._exit(9)  # type: ignore[method-assign]
    registry = Registry(directory)
    stage_version(registry) if verb == "stage" else registry.promote("000002", "better")


def run(*processes: multiprocessing.process.BaseProcess) -> list[int | None]:
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def test_two_processes_that_promote_at_once_leave_every_change_in_order(tmp_path: Path) -> None:
    registry, seen, done = Registry(tmp_path), list[Champion | None](), threading.Event()
    versions, start = [stage_version(registry), stage_version(registry)], _processes.Barrier(2)

    def watch() -> None:
        while not done.is_set():
            seen.append(registry.champion())  # as the service does, without a lock

    watcher = threading.Thread(target=watch)
    watcher.start()
    codes = run(*(_processes.Process(target=promote_often, args=(tmp_path, start, version)) for version in versions))
    done.set()
    watcher.join()

    history = registry.history()
    assert codes == [0, 0]
    assert registry.champion() == history[-1]
    assert {champion for champion in seen if champion} <= set(history)
    whys = [change.why for change in history]
    assert sorted(whys) == sorted(f"{version} {turn}" for version in versions for turn in range(PROMOTIONS))
    for before, after in itertools.pairwise(history):  # no change was made on a stale reading
        assert after.previous == (before.previous if after.version == before.version else before.version)


def test_two_processes_that_stage_at_once_share_out_the_numbers(tmp_path: Path) -> None:
    start = _processes.Barrier(2)
    assert run(*(_processes.Process(target=stage_often, args=(tmp_path, start)) for _ in range(2))) == [0, 0]
    registry = Registry(tmp_path)
    assert registry.versions() == [f"{number:06d}" for number in range(1, 21)]
    for version in registry.versions():
        registry.verify(version)


def test_a_crash_while_staging_leaves_no_version(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    assert run(_processes.Process(target=die_when_renaming, args=(tmp_path, "stage"))) == [9]
    assert registry.versions() == []
    assert len(list(registry.staging_directory.iterdir())) == 1
    registry.clear_staging()
    assert list(registry.staging_directory.iterdir()) == []
    assert stage_version(registry) == "000001"


def test_a_crash_while_promoting_leaves_the_old_champion_and_no_lock(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    first, second = stage_version(registry), stage_version(registry)
    old = registry.promote(first, "first")
    assert run(_processes.Process(target=die_when_renaming, args=(tmp_path, "promote"))) == [9]
    assert registry.champion() == old
    assert registry.promote(second, "better").previous == first


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_history_line_cut_short_costs_that_line_alone(tmp_path: Path, cut: int) -> None:
    registry = Registry(tmp_path)
    first, second = stage_version(registry), stage_version(registry)
    registry.promote(first, "first")
    registry.promote(second, "lost with the power")
    path = tmp_path / "history.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    third = stage_version(registry)
    registry.promote(third, "after")
    assert [change.why for change in registry.history() if change.version != second] == ["first", "after"]
