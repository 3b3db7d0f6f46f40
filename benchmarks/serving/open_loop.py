"""Open-loop load: plans for the generator, and what came of them. Every latency is kept; nothing is binned."""

import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import orjson

from benchmarks.serving.generator import Plan
from benchmarks.serving.wrk import JSON
from contract.errors import SetupError

Floats = npt.NDArray[np.float64]
QUANTILES = (0.5, 0.9, 0.99, 0.999)
_SPARE_S = 60.0


@dataclass(frozen=True)
class Open:
    """What a run saw after its warm-up."""

    rate: float  # requests a second, offered
    latency_ms: Floats  # [N] from when it was due; nan where nothing came
    due_ms: Floats  # [N] epoch
    late_ms: Floats  # [N] how late the generator itself was
    status: npt.NDArray[np.int16]  # [N]
    versions: dict[str, int]  # answers by the version they name; "" for none. Warm-up included

    @property
    def errors(self) -> int:
        """Requests without a good answer."""
        return int(np.count_nonzero((self.status < 200) | (self.status > 299)))

    @property
    def unnamed(self) -> int:
        """Answers that name no version."""
        return self.versions.get("", 0)

    @property
    def acknowledged_ms(self) -> Floats:
        """When each good answer came. Epoch ms."""
        good = (self.status >= 200) & (self.status <= 299)
        return (self.due_ms + self.latency_ms)[good]

    def quantile_ms(self, share: float) -> float:
        """Return a quantile of latency; infinite where so many were never answered."""
        return float(np.quantile(np.nan_to_num(self.latency_ms, nan=np.inf), share, method="inverted_cdf"))

    def summary(self) -> dict[str, float]:
        """Return what a table shows."""
        figures = {f"p{100 * share:g}_ms": self.quantile_ms(share) for share in QUANTILES}
        generator = {"generator_late_p99_ms": float(np.quantile(self.late_ms, 0.99))}
        return {"rate": self.rate, **figures, "max_ms": self.quantile_ms(1.0), "errors": self.errors, **generator}


def start(
    url: str,
    bodies: Path,
    rate: float,
    seconds: float,
    work: Path,
    connections: int = 64,
    content_type: str = JSON,
) -> "tuple[subprocess.Popen[bytes], Plan]":
    """Start the generator on the bodies of a file, one a line; `finish` returns what it saw."""
    work.mkdir(parents=True, exist_ok=True)
    where = httpx.URL(url)
    plan = Plan(
        host=where.host,
        port=where.port or 80,
        path=where.path,
        content_type=content_type,
        bodies=str(bodies),
        rate=rate,
        count=max(1, round(rate * seconds)),
        connections=connections,
        out=str(work / "seen.npz"),
    )
    file = work / "plan.json"
    file.write_bytes(orjson.dumps(asdict(plan)))
    Path(plan.out).unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.serving.generator", str(file)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT), plan


def finish(process: "subprocess.Popen[bytes]", plan: Plan, warm_up_s: float = 0.0) -> Open:
    """Wait for the generator; requests due before `warm_up_s` are left out. Raises SetupError if it failed."""
    try:
        said, _ = process.communicate(timeout=plan.count / plan.rate + _SPARE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise SetupError(f"the load generator did not end within {_SPARE_S:g} s of its schedule") from None
    if process.returncode:
        raise SetupError(f"the load generator ended with {process.returncode}: {said.decode(errors='replace')[-500:]}")
    seen = np.load(plan.out)
    counted = seen["due"] >= warm_up_s
    due = seen["due"][counted]
    return Open(
        rate=plan.rate,
        latency_ms=1e3 * (seen["ended"][counted] - due),
        due_ms=seen["started_ns"][0] / 1e6 + 1e3 * due,
        late_ms=1e3 * (seen["left"][counted] - due),
        status=seen["status"][counted],
        versions=dict(zip(seen["versions"].tolist(), seen["answers"].tolist(), strict=True)),
    )


def open_loop(
    url: str,
    bodies: Path,
    rate: float,
    seconds: float,
    work: Path,
    warm_up_s: float = 1.0,
    connections: int = 64,
    content_type: str = JSON,
) -> Open:
    """Offer requests by a fixed schedule for `warm_up_s` and then `seconds`."""
    process, plan = start(url, bodies, rate, warm_up_s + seconds, work, connections, content_type)
    return finish(process, plan, warm_up_s)
