"""Which cells are measured: conditions x methods x seeds, and what identifies a cell.

The default grid is sized for half an hour on two cores at 100,000 events/s a method. A method that the learner does not
offer is left out and named.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product

from pydantic import ValidationError

from benchmarks.denoising.method import CONTROLS, Method, Overrides, default_method, distinct
from benchmarks.denoising.noise_dial import Dial
from benchmarks.denoising.recovery import Recovery
from benchmarks.denoising.resampling import RESAMPLES
from benchmarks.denoising.split import Split
from benchmarks.denoising.stream import Stream
from trainer.settings import LearnerSettings

Condition = Stream | Split | Dial | Recovery
PROTOCOLS = ("stream", "split", "dial", "recovery")
METAS = ("ig", "ig-local", "l2rw", "ig-sequential", "coin-flip")
BACKBONES = ("gmf", "neumf", "lightgcn", "ngcf", "pinsage", "sasrec")
SPLIT_CONTROLS = ("bce", "negative", "positive", "random", "nnpu")

DIALS = (
    *(Dial("both", flip, 0.2, 0.05) for flip in (0.0, 0.15, 0.3, 0.45)),
    *(Dial(kind, 0.3, 0.2, 0.05) for kind in ("positive-only", "negative-only")),
    *(Dial("both", 0.3, prior, 0.05) for prior in (0.02, 0.5)),
    *(Dial("both", 0.3, 0.2, share) for share in (0.01, 0.2)),
    *(Dial("by-surface", 0.15, prior, share) for prior, share in ((0.2, 0.05), (0.2, 0.2), (0.5, 0.05))),
)


@dataclass(frozen=True)
class Cell:
    """One method under one condition with one seed."""

    condition: Condition
    method: Method
    seed: int
    tuning: bool = False
    overrides: Overrides = ()

    def settings(self) -> LearnerSettings:
        """Return the learner's settings."""
        return self.method.settings(self.seed, self.overrides)

    def key(self, code: str, data: str) -> str:
        """Return a digest of everything the outcome depends on."""
        said = {
            "protocol": self.condition.protocol,
            "condition": asdict(self.condition),
            "settings": self.settings().model_dump(mode="json"),
            "tuning": self.tuning,
            "resamples": RESAMPLES,
            "code": code,
            "data": data,
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Plan:
    """Cells, and the methods that the learner refused, each with its complaint."""

    cells: list[Cell]
    refused: dict[str, str]


def plan(seeds: int, quick: bool = False, tuning: bool = False, overrides: Overrides = ()) -> Plan:
    """Return the whole grid, whole tables of one seed before the next seed."""
    default = default_method()
    pairs = _quick_pairs(default) if quick else _pairs(default)
    refused = {method.name: reason for _, method in pairs if (reason := _refusal(method, overrides))}
    offered = [(condition, method) for condition, method in pairs if method.name not in refused]
    return Plan(
        [Cell(*pair, seed, tuning, overrides) for seed in range(1, seeds + 1) for pair in offered],
        refused,
    )


def stream_methods(default: Method) -> list[Method]:
    """Return the default, every target, every meta on `evidence`, the cascade alone, every backbone."""
    evidence = Method("evidence", cascade=default.cascade)
    return distinct(
        [
            default,
            *map(Method, CONTROLS),
            Method("idl"),
            Method("idl", "ig"),
            Method("idl-aligned"),
            Method("negative", cascade=True),
            Method("evidence"),
            evidence,
            *(Method(evidence.target, meta, cascade=evidence.cascade) for meta in METAS),
            *(Method(default.target, default.meta, backbone, default.cascade) for backbone in BACKBONES),
        ]
    )


def split_methods(default: Method) -> list[Method]:
    """Return the shorter list of the protocol without watches."""
    evidence = Method("evidence", cascade=default.cascade)
    ours = [
        Method("idl"),
        Method("idl-aligned"),
        evidence,
        Method("idl", "ig"),
        Method("evidence", "ig", cascade=default.cascade),
    ]
    return distinct([default, *map(Method, SPLIT_CONTROLS), *ours])


def dial_methods() -> list[Method]:
    """Return two targets under every meta."""
    return [Method(target, meta) for target, meta in product(("watch", "evidence"), ("none", *METAS))]


def recovery_methods(default: Method) -> list[Method]:
    """Return the default and those whose belief is worth a look beside it."""
    return distinct([default, Method("evidence"), Method("negative"), Method("idl-aligned"), Method("idl")])


def _pairs(default: Method) -> list[tuple[Condition, Method]]:
    streams = [Stream(share) for share in (1.0, 0.2, 0.05)]
    splits = [Split(above, share) for above in (2, 3, 4) for share in (1.0, 0.05, 0.01)]
    return [
        *product(streams, stream_methods(default)),
        *product(splits, split_methods(default)),
        *product(DIALS, dial_methods()),
        *product([Recovery()], recovery_methods(default)),
    ]


def _quick_pairs(default: Method) -> list[tuple[Condition, Method]]:
    few = distinct([default, Method("negative"), Method("idl"), Method("evidence", "ig")])
    return [
        *product([Stream(1.0), Stream(0.05)], few),
        *product([Split(3, 0.05)], few),
        *product([Dial("by-surface", 0.15, 0.5, 0.2)], few),
        (Recovery(), default),
    ]


def _refusal(method: Method, overrides: Overrides) -> str:
    try:
        method.settings(1, overrides)
    except ValidationError as error:
        return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return ""


def of_protocols(cells: Sequence[Cell], protocols: Sequence[str]) -> list[Cell]:
    """Return the cells of some protocols, in their order."""
    return [cell for cell in cells if cell.condition.protocol in protocols]
