"""Settings of the trainer: the science in one section, the process in another."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract.settings import LogSettings, TelemetrySettings


class LearnerSettings(BaseSettings):
    """What is learned, and how. Replay and the live trainer share these; a checkpoint fits one choice of them."""

    model_config = SettingsConfigDict(env_prefix="WINNOW_", extra="ignore", frozen=True)

    backbone: Literal["gmf", "neumf", "lightgcn", "ngcf", "pinsage", "sasrec"] = Field(
        default="gmf", description="Network that says how a user and an item match."
    )
    target: Literal[
        "bce", "negative", "positive", "random", "watch", "tce", "rce", "nnpu", "idl", "idl-aligned", "evidence"
    ] = Field(default="evidence", description="What an exposure without explicit feedback is trained toward.")
    meta: Literal["none", "ig", "ig-local", "l2rw", "ig-sequential", "coin-flip"] = Field(
        default="none",
        description="What lets held-out explicit feedback steer the unlabelled; `none` computes and logs `ig` only.",
    )
    meta_inner: Literal["sgd", "sign"] = Field(default="sgd", description="Form of Inverse Gradient's trial step.")
    meta_rate: float = Field(default=0.05, gt=0, le=10, description="Size of Inverse Gradient's trial step.")
    meta_every: int = Field(
        default=8_192,
        ge=1,
        description="Events between decisions while `meta` is `none`; with any other each batch has one.",
    )
    meta_groups: Literal["surface", "cell", "duration"] = Field(
        default="surface", description="What `ig-local`, `ig-sequential` and `coin-flip` decide apart."
    )
    cascade: bool = Field(default=True, description="Whether the watch head feeds the explicit head.")
    seed: int = Field(default=1, ge=0, le=2**31 - 1, description="Seed of all that is drawn.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where to learn; auto takes a GPU if any."
    )
    dim: int = Field(default=16, ge=1, le=512, description="Width of the embeddings.")
    batch_events: int = Field(default=2_048, ge=1, le=65_536, description="Most events in one step.")
    wait_events: int = Field(
        default=4_096, ge=0, le=1_000_000, description="Events that pass before the backbone learns an explicit one."
    )
    holdout_share: float = Field(default=0.02, ge=0, le=0.5, description="Share of events kept for the gate for good.")
    holdout_events: int = Field(
        default=20_000, ge=0, le=10_000_000, description="Latest held-out events that are kept."
    )
    user_capacity: int = Field(default=262_144, ge=1, le=100_000_000, description="Users that can own a row.")
    item_capacity: int = Field(default=131_072, ge=1, le=100_000_000, description="Items that can own a row.")
    side_rows: int = Field(
        default=131_072, ge=1_024, le=2**26, description="Rows that authors, tags and surfaces share by hash."
    )
    admit_after: int = Field(default=1, ge=1, le=255, description="Sightings after which an id gets a row.")


class CapSettings(BaseSettings):
    """How much of what one user sends is learned; the rest is scored and logged. Windows are of the log's time."""

    model_config = SettingsConfigDict(env_prefix="WINNOW_", extra="ignore", frozen=True)

    cap_user_events: int = Field(default=2_000, ge=0, description="Events of a user learned in an hour; 0 = all.")
    cap_user_words: int = Field(
        default=300, ge=0, description="Events of a user that say something explicit learned in an hour; 0 = all."
    )
    cap_pair_events: int = Field(
        default=20, ge=0, description="Events of one user and one item learned in an hour; 0 = all."
    )
    cap_pair_words: int = Field(
        default=3,
        ge=0,
        description="Events of one user and one item that say something explicit learned in a day; 0 = all.",
    )
    cap_slots: int = Field(
        default=262_144,
        ge=8,
        le=2**28,
        description="Keys that each of the four caps can count at a time; 24 bytes each.",
    )


class TrainerSettings(LearnerSettings, CapSettings, LogSettings, TelemetrySettings):
    """The live trainer."""

    window_ms: int = Field(
        default=500, ge=10, le=60_000, description="Server time that one batch window spans; a batch never crosses it."
    )
    read_entries: int = Field(default=512, ge=1, le=100_000, description="Log entries read at once, a partition.")
    poll_s: float = Field(default=0.1, gt=0, le=10, description="Pause between looks at an idle log.")
    checkpoint_every_s: float = Field(default=10.0, gt=0, le=3_600, description="Seconds between checkpoints.")
    publish_every_s: float = Field(
        default=1.0, gt=0, le=86_400, description="Seconds between versions while events come."
    )
    whole_every_s: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="Seconds between whole versions; those between carry what changed since. 0 makes all whole.",
    )
    delta_max_drift: float = Field(
        default=0.05,
        ge=0,
        description="Root mean square by which a delta's logits may be off the model's; above it a whole version is "
        "made.",
    )
    keep_checkpoints: int = Field(
        default=2, ge=1, le=100, description="Checkpoints kept; the log is trimmed behind them."
    )
    keep_versions: int = Field(
        default=20,
        ge=2,
        le=10_000,
        description="Whole versions kept beside champion and predecessor, and as many deltas.",
    )
    dedupe_events: int = Field(
        default=1_000_000,
        ge=1_000,
        le=100_000_000,
        description="Latest events among which duplicates are found, at least.",
    )
    dead_letters_most: int = Field(
        default=10_000, ge=1, le=10_000_000, description="Dead letters kept; the oldest go first."
    )
    dead_letters_days: float = Field(default=7.0, gt=0, le=3_650, description="Days that a dead letter is kept.")
    gate_min_events: int = Field(default=1_000, ge=0, description="Events before a first version may be promoted.")
    gate_policy: Path | None = Field(
        default=None, description="TOML file with bounds of the gate (`winnow models gates`); others are the defaults."
    )
    live_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of events without explicit positive feedback on which the champion is watched; 0 turns the "
        "watch, and the rollback by itself, off.",
    )
    live_time_share: float = Field(
        default=0.04,
        gt=0,
        le=1,
        description="Most of the trainer's time that the live watch takes; it rests in between.",
    )
    trainer_metrics_port: int = Field(
        default=9109, ge=0, le=65_535, description="Port of the trainer's /metrics; 0 = off."
    )
    trainer_metrics_host: str = Field(default="127.0.0.1", description="Address of the trainer's /metrics.")
