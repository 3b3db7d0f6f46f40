"""Start a command of an image, wait until an address answers, stop it with SIGTERM, and demand that it ends well.

    python start_check.py URL COMMAND...

A private event log is started for it, so nothing but the image is needed. Runs inside the image, from its own Python.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from winnow.embedded_log import EmbeddedLog

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.05


def answer(url: str, process: subprocess.Popen[bytes]) -> str:
    """Return what `url` answers first. Exits if the process ends before, or the time is over."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as response:
                return str(response.read().decode())
        except OSError:
            time.sleep(_POLL_S)
    process.kill()
    sys.exit(f"{url} did not answer; the process ended with {process.wait()}")


def main(url: str, command: list[str]) -> None:
    """Run the check; the exit status is its result."""
    with EmbeddedLog(Path(os.environ["WINNOW_HOME"])) as log:
        began = time.monotonic()
        process = subprocess.Popen(command, env={**os.environ, "WINNOW_REDIS_URL": log.url})
        said = answer(url, process)
        seconds = time.monotonic() - began
        process.send_signal(signal.SIGTERM)
        if status := process.wait(_STOP_TIMEOUT_S):
            sys.exit(f"{command}: ended with {status} after SIGTERM")
    print(f"{' '.join(command)}: answered after {seconds:.1f} s and ended with 0 after SIGTERM", said[:300], sep="\n")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
