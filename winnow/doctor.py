"""`winnow doctor`: what is wrong with this machine or configuration, and how to mend it. Each check is one function."""

import contextlib
import importlib.util
import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import cast

import redis

from contract.durable import sha256_of
from contract.errors import WinnowError
from contract.registry import Registry
from contract.traces import are_wanted, trouble_with
from service.settings import ServiceSettings
from winnow.embedded_log import server_binary

_TRAINING = ("torch", "numba", "onnx", "pyarrow", "safetensors")
LEAST_FREE_BYTES = 2 * 2**30


class Health(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One check's result; a remedy where there is something to mend."""

    health: Health
    what: str
    remedy: str = ""


def examine(settings: ServiceSettings) -> list[Finding]:
    """Run every check."""
    home, redis_url = settings.home, settings.redis_url
    return [
        check_home(home),
        check_redis(redis_url) if redis_url else check_embedded_log(),
        check_port(settings.host, settings.port, home),
        check_training(),
        check_traces(os.environ),
        check_champion(home),
        check_checkpoints(home),
    ]


def check_home(home: Path) -> Finding:
    """The home must be writable and have room."""
    existing = next(path for path in (home.resolve(), *home.resolve().parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return Finding(Health.FAIL, f"home {home} is not writable", "choose another with --home or WINNOW_HOME")
    free = shutil.disk_usage(existing).free
    if free < LEAST_FREE_BYTES:
        return Finding(
            Health.WARN, f"home {home} has {free / 2**30:.1f} GiB free", "free some space, or choose another --home"
        )
    return Finding(Health.OK, f"home {home} is writable, {free / 2**30:.0f} GiB free")


def check_embedded_log() -> Finding:
    """Without a Redis URL, a server binary must be at hand."""
    try:
        return Finding(Health.OK, f"event log: embedded, {server_binary()}")
    except WinnowError as error:
        return Finding(Health.FAIL, "event log: no server binary", str(error))


def check_redis(url: str) -> Finding:
    """A given Redis must answer and keep what it acknowledges."""
    try:
        with contextlib.closing(redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)) as client:
            config = cast(dict[str, str], client.config_get("append*"))
    except (redis.RedisError, ValueError) as error:
        return Finding(Health.FAIL, f"event log {url}: {error}", "start the server, or mend WINNOW_REDIS_URL")
    if config.get("appendonly") != "yes" or config.get("appendfsync") != "always":
        return Finding(
            Health.WARN,
            f"event log {url} may lose what it acknowledged",
            "set `appendonly yes` and `appendfsync always` there",
        )
    return Finding(Health.OK, f"event log {url} answers and fsyncs each append")


def check_port(host: str, port: int, home: Path) -> Finding:
    """The service's port must be free, unless this home's own service has it."""
    where = f"port: {host} port {port}"
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        if (home / "up.json").exists():
            return Finding(Health.OK, f"{where} is in use, as `winnow up` runs in {home}")
        return Finding(Health.WARN, f"{where}: {error.strerror}", "stop what uses it, or set WINNOW_PORT")
    return Finding(Health.OK, f"{where} is free")


def check_training() -> Finding:
    """Training needs the `train` extra."""
    missing = [name for name in _TRAINING if importlib.util.find_spec(name) is None]
    if missing:
        return Finding(
            Health.WARN, f"training: {', '.join(missing)} missing; this host can serve only", "pip install '.[train]'"
        )
    return Finding(Health.OK, f"training: {', '.join(_TRAINING)} are installed")


def check_traces(environment: Mapping[str, str]) -> Finding:
    """A collector that is named must be one that can be told."""
    if not are_wanted(environment):
        return Finding(Health.OK, "traces: off; OTEL_EXPORTER_OTLP_ENDPOINT turns them on")
    if trouble := trouble_with(environment):
        return Finding(Health.FAIL, "traces: service and trainer will not start", trouble)
    return Finding(Health.OK, "traces: told to the collector that the environment names")


def check_champion(home: Path) -> Finding:
    """The champion, if any, must be what its manifest says."""
    directory = home / "registry"
    if not directory.exists():
        return Finding(Health.OK, "registry: none yet; the built-in prior answers until the first version")
    try:
        champion = Registry(directory).champion()
        if champion is None:
            return Finding(Health.OK, "registry: no champion yet; the built-in prior answers")
        Registry(directory).verify(champion.version)
    except WinnowError as error:
        return Finding(Health.FAIL, f"registry: {error}", "winnow models rollback")
    return Finding(Health.OK, f"registry: champion {champion.version} is whole{' (pinned)' if champion.pinned else ''}")


def check_checkpoints(home: Path) -> Finding:
    """The newest checkpoint must be what its name says; damaged ones are worth knowing of."""
    directory = home / "checkpoints"
    whole, damaged = sorted(directory.glob("*-*.safetensors")), list(directory.glob("*.damaged"))
    if damaged:
        return Finding(
            Health.WARN,
            f"checkpoints: {len(damaged)} damaged, set aside",
            "check the disk; delete them once understood",
        )
    if whole and whole[-1].stem.split("-")[1] != sha256_of(whole[-1]):
        return Finding(
            Health.FAIL,
            f"checkpoints: the content of {whole[-1].name} differs from the digest in its name",
            "check the disk; the trainer will go on from the one before" if whole[1:] else "restore it from a backup",
        )
    return Finding(Health.OK, f"checkpoints: {len(whole)} kept")
