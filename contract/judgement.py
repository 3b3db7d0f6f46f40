"""What the gate said of a version, gate by gate: `judgement.json` beside its tables, digested like every file.

The manifest holds the verdict and its reasons in words; this is the same in figures, of the gates that hold too.
"""

import math
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.errors import VersionCorrupt

JUDGEMENT_FILE = "judgement.json"
MAX_JUDGEMENT_BYTES = 64 << 10


class GateFigure(BaseModel):
    """One gate: what it looked at, what it allows, and what it gives where that does not hold."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    gate: str = Field(description="the bound of the gate policy, or `finite`")
    figure: float | None = Field(description="null where it was not asked, or could not be told")
    bound: float | None = Field(description="as it was for this version; null where there is none")
    verdict: str = Field(description="HOLD or REJECT: what the gate gives where it does not hold")
    holds: bool


class GateFigures(BaseModel):
    """Every gate, in the order in which they are asked."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    gates: list[GateFigure]


def finite_or_none(number: float) -> float | None:
    """Return a number as JSON can hold it."""
    return float(number) if math.isfinite(number) else None


def write_judgement(directory: Path, judged: GateFigures) -> None:
    """Write the figures into a version that is being made, before its digests are taken."""
    (directory / JUDGEMENT_FILE).write_text(judged.model_dump_json(indent=1))


def read_judgement(directory: Path) -> GateFigures | None:
    """Return the figures of a version; None for one of an earlier release. Raises VersionCorrupt if they are none."""
    try:
        with (directory / JUDGEMENT_FILE).open("rb") as file:
            content = file.read(MAX_JUDGEMENT_BYTES + 1)
        return GateFigures.model_validate_json(content)
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise VersionCorrupt(f"version {directory.name}: {JUDGEMENT_FILE} is not what the gate writes") from error
