"""The process that proves versions for the service, `python -m service.prover`: one asked, one answered (P4).

It reads and writes frames (four bytes of length, big-endian, then JSON) on its standard streams, and ends when its
input does, which the death of the service brings about. What a version does to a process, it does to this one: the
service starts another (`service.proving`). Requests have the processor before it.
"""

import math
import os
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict

from contract.errors import RegistryError, VersionCorrupt
from service.proven import Held, Proven, prove

_NICE = 19  # the lowest priority; at 10 requests still waited (docs/decisions/0019)
LENGTH = struct.Struct(">I")


class _Frame(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Asked(_Frame):
    """Which version to prove, and in how many seconds at most."""

    directory: Path
    deadline_s: float


class Answer(_Frame):
    """One of the three: it is proven; it is wrong, for a reason; or that could not be found out."""

    proven: Proven | None = None
    corrupt: str | None = None
    unfinished: str | None = None


def frame(message: _Frame) -> bytes:
    """Return a message as it goes through a pipe."""
    content = message.model_dump_json().encode()
    return LENGTH.pack(len(content)) + content


def main() -> None:
    """Answer until the input ends."""
    # Whatever a library prints goes to the log, not into the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _answer_all(sys.stdin.buffer, answers)
    os._exit(0)  # at the lowest priority, tidying up could take long


def _answer_all(questions: BinaryIO, answers: BinaryIO) -> None:
    held: Held | None = None
    stands_back = False
    while len(head := questions.read(LENGTH.size)) == LENGTH.size:
        asked = Asked.model_validate_json(questions.read(*LENGTH.unpack(head)))
        signal.alarm(math.ceil(asked.deadline_s))  # ends this process, even where no one is left to end it
        answer, held = _answer(asked.directory, held)
        signal.alarm(0)
        try:
            answers.write(frame(answer))
            answers.flush()
        except BrokenPipeError:  # the service is gone
            os._exit(0)  # closing the stream would try to write once more
        if not stands_back:  # not before the first answer, which a service that starts is waiting for
            stands_back = True
            _stand_back()


def _stand_back() -> None:
    """Take the lowest priority, and where Linux weighs sessions against each other first, the session's too."""
    os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(_NICE))


def _answer(directory: Path, held: Held | None) -> tuple[Answer, Held | None]:
    try:
        proven, held = prove(directory, held)
    except VersionCorrupt as error:
        return Answer(corrupt=str(error)), held
    except (RegistryError, OSError) as error:
        return Answer(unfinished=str(error)), held
    return Answer(proven=proven), held


if __name__ == "__main__":
    main()
