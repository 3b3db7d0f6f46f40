"""Settings of the service process."""

from pathlib import Path

from pydantic import Field

from contract.settings import IdSettings, LogSettings, TelemetrySettings

_ORIGINS = r"^(https?://[^\s,*/]+(,https?://[^\s,*/]+)*)?$"


class AccessSettings(TelemetrySettings):
    """Who may call, and how often."""

    api_keys_file: Path | None = Field(
        default=None, description="File of API keys, made by `winnow keys`; without it every caller is let in."
    )
    api_keys_poll_s: float = Field(
        default=1.0, ge=0.01, le=60, description="Seconds between two looks whether the file of API keys has changed."
    )
    allow_anonymous: bool = Field(
        default=False,
        description="Listen beyond this machine without API keys: for a private network whose every member is trusted.",
    )
    key_requests_per_s: float = Field(
        default=5_000, ge=0, description="Requests a second that one API key may send; above it 429; 0 is no bound."
    )
    key_events_per_s: float = Field(
        default=200_000,
        ge=0,
        description="Feedback events a second that one API key may send; above it 429; 0 is no bound.",
    )
    anonymous_requests_per_s: float = Field(
        default=0, ge=0, description="As WINNOW_KEY_REQUESTS_PER_S, for all callers together where there are no keys."
    )
    anonymous_events_per_s: float = Field(
        default=0, ge=0, description="As WINNOW_KEY_EVENTS_PER_S, for all callers together where there are no keys."
    )
    user_events_per_minute: int = Field(
        default=0, ge=0, description="Feedback events a minute of one user id; above it 429; 0 is no bound."
    )
    cors_origins: str = Field(
        default="",
        pattern=_ORIGINS,
        description="Origins whose pages may call from a browser, by comma, such as https://a.example; empty is none.",
    )
    admin_host: str = Field(default="127.0.0.1", description="Address on which the admin port listens.")
    admin_port: int | None = Field(
        default=None,
        ge=0,
        le=65_535,
        description="TCP port for changing what is served, apart from the callers' port; 0 takes a free one.",
    )
    console: bool = Field(
        default=True, description="Show the console at /console, and on the admin port let it change things."
    )


class ServiceSettings(LogSettings, IdSettings, AccessSettings):
    """The HTTP service: where it listens, what it takes in, how long it waits."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8787, ge=0, le=65_535, description="TCP port to listen on; 0 takes a free one.")
    max_body_bytes: int = Field(
        default=1_048_576, ge=1_024, le=67_108_864, description="Largest request body in bytes; above it 413."
    )
    max_batch_events: int = Field(
        default=1_000, ge=1, le=10_000, description="Most events in one feedback or labels request; above it 413."
    )
    max_candidates: int = Field(
        default=1_000, ge=1, le=10_000, description="Most candidates in one score request; above it 413."
    )
    max_requests_in_flight: int = Field(
        default=512, ge=1, le=65_536, description="Requests with a body at work at once; above it 503."
    )
    body_timeout_s: float = Field(
        default=10.0, gt=0, le=300, description="Seconds in which a request body must have arrived; after it 408."
    )
    header_timeout_s: float = Field(
        default=10.0,
        gt=0,
        le=300,
        description="Seconds in which the head of a request must have arrived; after it 408.",
    )
    keep_alive_s: int = Field(
        default=5,
        ge=1,
        le=300,
        description="Seconds after which an idle connection is closed; a proxy must be quicker.",
    )
    max_queue_s: float = Field(
        default=0.05,
        gt=0,
        le=10,
        description="Seconds of work that may wait for its turn in this process, three times as many in a burst; what "
        "comes on top gets 503.",
    )
    append_timeout_s: float = Field(
        default=0.5, gt=0, le=30, description="Seconds in which the event log must confirm; after it feedback gets 503."
    )
    slow_request_s: float = Field(
        default=1.0,
        gt=0,
        le=3_600,
        description="Seconds from which an answered request is logged as a warning, one a second at most.",
    )
    log_poll_s: float = Field(
        default=1.0, ge=0.01, le=60, description="Seconds between two looks whether the event log answers."
    )
    reload_poll_s: float = Field(
        default=0.1, ge=0.01, le=60, description="Seconds between two looks at the champion file."
    )
    prove_apart: bool = Field(
        default=True,
        description="Prove new versions in a process of their own, at the lowest priority, instead of beside requests.",
    )
    drain_grace_s: float = Field(
        default=0.0,
        ge=0,
        le=300,
        description="Seconds after SIGTERM in which requests are still taken while /readyz, for balancers, says 503.",
    )
    drain_timeout_s: int = Field(
        default=10, ge=1, le=300, description="Seconds that running requests get to finish after SIGTERM."
    )
    recent_users: int = Field(
        default=50_000,
        ge=0,
        le=10_000_000,
        description="Most users whose latest likes are kept in memory, where the model reads histories; 0 keeps none.",
    )
    prior_rate: float = Field(
        default=0.02, gt=0, lt=1, description="Score the built-in prior gives every item before the first version."
    )
    impression_secrets_file: Path | None = Field(
        default=None,
        description="File with the secrets of signed impressions (`winnow secrets impressions`); without it none are.",
    )
    impression_ttl_s: int = Field(
        default=86_400, ge=60, le=2_592_000, description="Seconds for which feedback may cite a signed impression."
    )
    require_impression: bool = Field(
        default=False, description="Refuse feedback that cites no valid impression of its user and item, whole, by 422."
    )
