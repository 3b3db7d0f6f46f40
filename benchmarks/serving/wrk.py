"""Closed-loop load by wrk, outside the process that is measured: how many requests a second it can answer at most."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import orjson

from contract.errors import SetupError

SCRIPT = Path(__file__).with_name("wrk.lua")
JSON = "application/json"
_SPARE_S = 30.0


@dataclass(frozen=True)
class Closed:
    """What one run of wrk saw."""

    requests: int
    seconds: float
    bytes: int  # received
    refused: int  # answered with a status over 399
    broken: int  # no answer
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def errors(self) -> int:
        """Requests without a good answer."""
        return self.refused + self.broken


def wrk_binary() -> str:
    """Return the load generator. Raises SetupError with how to get it."""
    if found := shutil.which("wrk"):
        return found
    raise SetupError(
        "the load generator wrk is not on PATH: install the package wrk (apt-get install wrk, brew install wrk), "
        "or build it from https://github.com/wg/wrk"
    )


def closed_loop(url: str, bodies: Path, seconds: float, connections: int, content_type: str = JSON) -> Closed:
    """POST the bodies of a file, one a line, over keep-alive connections from one thread, each without a pause."""
    return finish(start(url, bodies, seconds, connections, content_type), seconds)


def start(
    url: str, bodies: Path, seconds: float, connections: int, content_type: str = JSON
) -> "subprocess.Popen[bytes]":
    """Start wrk; `finish` returns what it saw."""
    command = [wrk_binary(), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(SCRIPT), url]
    return subprocess.Popen([*command, "--", str(bodies), content_type], stdout=subprocess.PIPE)


def finish(process: "subprocess.Popen[bytes]", seconds: float) -> Closed:
    """Wait for a run of wrk to end."""
    try:
        said, _ = process.communicate(timeout=seconds + _SPARE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise SetupError(f"wrk did not end {_SPARE_S:g} s after its {seconds:g} s") from None
    line = next((line for line in said.splitlines() if line.startswith(b"RESULT ")), None)
    if process.returncode or line is None:
        raise SetupError(f"wrk ended with {process.returncode} and said: {said.decode(errors='replace')[-300:]!r}")
    seen = orjson.loads(line.removeprefix(b"RESULT "))
    return Closed(
        requests=seen["requests"],
        seconds=seen["microseconds"] / 1e6,
        bytes=seen["bytes"],
        refused=seen["refused"],
        broken=seen["broken"],
        p50_ms=seen["p50_us"] / 1e3,
        p99_ms=seen["p99_us"] / 1e3,
    )
