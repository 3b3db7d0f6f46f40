"""A version as the service will open it: to prove what was exported, and to compare versions on the same examples."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from contract.hashing import Keys
from contract.manifest import MODEL_FILE, Probe
from contract.side import ITEM_SLOTS, SideRows
from contract.space import RowNumbers
from contract.tables import Feed, Tables, watch_logit

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # importing it would otherwise report to its maker
import onnxruntime as ort

Floats = npt.NDArray[np.float64]
_PROVED = ("logit", "score", "watch")


class OpenedVersion:
    """Tables and graph of one version."""

    def __init__(self, directory: Path, tables: Tables) -> None:
        """Open the graph in `directory` on one thread."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.tables = tables
        self._session = ort.InferenceSession(directory / MODEL_FILE, options, providers=["CPUExecutionProvider"])

    def logits(self, user_key: Keys, item_key: Keys, side: SideRows) -> Floats:
        """Return the logits of pairs given by key, with all their side features. Shapes [N], [N], [N, 7] -> [N]."""
        return self.answers(user_key, item_key, side)[0]

    def answers(self, user_key: Keys, item_key: Keys, side: SideRows) -> tuple[Floats, Floats]:
        """Return logits and calibrated scores of the same. Shapes [N]."""
        tables = self.tables
        user, item = tables.users.find(user_key), tables.items.find(item_key)
        asked = side.copy()
        asked[item != tables.items.unknown, ITEM_SLOTS] = 0
        found = np.zeros((2, len(user)))
        for rows, history in _by_history(tables, user):
            said = self._run(user[rows], item[rows], asked[rows], history)
            found[:, rows] = said["logit"], said["score"]
        return found[0], found[1]

    def parity_gap(self, probe: Probe) -> float:
        """Return how far this is from what the learner said of the probe; infinite where either is not finite."""
        columns = [np.array(getattr(probe, name)) for name in ("user", "item", "side")]
        histories = np.array(probe.history, np.int32) if probe.history else None
        gap = np.zeros(len(probe.user))
        for rows in [slice(None)] if histories is None else [slice(n, n + 1) for n in range(len(gap))]:
            user, item, side = (column[rows] for column in columns)
            outputs = self._run(user, item, side, None if histories is None else histories[rows])
            for name in _PROVED:
                expected = np.array(getattr(probe, name))[rows]
                gap[rows] = np.maximum(gap[rows], np.abs(outputs[name] - expected))
        return float(gap.max()) if np.isfinite(gap).all() else float("inf")

    def _run(self, user: RowNumbers, item: RowNumbers, side: RowNumbers, history: RowNumbers | None) -> Feed:
        terms, feed = self.tables.of_pairs(user, item, side, history)
        logit, score = self._session.run(["logit", "score"], feed)
        return {"logit": logit, "score": score, "watch": watch_logit(terms)}


def _by_history(tables: Tables, user: RowNumbers) -> Iterator[tuple[npt.NDArray[np.bool_] | slice, RowNumbers | None]]:
    """Yield which of N examples can be run at once: all, or those of one user with the user's history [1, L]."""
    if tables.histories is None:
        yield slice(None), None
        return
    for row in np.unique(user):
        yield user == row, tables.histories[row : row + 1]
