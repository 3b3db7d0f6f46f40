"""What goes on beside a block ends with it, and does not fail unheard."""

import threading
import time

import pytest

from benchmarks.meanwhile import meanwhile


def test_it_goes_on_until_the_block_ends() -> None:
    times: list[float] = []
    third = threading.Event()

    def act() -> None:
        times.append(time.monotonic())
        if len(times) == 3:
            third.set()

    with meanwhile(act, 0.01):
        assert third.wait(10)
    assert len(times) >= 3
    assert times[2] - times[0] >= 0.02
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("meanwhile")]


def test_what_it_raised_is_raised_where_the_block_ends() -> None:
    tried = threading.Event()

    def act() -> None:
        tried.set()
        raise ValueError("it broke")

    with pytest.raises(ValueError, match="it broke"), meanwhile(act, 0.0):
        assert tried.wait(10)


def test_an_error_of_the_block_is_the_one_that_is_heard() -> None:
    with pytest.raises(KeyError), meanwhile(lambda: 1 / 0, 0.0):
        raise KeyError
