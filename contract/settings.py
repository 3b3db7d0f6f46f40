"""Settings sections that processes share. Each process composes its own class from these and reads it once at start.

Every field can be set by an environment variable: WINNOW_ and the field's name in capitals. The page
`docs/configuration.md` is made from these fields.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

HashIds = Literal["none", "users", "all"]


class HomeSettings(BaseSettings):
    """Where runtime state lives."""

    model_config = SettingsConfigDict(env_prefix="WINNOW_", extra="ignore", frozen=True)

    home: Path = Field(
        default=Path(".winnow"), description="Directory of all runtime state: redis, checkpoints, registry, labels."
    )

    @property
    def registry_directory(self) -> Path:
        """The model registry."""
        return self.home / "registry"


class LogSettings(HomeSettings):
    """The event log."""

    redis_url: str | None = Field(
        default=None,
        description="Redis 7+ or Valkey: redis://, rediss:// or unix://. Without it an embedded server is started.",
    )
    log_max_entries: int = Field(
        default=200_000,
        ge=100,
        description="Entries a partition may hold, trained or not, before feedback answers 503.",
    )


class IdSettings(BaseSettings):
    """Which ids are stored as they were sent."""

    model_config = SettingsConfigDict(env_prefix="WINNOW_", extra="ignore", frozen=True)

    hash_ids: HashIds = Field(
        default="none",
        description="Ids replaced by a keyed hash before anything is stored: of viewers and authors, or of items too.",
    )
    id_secret_file: Path | None = Field(
        default=None,
        description="File with the secret of that hash (`winnow secrets ids`); with another everyone is new.",
    )


class TelemetrySettings(BaseSettings):
    """Logs. Traces are set up by OpenTelemetry's own variables, see contract.traces."""

    model_config = SettingsConfigDict(env_prefix="WINNOW_", extra="ignore", frozen=True)

    log_level: str = Field(
        default="info", pattern="^(debug|info|warning|error)$", description="Least severe log line that is written."
    )
    log_json: bool = Field(default=False, description="Write logs as one JSON object a line.")
