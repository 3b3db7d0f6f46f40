"""`winnow serve` whose counting can be turned off and on while it runs. The product has no such switch.

SIGUSR2 makes nothing of what counts requests, scores and events; SIGUSR1 brings it back. One process is compared with
itself: two differ by more than what is measured. `python -m benchmarks.console.switchable serve ...` runs it;
`... cost` prints what the counting of one score takes, in microseconds.

The service is started as a command and reached by name: a bench imports nothing of it.
"""

import runpy
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

ON, OFF = signal.SIGUSR1, signal.SIGUSR2
_COUNTING: dict[str, dict[str, tuple[str, ...]]] = {
    "service.tally": {"Tally": ("inc",), "Spread": ("observe", "observe_many")},
    "service.metrics": {"Metrics": ("answered", "answered_aside")},
    "service.acknowledged": {"Acknowledged": ("note", "served")},
}
_CALLS = 200_000


def make_switchable() -> None:
    """Let the two signals switch all that counts."""
    counting = [
        (getattr(import_module(module), name), method, getattr(getattr(import_module(module), name), method))
        for module, classes in _COUNTING.items()
        for name, methods in classes.items()
        for method in methods
    ]

    def switch(to: Callable[[Any], Any]) -> None:
        for owner, method, original in counting:
            setattr(owner, method, to(original))

    def nothing(*_: object) -> None:
        pass

    signal.signal(ON, lambda *_: switch(lambda original: original))
    signal.signal(OFF, lambda *_: switch(lambda _: nothing))


def cost_us() -> float:
    """Return the processor time of counting one score of 100 candidates, in microseconds."""
    metrics = import_module("service.metrics").Metrics()
    started = time.thread_time()
    for _ in range(_CALLS):
        metrics.candidates.inc(100)
        metrics.unknown_items.inc(10)
        metrics.unknown_users.inc(False)
        metrics.fallback.inc(False)
        metrics.answered("/v1/score", 200, 0.0004)
    return 1e6 * (time.thread_time() - started) / _CALLS


if __name__ == "__main__":
    if sys.argv[1:] == ["cost"]:
        sys.stdout.write(f"{cost_us()}\n")
    else:
        make_switchable()
        runpy.run_module("winnow", run_name="__main__")
