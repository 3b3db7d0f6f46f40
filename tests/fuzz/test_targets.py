"""A few seconds of what `make chaos` fuzzes for longer: nothing escapes a reader of bytes, and nothing holds it up."""

import random
import time

import pytest

from tests.fuzz.targets import TARGETS

MUTANTS = 300
MOST_S = 0.1
_TOKENS = [
    b'"',
    b"\\",
    b"{",
    b"[",
    b"]",
    b",",
    b"null",
    b"-0",
    b"1e999",
    b"\\ud800",
    b"\x00",
    b"\xff",
    b"7" * 30,
    b"\n",
]


def mutated(draw: random.Random, data: bytes) -> bytes:
    for _ in range(draw.randint(1, 4)):
        at, length = draw.randint(0, len(data)), draw.choice([0, 1, 1, 2, 8, 40])
        instead = draw.choice([draw.randbytes(draw.randint(0, 4)), draw.choice(_TOKENS), data[at : at + 20] * 2])
        data = data[:at] + instead + data[at + length :]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_escapes_a_reader_or_holds_it_up(name: str) -> None:
    read, seeds = TARGETS[name]
    draw = random.Random(name)
    for data in [*seeds, b"", *(mutated(draw, draw.choice(seeds)) for _ in range(MUTANTS))]:
        took = []
        for _ in range(3):  # the machine may be busy: only what is slow every time is a hang
            started = time.perf_counter()
            read(data)
            took.append(time.perf_counter() - started)
            if took[-1] < MOST_S:
                break
        assert min(took) < MOST_S, data[:100]
