"""The process that reads for the console, `python -m service.console.reader HOME`: one asked, one answered.

It speaks in frames (`service.frames`): a question is JSON, an answer a status and JSON, or the words of what is wrong.
It stands behind requests from its first answer on, and takes no more memory than it is given: what does not fit into
that is refused, and only this process is in danger. Someone waits for its answers, so it is not the last of all: at the
lowest priority a busy machine left it less than a hundredth of a core.
"""

import os
import resource
import struct
import sys
from pathlib import Path
from typing import Any

_NICE = 10
STATUS = struct.Struct(">H")
MOST_BYTES = 2 << 30  # of memory of its own; mapped files do not count


def main(home: Path) -> None:
    """Answer until the input ends."""
    from service.frames import Asker, end_after, stand_back

    asker = Asker()
    os.environ["OMP_NUM_THREADS"] = "1"  # Arrow's: read when it is imported
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, most))

    import orjson

    from service.console.questions import Questions

    questions, stands_back = Questions(home), False
    while (question := asker.question()) is not None:
        asked: dict[str, Any] = orjson.loads(question)
        end_after(asked["deadline_s"] + 1)  # the service ends it before that, if it is there
        status, content = questions.answer(asked["about"], asked["asked"])
        end_after(0)
        asker.answer(STATUS.pack(status) + content)
        if not stands_back:
            stands_back = True
            stand_back(_NICE)
    os._exit(0)  # at the lowest priority, tidying up could take long


if __name__ == "__main__":
    main(Path(sys.argv[1]))
