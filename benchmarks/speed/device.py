"""`--device cuda` runs the same code: how far its logits end from the CPU's, where there is a GPU to ask."""

import numpy as np
import torch

from contract.events import Events
from trainer.learner import Learner
from trainer.settings import LearnerSettings

BOUND = 1e-4


def parity(events: Events, backbone: str = "gmf") -> float | None:
    """Return the largest difference of any event's logit between the devices; None where there is no GPU."""
    if not torch.cuda.is_available():
        return None
    said = []
    for device in ("cpu", "cuda"):
        learner = Learner(LearnerSettings.model_validate({"device": device, "backbone": backbone}))
        size = learner.settings.batch_events
        parts = (events.take(slice(start, start + size)) for start in range(0, len(events), size))
        said.append(np.concatenate([learner.step(part).logit for part in parts]))
    return float(np.abs(said[0] - said[1]).max())
