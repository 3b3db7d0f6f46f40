"""Whether the label log can be searched from here: it takes pyarrow, and the trainer's directory."""

import importlib.util
from pathlib import Path

from pydantic import BaseModel

_NO_PYARROW = "reading the label log needs pyarrow; pip install '.[console]'"
_NO_LABELS = "there is no label log in this home; run `winnow serve` where the trainer keeps its state"


class LabelsAtHand(BaseModel):
    """Whether it can, and if not, why."""

    available: bool
    why: str | None


def labels_at_hand(home: Path) -> LabelsAtHand:
    """Look whether the label log under `home` can be searched."""
    if importlib.util.find_spec("pyarrow") is None:
        return LabelsAtHand(available=False, why=_NO_PYARROW)
    if not (home / "labels").is_dir():
        return LabelsAtHand(available=False, why=_NO_LABELS)
    return LabelsAtHand(available=True, why=None)
