"""What the console asks of the label log: query parameters as frozen values, each with its bounds.

A field that a form sent empty is one that was not given.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from contract.events import ExternalId

MOST_HOURS = 168
MOST_ROWS = 200
MOST_EXPORTED = 1_000_000

FlagName = Literal["none", "swipe", "complete", "loop", "background"]
LabelName = Literal["positive", "negative", "unlabelled"]
By = Literal["duration", "position", "surface", "hour", "flag"]
Kind = Literal["user", "item"]


def _given(value: Any) -> Any:
    return None if value == "" else value


_Maybe = BeforeValidator(_given)
_Id = Annotated[ExternalId | None, _Maybe]


class HoursAsked(BaseModel):
    """A stretch of time that ends now. It begins with the hour that it reaches into."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hours: float = Field(default=24.0, gt=0, le=MOST_HOURS, description="How far back, in hours.")


class LabelsAsked(HoursAsked):
    """Rows of the label log; what is not given does not matter."""

    user: _Id = Field(default=None, description="Rows of this user.")
    item: _Id = Field(default=None, description="Rows of this item.")
    event: _Id = Field(default=None, description="The row of this event.")
    surface: _Id = Field(default=None, description="Rows of this surface.")
    flag: Annotated[FlagName | None, _Maybe] = Field(default=None, description="What kind of watch it was.")
    label: Annotated[LabelName | None, _Maybe] = Field(default=None, description="What was said.")
    order: Literal["newest", "doubtful"] = Field(default="newest", description="Which come first.")
    limit: int = Field(default=50, ge=1, le=MOST_ROWS, description="Rows at most.")


class LabelsExportAsked(LabelsAsked):
    """The same as a file, newest first; `order` and `limit` do not matter."""

    format: Literal["csv", "parquet"] = "csv"


class AuditAsked(HoursAsked):
    """Where the noise is."""

    by: By = Field(default="duration", description="What to group the views by.")
    spoken: Annotated[float | None, _Maybe] = Field(
        default=None,
        gt=0,
        lt=1,
        description="Share of liked views of which something good is said; not given, relevance is taken as it is.",
    )


class AuditExportAsked(AuditAsked):
    """The same as a file."""

    format: Literal["csv"] = "csv"


class SuspectsAsked(HoursAsked):
    """Users or items whose watches say one thing and whose relevance another."""

    kind: Kind = Field(default="user", description="Of which.")
    limit: int = Field(default=50, ge=1, le=MOST_ROWS, description="Rows at most.")


class IdsAsked(HoursAsked):
    """Recent ids, the most active first."""

    kind: Kind = Field(default="user", description="Of which.")
    like: Annotated[Annotated[str, Field(max_length=128)] | None, _Maybe] = Field(
        default=None, description="Text that the id holds."
    )
    limit: int = Field(default=20, ge=1, le=MOST_ROWS, description="Ids at most.")
