"""The judge: what was acknowledged against what is on disk. It asks neither the service nor the trainer (P1 to P3).

lost    acknowledged events that are neither in the label log nor among the dead letters
twice   events with more than one row in the label log
strange rows of events that nobody sent
account the last checkpoint's own sum, held against the events that the log was seen to hold
weights the last checkpoint's arrays, bit by bit, against those of a run without faults
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import redis
from safetensors import safe_open

from contract.blocks import decode_block
from contract.dead_letters import DEAD_LETTERS_KEY
from contract.errors import CorruptBlock

Arrays = Mapping[str, npt.NDArray[Any]]
_THROUGH = b"winnow.checkpoint"  # of a whole hour: the checkpoint through which it holds the rows


@dataclass(frozen=True)
class Final:
    """The newest checkpoint, as it lies there."""

    number: int
    position: dict[int, str]
    account: dict[str, int]
    arrays: Arrays


@dataclass(frozen=True)
class Judgement:
    """What was found."""

    acknowledged: int
    found: int
    checkpoints: int = 0  # how many were made: without any a kill proves nothing
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    account: str = ""  # what does not add up
    weights: list[str] = field(default_factory=list)  # arrays that differ

    @property
    def holds(self) -> bool:
        """Whether nothing is amiss."""
        return not (self.lost or self.twice or self.strange or self.account or self.weights)

    def why(self) -> str:
        """Say what is amiss, with an example each."""
        said = [
            f"{len(found)} {name}, e.g. {sorted(found)[:3]}"
            for name in ("lost", "twice", "strange", "weights")
            if (found := getattr(self, name))
        ]
        return "; ".join([*said, *([self.account] if self.account else [])])


def judge_events(
    acknowledged: Collection[str], rows: Iterable[str], dead: Collection[str], sent: Collection[str] | None = None
) -> Judgement:
    """Compare ids. `rows` is the label log; `sent` all that was ever sent, where that is known."""
    counted = Counter(rows)
    found, twice = set(counted), [event for event, count in counted.items() if count > 1]
    lost = set(acknowledged) - found - set(dead)
    strange = found - set(sent) if sent is not None else set()
    return Judgement(len(set(acknowledged)), len(found), 0, sorted(lost), sorted(twice), sorted(strange))


def judge_account(account: Mapping[str, int], unique: int) -> str:
    """Return what does not add up between a checkpoint's account and the unique events of the log; "" if it does."""
    trained, dead = account["trained"], account.get("dead", 0)
    return "" if trained + dead == unique else f"trained {trained} + dead {dead} is not {unique} unique events"


def different(first: Arrays, second: Arrays) -> list[str]:
    """Return the names of arrays that are not the same, bit by bit; those only one side has are among them."""
    both = first.keys() & second.keys()
    changed = [name for name in both if not _same(first[name], second[name])]
    return sorted({*changed, *(first.keys() ^ second.keys())})


def weights_of(final: Final) -> dict[str, npt.NDArray[Any]]:
    """Return everything the learner is: weights, optimizer state, counts, tables, random state."""
    return {name: array for name, array in final.arrays.items() if name.startswith("learner.")}


def checkpoint_files(home: Path) -> list[Path]:
    """Return the checkpoint files of a home, oldest first."""
    return sorted((home / "checkpoints").glob("*.safetensors"))


def newest(home: Path, arrays: bool = True) -> Final | None:
    """Read the newest checkpoint, or only its facts; None where there is none yet."""
    for path in reversed(checkpoint_files(home)):
        try:
            with safe_open(path, "numpy") as file:
                facts = json.loads(file.metadata()["winnow"])
                read = {name: file.get_tensor(name) for name in file.keys()} if arrays else {}  # noqa: SIM118
        except FileNotFoundError:
            continue  # removed meanwhile: there is a newer one
        position = {int(partition): at for partition, at in facts["position"].items()}
        return Final(int(path.name[:8]), position, facts["account"], read)
    return None


def label_rows(home: Path) -> list[str]:
    """Return the event ids of the label log, a row each, as its format says which files count."""
    ids: list[str] = []
    wholes = {path.stem: path for path in (home / "labels").glob("*.parquet")}
    for whole in wholes.values():
        ids += pq.read_table(whole, columns=["event_id"])["event_id"].to_pylist()
    for part in sorted((home / "labels").glob("*/*.parquet")):
        whole_hour = wholes.get(part.parent.name)
        through = int(pq.read_schema(whole_hour).metadata[_THROUGH]) if whole_hour else 0
        if int(part.stem) > through:
            ids += pq.read_table(part, columns=["event_id"])["event_id"].to_pylist()
    return ids


def dead_events(url: str) -> set[str]:
    """Return the ids of events in dead letters whose blocks can be read all the same."""
    with redis.Redis.from_url(url) as client:
        letters: Any = client.xrange(DEAD_LETTERS_KEY)
    return {event for _, letter in letters for event in events_of(letter.get(b"block", b""))}


def events_of(block: bytes) -> list[str]:
    """Return the event ids in a block; none if it cannot be read."""
    try:
        return [str(event) for event in decode_block(block).event_id]
    except CorruptBlock:
        return []


def _same(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> bool:
    return (
        first.dtype == second.dtype
        and first.shape == second.shape
        and np.ascontiguousarray(first).tobytes() == np.ascontiguousarray(second).tobytes()
    )
