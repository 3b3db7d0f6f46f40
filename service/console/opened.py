"""Versions opened to be looked at: asked for scores, and held against each other. In the reader's process only.

A version is proven before it is asked, and one that kills the process that opens it kills the reader. Likes of the
last seconds, which the service adds to a history, are not known here.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from contract.api import Reasons
from contract.hashing import Keys, id_key, id_keys
from service.console.registry_view import RegistryView
from service.proof import open_version
from service.servable import LoadedVersion

_KEPT = 2
_MOVED = 20
Pair = tuple[str, str, str]  # user, item, surface
Floats = npt.NDArray[np.float64]


class OpenedVersions:
    """The versions that were asked for last."""

    def __init__(self, view: RegistryView) -> None:
        """Open nothing yet."""
        self._view = view
        self._opened: dict[str, LoadedVersion] = {}

    def score(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return what `version` says of a user's candidates, best first, with reasons.

        `user_key` and `item_keys` are of the ids as they are stored, `item_ids` as they were sent.
        """
        servable = self._open(asked["version"])
        keys: Keys = np.array(asked["item_keys"], np.uint64)
        answer = servable.answer(asked["user_key"], keys, asked["surface"])
        parts = answer.parts()
        assert parts is not None  # only the prior has none
        columns = {
            "item_id": asked["item_ids"],
            "score": answer.score.tolist(),
            "label": answer.label.astype(int).tolist(),
            "confidence": answer.confidence.tolist(),
            "known": answer.known.tolist(),
            "reasons": [dict(zip(Reasons.model_fields, row, strict=True)) for row in parts.tolist()],
        }
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        best = np.argsort(-answer.score, kind="stable").tolist()
        return {
            "version": servable.version,
            "trained_through_ms": servable.trained_through_ms,
            "known_user": answer.known_user,
            "items": [rows[place] for place in best],
        }

    def compare(self, a: str, b: str, pairs: Sequence[Pair]) -> dict[str, Any]:
        """Return two versions and how differently they score pairs of user, item and surface."""
        described = {"a": self._view.version(a), "b": self._view.version(b)}
        (score_a, label_a), (score_b, label_b) = (_scores(self._open(version), pairs) for version in (a, b))
        difference = np.abs(score_a - score_b)
        furthest = np.argsort(-difference, kind="stable")[:_MOVED]
        return described | {
            "pairs": len(pairs),
            "spearman": spearman(score_a, score_b),
            "mean_abs_difference": float(difference.mean()) if len(pairs) else None,
            "label_changes": int((label_a != label_b).sum()),
            "moved": [
                {
                    "user_id": pairs[place][0],
                    "item_id": pairs[place][1],
                    "score_a": float(score_a[place]),
                    "score_b": float(score_b[place]),
                }
                for place in furthest.tolist()
            ],
        }

    def _open(self, version: str) -> LoadedVersion:
        found = self._opened.pop(version, None)
        if found is None or not self._view.registry.path(version).exists():
            held = next((one.whole for one in self._opened.values()), None)
            found = open_version(self._view.registry.path(version), held)
        self._opened[version] = found
        while len(self._opened) > _KEPT:
            del self._opened[next(iter(self._opened))]
        return found


def spearman(first: Floats, second: Floats) -> float | None:
    """Return the rank correlation; equal values share their mean rank. None where one side says nothing."""
    if len(first) < 2:
        return None
    ranks = np.stack([_ranks(first), _ranks(second)])
    centred = ranks - ranks.mean(1, keepdims=True)
    spread = float(np.sqrt((centred**2).sum(1).prod()))
    return float(centred[0] @ centred[1]) / spread if spread else None


def _ranks(values: Floats) -> Floats:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - (count - 1) / 2)[place], np.float64)


def _scores(servable: LoadedVersion, pairs: Sequence[Pair]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return score and label of each pair: a run of the graph for each user and surface."""
    places: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for place, (user, _, surface) in enumerate(pairs):
        places[user, surface].append(place)
    score, label = np.zeros(len(pairs)), np.zeros(len(pairs), np.bool_)
    for (user, surface), own in places.items():
        answer = servable.answer(id_key(user), id_keys([pairs[place][1] for place in own]), surface or None)
        score[own], label[own] = answer.score, answer.label
    return score, label
