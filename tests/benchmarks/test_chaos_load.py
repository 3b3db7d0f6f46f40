"""The scenarios under load, in seconds: they hold where nothing is wrong, and the sender sees what is."""

import shutil
import signal
from pathlib import Path

import numpy as np
import orjson
import pytest

from benchmarks.chaos import offered
from benchmarks.chaos.expected import write_expected
from benchmarks.chaos.local_nginx import SHIPPED, adapted
from benchmarks.chaos.rolling import rolled
from benchmarks.chaos.slow_clients import slow
from benchmarks.serving.processes import winnow_service
from benchmarks.serving.versions import Versions
from benchmarks.serving.world import World, write_bodies
from contract.errors import SetupError

needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed here")
SCORE = "/v1/score"


@pytest.fixture
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path leaves room for the socket of an event log."""
    return tmp_path_factory.mktemp("c")


def test_an_answer_that_is_not_its_versions_own_is_seen_by_the_sender(work: Path) -> None:
    world = World.of(500, 500)
    versions = Versions(work / "home", world, dim=8)
    made = versions.whole(1)
    asked = world.requests(50, 10, seed=2)
    bodies = write_bodies(asked, work / "bodies.txt")
    expected = write_expected(versions.registry, made, asked, work / "expected.json")
    with winnow_service(work / "home") as service:

        def seen() -> offered.Seen:
            return offered.finish(
                offered.start([service.url], SCORE, bodies, 100.0, 1.0, work / "sent", expected=expected)
            )

        right = seen()
        scores = orjson.loads(expected.read_bytes())
        item = next(iter(scores[made[0]][3]))
        scores[made[0]][3][item] += 1e-5
        expected.write_bytes(orjson.dumps(scores))
        wrong = seen()
    assert right.good.all()
    assert set(right.version) == set(made)
    assert not right.wrong.any(), right.complaint
    assert np.flatnonzero(wrong.wrong).tolist() == list(range(3, 100, 10))


def test_a_port_or_path_that_the_shipped_nginx_conf_no_longer_has_is_noticed() -> None:
    shipped = SHIPPED.read_text()
    here = adapted(shipped, {"listen 8080;": "listen 127.0.0.1:9090;", "/tmp/": "/elsewhere/"})
    assert here.replace("127.0.0.1:9090", "8080").replace("/elsewhere/", "/tmp/") == shipped
    assert adapted("server a:8788; server b:87880;", {"8788": "1"}) == "server a:1; server b:87880;"
    with pytest.raises(SetupError, match="no longer says 'listen 8080;'"):
        adapted(here, {"listen 8080;": "listen 1;"})


@needs_nginx
def test_slow_callers_are_let_go_and_the_others_do_not_notice(work: Path) -> None:
    outcome = slow(work, connections=300, waves=1)
    assert outcome.holds, outcome.why
    assert int(outcome.figures["open_at_once"] or 0) >= 290


@needs_nginx
def test_a_restart_of_each_replica_fails_no_request(work: Path) -> None:
    outcome = rolled(work, restarts=2, number=signal.SIGTERM)
    assert outcome.holds, outcome.why
    assert outcome.figures["acknowledged"] == outcome.figures["events"]
