"""The noise audit over the label log: rows to views with their relevance, groups to figures."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contract.hashing import id_key
from service.archive.asked import AuditAsked
from service.archive.label_files import LabelFile, LabelFiles
from service.archive.label_rows import floats, label_codes
from service.archive.noise import SHARES, Floats, Noise, Sums, Tally, audit, merged, tally
from service.archive.strata import GROUPINGS, ORDER, OTHERS, Grouping

DEFINITION = (
    "The watch-time label calls as many views positive as there is relevance, those of the highest quantile within "
    "their duration. Noise is how often it is expected to be wrong: the relevance that it did not call, and the "
    "irrelevance that it did, over all views. Relevance is what the viewer said (1 or 0), else the annotator's "
    "probability. Views over a cap and views without a watch are left out. Intervals hold 95 %: a jackknife over 32 "
    "shares of the users."
)
_COLUMNS = ["user_id", "label", "relevance", "quantile", "capped"]
_SHARE_SHIFT = 40  # the key's low bits choose partitions and rows


def audited(files: LabelFiles, asked: AuditAsked) -> dict[str, Any]:
    """Return the noise of each group of views, and of all."""
    searched, sums = files.window(asked.hours), Sums(others=OTHERS)
    grouping = GROUPINGS[asked.by]
    for part in files.aggregates(
        searched, ("noise", asked.by, asked.spoken), lambda file: _tally(file, grouping, asked.spoken)
    ):
        sums.add(part)
    groups, overall = audit(sums)
    views = sum(float(of_group[0].sum()) for of_group in sums.groups.values())
    mass = sum(float(of_group[1].sum()) for of_group in sums.groups.values())
    return {
        "by": asked.by,
        "rows": [_told(name, groups[name]) for name in _in_order(asked, groups)],
        "overall": _told("all", overall),
        "prior": mass / views if views else None,
        "definition": DEFINITION,
        "searched": searched.told(),
    }


def relevance_of(label: npt.NDArray[np.int64], believed: Floats, spoken: float | None) -> Floats:
    """Return w: 1 or 0 where something was said, else what is believed of a silent view. Shapes [N], [N] -> [N].

    With `spoken` c, the share of liked views that get a good word, what is believed, r, is the chance of such a word,
    and of a view that got none w = (1 - c) / c r / (1 - r) at most 1. Source: Elkan and Noto, "Learning classifiers
    from only positive and unlabeled data", KDD 2008.
    """
    silent = believed
    if spoken is not None:
        odds = believed / np.maximum(1.0 - believed, 1e-9)
        silent = np.minimum(1.0, (1.0 - spoken) / spoken * odds)
    return np.where(label < 0, silent, label.astype(np.float64))


def _tally(file: LabelFile, grouping: Grouping, spoken: float | None) -> Tally:
    return merged(_tally_of(file, group, grouping, spoken) for group in file.newest_first())


def _tally_of(file: LabelFile, group: int, grouping: Grouping, spoken: float | None) -> Tally:
    table = file.read(group, list(dict.fromkeys([*_COLUMNS, *grouping.columns])))
    table = table.filter(pc.and_(pc.is_valid(table["quantile"]), pc.invert(table["capped"])))
    code, names = grouping.of(table)
    w = relevance_of(label_codes(table["label"]), floats(table["relevance"]), spoken)
    return tally(code, names, shares_of(table["user_id"]), floats(table["quantile"]), w)


def shares_of(users: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return which of SHARES shares of the users each row's is in. Shape [N]."""
    column = users.combine_chunks()
    column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    share = np.array([(id_key(user) >> _SHARE_SHIFT) % SHARES for user in column.dictionary.to_pylist()], np.int64)
    return share[column.indices.to_numpy(zero_copy_only=False)] if len(column) else np.zeros(0, np.int64)


def _in_order(asked: AuditAsked, groups: dict[str, Noise]) -> list[str]:
    if asked.by in ORDER:
        return [name for name in ORDER[asked.by] if name in groups]
    return sorted(groups, key=lambda name: -groups[name].rows)


def _told(group: str, noise: Noise) -> dict[str, Any]:
    figures = {
        "watch_positives": noise.watch_positives,
        "noise_rate": noise.noise_rate,
        "noise_low": noise.noise_low,
        "noise_high": noise.noise_high,
        "false_positive": noise.false_positive,
        "missed": noise.missed,
    }
    told = {name: round(float(value), 6) if math.isfinite(value) else None for name, value in figures.items()}
    return {"group": group, "rows": noise.rows, **told}
