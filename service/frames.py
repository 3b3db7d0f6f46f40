"""Frames between this service and a process of its own, and how such a process lives: behind requests, never longer.

A frame is four bytes of length, big-endian, and so many bytes. Questions come on standard input and answers leave on
standard output; the process ends when its input does, which the death of the service brings about.
"""

import math
import os
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

LOWEST = 19  # priority; at 10 requests still waited for proofs (docs/decisions/0019)
LENGTH = struct.Struct(">I")


def frame(content: bytes) -> bytes:
    """Return content as it goes through a pipe."""
    return LENGTH.pack(len(content)) + content


class Asker:
    """The other end, as a process of the service's own sees it."""

    def __init__(self) -> None:
        """Take the standard streams: whatever a library prints from now on goes to the log, not into the answers."""
        self._questions: BinaryIO = sys.stdin.buffer
        self._answers = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)

    def question(self) -> bytes | None:
        """Return the next question; None when there will be no more."""
        head = self._questions.read(LENGTH.size)
        return self._questions.read(*LENGTH.unpack(head)) if len(head) == LENGTH.size else None

    def answer(self, content: bytes) -> None:
        """Send an answer. Ends this process if nobody is left to read it."""
        try:
            self._answers.write(frame(content))
            self._answers.flush()
        except BrokenPipeError:
            os._exit(0)  # closing the stream would try to write once more


def end_after(seconds: float) -> None:
    """End this process in so many seconds, even where no one is left to end it; 0 takes that back."""
    signal.alarm(math.ceil(seconds))


def stand_back(nice: int = LOWEST) -> None:
    """Take a low priority, and where Linux weighs sessions against each other first, the session's too."""
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(nice))
