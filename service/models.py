"""GET /v1/models and /v1/models/{version}: which version answers, which there are, and what each is made of."""

import asyncio
import re
from collections.abc import Callable
from typing import Literal, TypeVar

from fastapi import APIRouter

from contract.api import ModelsResponse, ModelSummary, ServingModel
from contract.errors import RegistryError, VersionCorrupt, VersionNotFound
from contract.manifest import Calibration, FileDigest, Manifest, TrainedThrough
from contract.pointer import Champion
from contract.registry import Registry
from contract.space import SpaceShape
from contract.tables import Base, Layout, Spaces
from service.openapi import problems
from service.score import rfc3339, serving_model
from service.slot import Slot

EXAMPLE = Manifest(
    created_ms=1795507201000,
    producer="winnow 0.1.0",
    backbone="gmf",
    target="evidence",
    seed=7,
    parent="000041",
    trained_through=TrainedThrough(
        events=48213, acknowledged_ms=1795507200120, event_at_ms=1795507199000, position={"0": "1795507200119-0"}
    ),
    prior=0.017,
    calibration=Calibration(scale=1.0, offset=0.0, threshold=0.08),
    metrics={"auc": 0.74, "ece": 0.001},
    verdict="PROMOTE",
    reasons=["holdout log loss 0.0812, champion 0.0815"],
    layout=Layout(
        intercept=(-4.1, 0.2),
        spaces=Spaces(
            users=SpaceShape(rows=1201, width=16, slots=4096, known_ids=1200),
            items=SpaceShape(rows=901, width=16, slots=2048, known_ids=900),
            sides=SpaceShape(rows=16384, width=0, slots=0, known_ids=0),
        ),
        side_rows=16384,
        base=Base(version="000040", manifest_sha256="2c26b46b68ffc68f"),
    ),
    files={"model.onnx": FileDigest(sha256="9f86d081884c7d65", bytes=4096)},
)
_VERSION = re.compile(r"[0-9]{1,12}")
_Read = TypeVar("_Read")
_State = Literal["champion", "candidate", "quarantined"]


def model_routes(slot: Slot, registry: Registry) -> APIRouter:
    """Return the routes about models. They read the registry, in a worker thread."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models", responses=problems(503))
    async def models() -> ModelsResponse:
        """List the versions of the registry, and those this process took over or refused."""
        champion, versions = await _read(lambda: (registry.champion(), _summaries(registry)))
        return ModelsResponse(
            serving=ServingModel.model_validate(serving_model(slot.current)),
            pinned=champion is not None and champion.pinned,
            versions=versions,
            served=list(slot.served),
            refused=slot.refused,
        )

    @router.get("/v1/models/{version}", responses=problems(404, 503))
    async def model(version: str) -> Manifest:
        """Return the manifest of one version."""
        if not _VERSION.fullmatch(version):  # also keeps what was asked for out of the answer
            raise VersionNotFound("a version is a number such as 000042; GET /v1/models lists them")
        return await _read(lambda: registry.manifest(version))

    return router


async def _read(read: Callable[[], _Read]) -> _Read:
    try:
        return await asyncio.to_thread(read)
    except OSError as error:
        raise RegistryError(f"the registry cannot be read ({type(error).__name__}); retry, or see the log") from error


def _summaries(registry: Registry) -> list[ModelSummary]:
    champion = registry.champion()
    states: dict[str, _State] = {version: _state(version, champion) for version in registry.versions()}
    states |= dict.fromkeys(registry.quarantined(), "quarantined")
    found = (_summary(registry, version, state) for version, state in sorted(states.items(), reverse=True))
    return [summary for summary in found if summary is not None]


def _state(version: str, champion: Champion | None) -> _State:
    return "champion" if champion is not None and champion.version == version else "candidate"


def _summary(registry: Registry, version: str, state: _State) -> ModelSummary | None:
    try:
        manifest = registry.manifest(version)
    except (VersionNotFound, VersionCorrupt):  # pruned a moment ago, or unreadable: there is nothing to say of it
        return None
    through = manifest.trained_through
    return ModelSummary(
        version=version,
        state=state,
        created_at=rfc3339(manifest.created_ms),
        trained_through=rfc3339(through.acknowledged_ms),
        events=through.events,
        metrics=manifest.metrics,
    )
