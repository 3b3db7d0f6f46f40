"""`python -m tests.fuzz.run TARGET SECONDS CORPUS`: fuzz one target by coverage (atheris); finds go to CORPUS."""

import resource
import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["contract", "service", "trainer.dedupe"]):
    from tests.fuzz.targets import TARGETS

_MOST_S = 0.1
_MOST_BYTES = 4 << 30


def main(name: str, seconds: str, corpus: str) -> None:
    """Fuzz; the process ends with 0 if nothing was found."""
    read, seeds = TARGETS[name]
    directory = Path(corpus)
    directory.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (directory / f"seed-{number}").write_bytes(seed)

    def one_input(data: bytes) -> None:
        for _ in range(3):  # only what is slow every time is a hang
            started = time.thread_time()
            read(data)
            if time.thread_time() - started < _MOST_S:
                return
        raise TimeoutError(f"{len(data)} bytes took {name} over {_MOST_S} s three times")

    found = f"-artifact_prefix={directory}/found-"
    # Not libFuzzer's bound of memory: it asks for the highest there was, which a process inherits from the one that
    # started it, and the campaign is large.
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    options = [f"-max_total_time={seconds}", "-max_len=8192", "-timeout=10", "-rss_limit_mb=0", found]
    atheris.Setup([sys.argv[0], *options, str(directory)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
