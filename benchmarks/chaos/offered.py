"""Load by a fixed schedule, offered by one or more senders, and what came of it: each request's fate, none binned."""

import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import orjson

from benchmarks.chaos.sender import BROKEN, SILENT, UNSENT, Plan
from benchmarks.serving.wrk import JSON
from contract.errors import SetupError

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
PATIENCE_S = 2.0
READY_S = 2.0  # in which a sender has started and connected
_SPARE_S = 60.0
_WORDS = {BROKEN: "broken", SILENT: "silent", UNSENT: "unsent"}


@dataclass(frozen=True)
class Seen:
    """What the callers saw. Arrays of one length, in the order in which requests were due."""

    complaint: str  # about the first wrong answer
    due_s: Floats  # time.monotonic()
    latency_ms: Floats  # from when it was due
    late_ms: Floats  # how late the sender itself came to it
    status: npt.NDArray[np.int16]
    retry_after: Flags
    version: npt.NDArray[np.object_]  # that the answer names; "" for none
    wrong: Flags  # differs from what the version it names says

    @property
    def good(self) -> Flags:
        """Requests with a good answer."""
        return (self.status >= 200) & (self.status <= 299)

    @property
    def shed(self) -> Flags:
        """Requests refused as they should be: 429 or 503, and when to come back."""
        return np.isin(self.status, (429, 503)) & self.retry_after

    def between(self, first_s: float, end_s: float) -> "Seen":
        """Return what was due in a stretch, in seconds after the first."""
        return self.where((self.due_s >= self.due_s[0] + first_s) & (self.due_s < self.due_s[0] + end_s))

    def where(self, chosen: Flags) -> "Seen":
        """Return the chosen requests only."""
        return Seen(self.complaint, **{name: column[chosen] for name, column in self.columns().items()})

    def columns(self) -> dict[str, Any]:
        """Return the arrays by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}

    def quantile_ms(self, share: float) -> float:
        """Return a quantile of the latency of good answers; infinite where there is none."""
        good = self.latency_ms[self.good]
        return float(np.quantile(good, share, method="inverted_cdf")) if len(good) else float("inf")

    def fates(self) -> dict[str, int]:
        """Return how many ended how: by status, or broken, silent, unsent."""
        return {
            _WORDS.get(status, str(status)): count for status, count in sorted(Counter(self.status.tolist()).items())
        }


def start(
    urls: list[str],
    path: str,
    bodies: Path,
    rate: float,
    seconds: float,
    work: Path,
    connections: int = 64,
    senders: int = 1,
    patience_s: float = PATIENCE_S,
    expected: Path | None = None,
    content_type: str = JSON,
) -> "list[tuple[subprocess.Popen[bytes], Plan]]":
    """Start the senders, which share rate and connections, on the bodies of a file; `finish` returns what they saw."""
    work.mkdir(parents=True, exist_ok=True)
    where = [httpx.URL(url) for url in urls]
    begun = []
    first_s = time.monotonic() + READY_S
    for number in range(senders):
        plan = Plan(
            addresses=[(url.host, url.port or 80) for url in where],
            path=path,
            content_type=content_type,
            bodies=str(bodies),
            rate=rate / senders,
            count=max(1, round(rate * seconds / senders)),
            connections=max(1, connections // senders),
            patience_s=patience_s,
            expected=str(expected) if expected else None,
            start_s=first_s + number / rate,
            out=str(work / f"seen-{number}.npz"),
        )
        file = work / f"plan-{number}.json"
        file.write_bytes(orjson.dumps(asdict(plan)))
        Path(plan.out).unlink(missing_ok=True)
        command = [sys.executable, "-m", "benchmarks.chaos.sender", str(file)]
        begun.append((subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT), plan))
    return begun


def finish(begun: "list[tuple[subprocess.Popen[bytes], Plan]]") -> Seen:
    """Wait for the senders. Raises SetupError if one failed."""
    parts = [_read(process, plan) for process, plan in begun]
    merged = {name: np.concatenate([getattr(part, name) for part in parts]) for name in parts[0].columns()}
    order = np.argsort(merged["due_s"], kind="stable")
    complaint = next((part.complaint for part in parts if part.complaint), "")
    return Seen(complaint, **{name: column[order] for name, column in merged.items()})


def offer(
    urls: list[str], path: str, bodies: Path, rate: float, seconds: float, work: Path, connections: int = 64
) -> Seen:
    """Offer requests by one sender until the end."""
    return finish(start(urls, path, bodies, rate, seconds, work, connections))


def _read(process: "subprocess.Popen[bytes]", plan: Plan) -> Seen:
    try:
        said, _ = process.communicate(timeout=plan.count / plan.rate + plan.patience_s + _SPARE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise SetupError(f"a sender did not end within {_SPARE_S:g} s of its schedule") from None
    if process.returncode:
        raise SetupError(f"a sender ended with {process.returncode}: {said.decode(errors='replace')[-500:]}")
    seen = np.load(plan.out)
    names = np.array([*seen["names"].tolist(), ""], dtype=object)  # the last is found by NOBODY
    return Seen(
        due_s=seen["start_s"][0] + seen["due"],
        latency_ms=1e3 * (seen["ended"] - seen["due"]),
        late_ms=1e3 * np.nan_to_num(seen["left"] - seen["due"], nan=np.inf),
        status=seen["status"],
        retry_after=seen["retry_after"],
        version=names[seen["version"]],
        wrong=seen["wrong"],
        complaint=str(seen["complaint"][0]),
    )
