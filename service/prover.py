"""The process that proves versions for the service, `python -m service.prover`: one asked, one answered (P4).

It speaks in frames (`service.frames`) of JSON. What a version does to a process, it does to this one: the service
starts another (`service.proving`). Requests have the processor before it.
"""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from contract.errors import RegistryError, VersionCorrupt
from service.frames import Asker, end_after, stand_back
from service.proven import Held, Proven, prove


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Asked(_Message):
    """Which version to prove, and in how many seconds at most."""

    directory: Path
    deadline_s: float


class Answer(_Message):
    """One of the three: it is proven; it is wrong, for a reason; or that could not be found out."""

    proven: Proven | None = None
    corrupt: str | None = None
    unfinished: str | None = None


def main() -> None:
    """Answer until the input ends."""
    _answer_all(Asker())
    os._exit(0)  # at the lowest priority, tidying up could take long


def _answer_all(asker: Asker) -> None:
    held: Held | None = None
    stands_back = False
    while (question := asker.question()) is not None:
        asked = Asked.model_validate_json(question)
        end_after(asked.deadline_s)
        answer, held = _answer(asked.directory, held)
        end_after(0)
        asker.answer(answer.model_dump_json().encode())
        if not stands_back:  # not before the first answer, which a service that starts is waiting for
            stands_back = True
            stand_back()


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
