"""The label log: each row once, in hourly files any reader opens."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

from tests.trainer.conftest import some_events
from trainer.label_log import LabelLog, export_labels
from trainer.learner import Learner
from trainer.settings import LearnerSettings

HOUR_MS = 3_600_000


def written(directory: Path, hours: list[int]) -> LabelLog:
    """Write 50 rows a checkpoint, each in the given hour."""
    labels, learner = LabelLog(directory), Learner(LearnerSettings(user_capacity=100, item_capacity=100))
    for number, hour in enumerate(hours, 1):
        report = learner.step(some_events(50, seed=number, prefix=f"{number}-"))
        labels.add(report, np.full(50, hour * HOUR_MS))
        labels.write(number)
    return labels


def test_hours_that_are_over_become_one_file_each_with_every_row_once(tmp_path: Path) -> None:
    labels = written(tmp_path / "labels", [1, 1, 2, 3])
    labels.compact(now_ms=3 * HOUR_MS, through=4)
    names = sorted(str(path.relative_to(tmp_path / "labels")) for path in (tmp_path / "labels").glob("**/*.parquet"))
    assert names == ["1970-01-01T01.parquet", "1970-01-01T02.parquet", "1970-01-01T03/00000004.parquet"]
    assert pl.read_parquet(tmp_path / "labels/**/*.parquet")["event_id"].n_unique() == 200
    assert len(pd.read_parquet(tmp_path / "labels" / names[0])) == 100


def test_a_crash_between_the_whole_file_and_its_parts_counts_nothing_twice(tmp_path: Path) -> None:
    labels = written(tmp_path / "labels", [1, 1])
    shutil.copytree(tmp_path / "labels", tmp_path / "before")
    labels.compact(now_ms=3 * HOUR_MS, through=2)
    shutil.copytree(tmp_path / "before", tmp_path / "labels", dirs_exist_ok=True)  # the parts are still there
    assert export_labels(tmp_path / "labels", tmp_path / "all.parquet") == 100
    labels.compact(now_ms=3 * HOUR_MS, through=2)
    assert pl.read_parquet(tmp_path / "labels/**/*.parquet").height == 100


def test_an_hour_is_left_in_parts_while_a_restart_may_come_back_to_it(tmp_path: Path) -> None:
    labels = written(tmp_path / "labels", [1, 1])
    labels.compact(now_ms=3 * HOUR_MS, through=1)
    assert not (tmp_path / "labels" / "1970-01-01T01.parquet").exists()
    labels.forget_after(1)
    assert export_labels(tmp_path / "labels", tmp_path / "all.csv") == 50
