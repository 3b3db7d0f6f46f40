"""What every peer does for a request, the same for all: ids to rows by a dict, one run of the graph, ranked rows.

It needs NumPy and onnxruntime only; the bundle is described in `benchmarks.serving.bundle`.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

BUNDLE = "WINNOW_BENCH_BUNDLE"  # environment variable: directory of the bundle
PORT = "WINNOW_BENCH_PORT"
OUTPUTS = ["score", "label", "confidence"]


class Ranker:
    """An open bundle."""

    def __init__(self, directory: Path | None = None) -> None:
        """Open the graph on one thread, and map the tables."""
        directory = directory or Path(os.environ[BUNDLE])
        ids = json.loads((directory / "ids.json").read_bytes())
        self.users: dict[str, int] = ids["users"]
        self.items: dict[str, int] = ids["items"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(directory / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._tables = {
            name: {
                side: np.load(path, mmap_mode="r")
                for side in ("user", "item")
                if (path := directory / f"{side}.{name}.npy").exists()
            }
            for name in (one.name for one in self.session.get_inputs())
        }

    def feed(self, user: int, items: Sequence[int]) -> dict[str, npt.NDArray[Any]]:
        """Return the graph's inputs for one user row and N item rows."""
        feed = {}
        for name, sides in self._tables.items():
            if "item" in sides:
                feed[name] = sides["item"].take(items, 0)
                if "user" in sides:
                    feed[name] += sides["user"][user]
            else:
                feed[name] = sides["user"][user : user + 1]
        return feed

    def rank(self, user_id: str, candidates: Sequence[str]) -> list[dict[str, object]]:
        """Return the candidates, best first: item_id, score, label, confidence, known."""
        rows = [self.items.get(item, 0) for item in candidates]
        score, label, confidence = self.session.run(OUTPUTS, self.feed(self.users.get(user_id, 0), rows))
        order = np.argsort(-score, kind="stable").tolist()
        scores, confidences = (
            np.round(one.astype(np.float64), 7).tolist() for one in (score, confidence)
        )  # short in JSON
        labels = label.astype(np.int64).tolist()
        return [
            {
                "item_id": candidates[place],
                "score": scores[place],
                "label": labels[place],
                "confidence": confidences[place],
                "known": rows[place] != 0,
            }
            for place in order
        ]
