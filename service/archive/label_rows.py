"""A stored row of the label log as the console shows it: with its doubt, and why it is as it is, in words. Pure."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contract.events import NEGATIVE_ACTIONS, POSITIVE_ACTIONS, Action, action_mask
from contract.label_files import COLUMNS
from service.archive.doubt import Floats, doubts
from service.wording import FLAG_WORDS, IN_BACKGROUND, NO_WATCH, words_compared, words_odds, words_said

DOUBT_COLUMNS = ["label", "score", "relevance", "pseudo_label", "threshold"]
LABEL_CODES = {"POSITIVE": 1, "NEGATIVE": 0, "UNLABELLED": -1}
_LEAST_TELLING = 0.05  # a log ratio nearer to 0 than this goes unmentioned
_DIRECTIONS = {
    "inverse": "Inverse Gradient turned what was unlabelled in its batch around",
    "keep": "Inverse Gradient left out what was unlabelled in its batch",
}


def shown(table: pa.Table) -> list[dict[str, Any]]:
    """Return rows ready for JSON. `table` has all COLUMNS."""
    doubt = doubt_of(table)
    rows = table.select(list(COLUMNS)).to_pylist()
    return [_shown(row, float(one)) for row, one in zip(rows, doubt, strict=True)]


def doubt_of(table: pa.Table) -> Floats:
    """Return the doubt of each row. `table` has DOUBT_COLUMNS. Shape [N]."""
    if not len(table):
        return np.zeros(0)
    relevance = floats(table["relevance"])
    return doubts(label_codes(table["label"]), floats(table["score"]), relevance, _thresholds(table, relevance))


def label_codes(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return 1, 0 or -1 for each stored label. Shape [N]."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    codes = np.array([LABEL_CODES[name] for name in column.dictionary.to_pylist()] or [0], np.int64)
    return codes[column.indices.to_numpy(zero_copy_only=False)] if len(column) else np.zeros(0, np.int64)


def floats(column: pa.ChunkedArray) -> Floats:
    """Return a column as float64, nan where it is null. Shape [N]."""
    return np.asarray(pc.cast(column, pa.float64()).to_numpy(), np.float64)


def _thresholds(table: pa.Table, relevance: Floats) -> Floats:
    """Return the threshold of each row; of an old row, the cut that gives its file as many pseudo-labels."""
    threshold = floats(table["threshold"])
    if np.isnan(threshold).any():
        share = float(floats(table["pseudo_label"]).mean())
        threshold = np.where(np.isnan(threshold), np.quantile(relevance, 1.0 - share), threshold)
    return threshold


def _shown(row: dict[str, Any], doubt: float) -> dict[str, Any]:
    actions = row["actions"].split(",") if row["actions"] else []
    background = row["watch_ms"] is not None and row["cell"] is None
    known = row | {
        "actions": actions,
        "flag": "background" if background else row["flag"],
        "label": row["label"].lower(),
        "doubt": round(doubt, 4),
    }
    shown = {name: _finite(value) for name, value in known.items()}
    return shown | {"reasons": _reasons(known), "override": None}


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _reasons(row: Mapping[str, Any]) -> list[str]:
    return [*_said(row["actions"]), *_watched(row), *_moved(row), *_learned(row)]


def _said(actions: list[str]) -> list[str]:
    if not actions:
        return []
    mask = action_mask([Action(name) for name in actions])
    return [words_said(actions, both=bool(mask & POSITIVE_ACTIONS and mask & NEGATIVE_ACTIONS))]


def _watched(row: Mapping[str, Any]) -> list[str]:
    if row["watch_ms"] is None:
        return [NO_WATCH]
    known_length = bool(row["duration_ms"])
    seconds = f"watched {_seconds(row['watch_ms'])}" + (f" of {_seconds(row['duration_ms'])}" if known_length else "")
    if row["flag"] == "background":
        return [seconds, IN_BACKGROUND]
    flag = [FLAG_WORDS[row["flag"]]] if row["flag"] in FLAG_WORDS else []
    odds = [words_odds(math.exp(row["llr"]))] if abs(row["llr"]) >= _LEAST_TELLING else []
    return [seconds, words_compared(row["quantile"], known_length), *flag, *odds]


def _moved(row: Mapping[str, Any]) -> list[str]:
    before, after = row["score"], row["relevance"]
    how = "more" if after > 1.05 * before else "less" if after < before / 1.05 else "no more and no less"
    return [f"likely to be liked before the watch was known: {before:.2g}; after it {how}: {after:.2g}"]


def _learned(row: Mapping[str, Any]) -> list[str]:
    if row["capped"]:
        return ["over a cap: scored, and nothing was learned of it"]
    if row["held_out"]:
        return ["held out for the gate: never learned"]
    said = [f"trained toward {row['target']:.2g}"] if _finite(row["target"]) is not None else []
    turned = _DIRECTIONS.get(row["direction"]) if row["label"] == "unlabelled" else None
    return [*said, turned] if turned else said


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.1f} s"
