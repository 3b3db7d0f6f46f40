"""Winnow against a peer: the same bodies under the same load, in turn, after both have given the same answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from benchmarks.serving.peers.peer import Peer
from benchmarks.serving.processes import Running
from benchmarks.serving.scoring import BODIES, SCORE, ask, rate
from benchmarks.serving.series import Series, interleaved
from benchmarks.serving.world import World, write_bodies
from contract.errors import SetupError

PEER_SCORE = "/score"
_CLOSE = 1e-5


@dataclass(frozen=True)
class Match:
    """Requests a second of both, by number of candidates; `failure` says why there is nothing."""

    peer: str
    requirements: str
    settings: str
    service: dict[int, Series]
    rival: dict[int, Series]
    failure: str = ""

    def ratio(self, candidates: int) -> Series:
        """Return Winnow over the peer."""
        return self.service[candidates].over(self.rival[candidates])


def against(
    peer: Peer,
    world: World,
    service: Running,
    bundle: Path,
    environments: Path,
    work: Path,
    sizes: Sequence[int],
    rounds: int,
    seconds: float,
) -> Match:
    """Measure one peer; one that can't be installed, started or trusted here is reported as such."""
    described = {"peer": peer.name, "requirements": " ".join(peer.requirements), "settings": peer.settings}
    ours: dict[int, Series] = {}
    theirs: dict[int, Series] = {}
    try:
        with peer.serving(environments, bundle, work / "peers") as rival:
            for size in sizes:
                asked = world.requests(size, BODIES, seed=size)
                for body in asked[:10]:
                    same_answer(ask(service.url + SCORE, body), ask(rival.url + PEER_SCORE, body))
                bodies = write_bodies(asked, work / f"peers-{size}.txt")
                urls = {"ours": service.url + SCORE, "theirs": rival.url + PEER_SCORE}
                found = interleaved({name: partial(rate, url, bodies, seconds) for name, url in urls.items()}, rounds)
                ours[size], theirs[size] = found["ours"], found["theirs"]
    except SetupError as error:
        return Match(**described, service=ours, rival=theirs, failure=str(error))
    return Match(**described, service=ours, rival=theirs)


def same_answer(ours: bytes, theirs: bytes) -> None:
    """Raise SetupError unless both rank the same items by the same scores, labels and confidences."""
    one, other = (sorted(orjson.loads(body)["items"], key=_item_id) for body in (ours, theirs))
    for mine, its in zip(one, other, strict=True):
        exact = all(mine[name] == its[name] for name in ("item_id", "label", "known"))
        if not exact or any(abs(mine[name] - its[name]) > _CLOSE for name in ("score", "confidence")):
            raise SetupError(f"the peer answers {its}, Winnow {mine}: they do not serve the same model")


def _item_id(row: dict[str, Any]) -> str:
    return str(row["item_id"])
