"""Coverage-guided fuzzing of every reader of bytes, each in a process of its own, from a checkout (P8, P11; F31)."""

import subprocess
import sys
from pathlib import Path

from benchmarks.chaos.scenario import Effort, Outcome, scenario

TARGETS = ("feedback", "score", "block", "manifest", "champion", "dedupe", "impression")


@scenario(
    fault="inputs made by coverage (atheris) for every reader: feedback, scores, blocks, manifests, champions, keys",
    invariant="no uncaught exception, both ways of reading agree, and no input takes over 100 ms",
)
def fuzz_parsers(work: Path, effort: Effort) -> Outcome:
    """Fuzz the targets of tests/fuzz one after another: two minutes in all, or an hour."""
    seconds = effort.of(120, 3_600) // len(TARGETS)
    failed, runs = [], 0
    for target in TARGETS:
        command = [sys.executable, "-m", "tests.fuzz.run", target, str(seconds), str(work / target)]
        ran = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds + 300, check=False
        )
        done = [line.split()[1] for line in ran.stderr.splitlines() if line.startswith("Done ")]
        runs += int(done[-1]) if done else 0
        if ran.returncode or not done:
            failed.append(f"{target}: {(ran.stdout + ran.stderr).strip()[-300:]!r}")
    return Outcome(
        not failed, {"inputs": runs, "targets": len(TARGETS), "targets_failed": len(failed)}, "; ".join(failed)
    )
