"""The trainer as a process of its own, as it starts."""

import subprocess
import sys
from pathlib import Path

_MADE = """
import sys
from pathlib import Path
import torch
from trainer.app import make_worker
from trainer.settings import TrainerSettings
make_worker(TrainerSettings(home=Path(sys.argv[1]), redis_url=sys.argv[2]))
print("torch._dynamo" in sys.modules, torch.get_deterministic_debug_mode(), torch.get_num_threads())
"""


def test_a_trainer_is_deterministic_without_loading_a_compiler_that_it_never_uses(home: Path, log_url: str) -> None:
    command = [sys.executable, "-c", _MADE, str(home), log_url]
    made = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert made.stdout.split() == ["False", "1", "1"]
