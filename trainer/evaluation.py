"""Log files to offline figures: what `winnow evaluate` runs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from contract.errors import DataError
from trainer.datasets import read_kuairand
from trainer.log_block import LogBlock
from trainer.replay import Progress, evaluate
from trainer.settings import CapSettings, LearnerSettings


@dataclass(frozen=True)
class EvaluationResult:
    """Figures by name, and what was found in the files, by reason."""

    figures: dict[str, float | int]
    complaints: dict[str, int]


def evaluate_logs(
    logs: Sequence[Path],
    features: Path | None,
    settings: LearnerSettings,
    measure_from_ms: int,
    tick: Progress,
    caps: CapSettings | None = None,
) -> EvaluationResult:
    """Read logs one after another, replay them (within caps, if given) and measure. Raises DataError if empty."""
    torch.set_num_threads(1)
    read = read_kuairand(logs, features)
    blocks = list(read)
    if not blocks:
        raise DataError(
            f"no usable row in {', '.join(map(str, logs))}: {dict(read.report.refused) or 'they are empty'}"
        )
    whole = LogBlock.concatenate(blocks)
    figures = asdict(evaluate(whole.events, whole.long_view, settings, measure_from_ms, tick, caps))
    return EvaluationResult(figures, {**read.report.refused, **read.report.noted})
