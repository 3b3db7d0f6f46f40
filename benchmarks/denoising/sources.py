"""The data sets of the bench: where they lie, what identifies them, and each read once in a process.

KuaiRand is measured in two windows: what comes before `report_from_ms` is for tuning, the rest for the report. Tuning
never reads an event of the report window. MovieLens has a part for validation; tuning takes its own from the training
part. A quick run keeps one user in `QUICK_ONE_IN`, so that all days are still there.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from contract.errors import DataError
from contract.events import Events
from trainer.datasets import read_kuairand
from trainer.log_block import LogBlock
from trainer.movielens import Ratings, read_ratings, silent_events

QUICK_ONE_IN = 40
REPORT_FROM_MS = 1_651_075_200_000  # 28 April 2022, midnight in China
_KUAIRAND = "KuaiRand-Pure is published at https://kuairand.com and https://zenodo.org/records/10439422"
_MOVIELENS = "MovieLens-1M is published at https://grouplens.org/datasets/movielens/1m/"


@dataclass(frozen=True)
class Sources:
    """Paths, and how much of what they hold is used."""

    kuairand: Path  # a directory with log_standard*.csv[.gz] and video_features*.csv[.gz], or one log
    movielens: Path  # a directory with train.rating[.gz] and valid.rating[.gz]
    report_from_ms: int = REPORT_FROM_MS
    quick: bool = False

    def watch_log_files(self) -> tuple[list[Path], Path | None]:
        """Return the logs in order and the features. Raises DataError if there is no log."""
        if self.kuairand.is_file():
            return [self.kuairand], None
        logs = _matching(self.kuairand, "log_standard*.csv*")
        if not logs:
            raise DataError(
                f"{self.kuairand} holds no log_standard*.csv or .csv.gz. {_KUAIRAND}; name it by --kuairand"
            )
        return logs, next(iter(_matching(self.kuairand, "video_features*.csv*")), None)

    def rating_files(self) -> tuple[Path, Path]:
        """Return the training and the validation file. Raises DataError if either is missing."""
        found = [_matching(self.movielens, f"{part}.rating*") for part in ("train", "valid")]
        if not all(found):
            raise DataError(
                f"{self.movielens} holds no train.rating and valid.rating, plain or .gz. {_MOVIELENS}; "
                "name it by --movielens"
            )
        return found[0][0], found[1][0]

    def fingerprint(self, protocol: str) -> str:
        """Return a digest of what a protocol reads. Raises DataError if it is missing."""
        files: list[Path] = []
        if protocol in {"stream", "recovery"}:
            logs, features = self.watch_log_files()
            files = [*logs, *([features] if features else [])]
        elif protocol == "split":
            files = list(self.rating_files())
        digest = hashlib.sha256(f"{self.quick} {self.report_from_ms if protocol != 'split' else ''}".encode())
        for file in files:
            digest.update(file.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Rated:
    """Silent events and their ratings."""

    events: Events
    rating: npt.NDArray[np.int64]


@lru_cache(maxsize=1)
def watch_log(sources: Sources) -> LogBlock:
    """Return the whole log, repeats merged."""
    logs, features = sources.watch_log_files()
    blocks = list(read_kuairand(logs, features))
    if not blocks:
        raise DataError(f"no usable row in {', '.join(map(str, logs))}. {_KUAIRAND}")
    whole = LogBlock.concatenate(blocks)
    return whole.take(whole.events.user_key % np.uint64(QUICK_ONE_IN) == 0) if sources.quick else whole


@lru_cache(maxsize=1)
def ratings(sources: Sources) -> tuple[Rated, Rated]:
    """Return the training and the validation part."""
    train, valid = (_rated(read_ratings(path), sources.quick) for path in sources.rating_files())
    return train, valid


def window(log: LogBlock, sources: Sources, tuning: bool) -> tuple[LogBlock, npt.NDArray[np.bool_]]:
    """Return what is played and which of it is measured. Raises DataError if nothing is."""
    late = log.events.at_ms >= sources.report_from_ms
    played, measured = (log.take(~late), ~late[~late]) if tuning else (log, late)
    if not measured.any():
        raise DataError(f"{sources.kuairand}: no event in the window that is measured; --report-from parts the log")
    return played, measured


def _rated(whole: Ratings, quick: bool) -> Rated:
    used = whole.take(whole.user % QUICK_ONE_IN == 0) if quick else whole
    return Rated(silent_events(used), used.rating)


def _matching(directory: Path, pattern: str) -> list[Path]:
    return sorted(path for path in directory.glob(pattern) if path.suffix in {".csv", ".rating", ".gz"})
