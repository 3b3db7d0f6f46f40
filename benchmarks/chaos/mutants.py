"""Damage as disks and copies do it: a bit flipped, an end cut off, an end that reads as zeros."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.serving.world import World
from contract.hashing import id_keys
from contract.manifest import PROBE_FILE, Probe, read_manifest
from contract.side import SIDE_SLOTS
from contract.tables import open_tables
from trainer.opened import OpenedVersion

MUTATIONS = ("bit_flips", "truncations", "zero_tails")


def mutate(file: Path, mutation: str, random: np.random.Generator) -> str:
    """Damage a file somewhere; return where, in words. Its content always differs afterwards."""
    content = bytearray(file.read_bytes())
    if mutation == "bit_flips":
        place, bit = int(random.integers(len(content))), int(random.integers(8))
        content[place] ^= 1 << bit
        what = f"bit {bit} of byte {place}"
    else:
        last = max(n for n, byte in enumerate(content) if byte) if mutation == "zero_tails" else len(content) - 1
        start = int(random.integers(last + 1))
        end = bytes(len(content) - start) if mutation == "zero_tails" else b""
        content[start:] = end
        what = f"{mutation} from byte {start}"
    file.write_bytes(content)
    return what


def answers_of(directory: Path, world: World) -> tuple[npt.NDArray[np.float64], float]:
    """Return the logits of every pair of the world's users and items, unknown ones too, and the probe's tolerance."""
    tables = open_tables(directory, read_manifest(directory).layout, None)
    users, items = world.users.tolist(), [*world.items.tolist(), *world.strangers[:2].tolist()]
    user, item = np.repeat(id_keys(users), len(items)), np.tile(id_keys(items), len(users))
    logits = OpenedVersion(directory, tables).logits(user, item, np.zeros((len(user), SIDE_SLOTS), np.int64))
    return logits, Probe.model_validate_json((directory / PROBE_FILE).read_bytes()).tolerance
