"""The benches of the service: the generator hides no queue, verdicts follow numbers, and quick runs write pages."""

import json
import shutil
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.serving import command
from benchmarks.serving.against import Match, same_answer
from benchmarks.serving.bundle import write_bundle
from benchmarks.serving.fresh import Freshness, seconds_to_served
from benchmarks.serving.ingest import Learned
from benchmarks.serving.open_loop import Open, open_loop
from benchmarks.serving.peers.peer import PEERS
from benchmarks.serving.peers.ranker import Ranker
from benchmarks.serving.processes import running, winnow_service
from benchmarks.serving.report import fresh as fresh_page
from benchmarks.serving.report import ingest as ingest_page
from benchmarks.serving.report import scoring as scoring_page
from benchmarks.serving.report import swap as swap_page
from benchmarks.serving.scoring import SCORE, Capacity, ask
from benchmarks.serving.series import Series, harmonic, interleaved
from benchmarks.serving.swap import Calm, Memory
from benchmarks.serving.versions import Versions
from benchmarks.serving.world import World, batches, write_bodies
from benchmarks.serving.wrk import wrk_binary
from contract.api import ServedModel
from contract.errors import SetupError
from contract.events import Events, FeedbackEvent
from winnow import freshness

needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="the load generator wrk is not installed here")
STALL_S = 0.4


@pytest.fixture
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path leaves room for the socket of an event log."""
    return tmp_path_factory.mktemp("b")


class Answering(socketserver.StreamRequestHandler):
    """Answers by what the body says: stall, refuse, hang up, or name a version."""

    def handle(self) -> None:
        while self.rfile.readline():
            length = 0
            while (line := self.rfile.readline().strip()) != b"":
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            body = self.rfile.read(length)
            if body == b"hang up":
                return
            if body == b"stall":
                sleep(STALL_S)
            said = b'{"model":{"version":"000007"}}' if body != b"no version" else b"{}"
            status = b"503 Busy" if body == b"refuse" else b"200 OK"
            self.wfile.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(said), said))


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def offered(work: Path, bodies: list[bytes], rate: float, connections: int) -> Iterator[Open]:
    """Offer each body once."""
    with Server(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        file = write_bodies(bodies, work / "bodies.txt")
        yield open_loop(url, file, rate, len(bodies) / rate, work, warm_up_s=0.0, connections=connections)
        server.shutdown()
        thread.join()


def test_a_stall_is_charged_to_every_request_that_was_due_meanwhile(work: Path) -> None:
    with offered(work, [b"stall", *[b"x"] * 99], rate=200, connections=1) as seen:
        due_s = np.arange(100) / 200
    waited = due_s < STALL_S - 0.01
    assert (seen.latency_ms[waited] >= 1e3 * (STALL_S - due_s[waited]) - 1).all()
    assert seen.quantile_ms(0.5) > 100
    assert seen.errors == 0


def test_refusals_broken_connections_and_answers_without_a_version_are_counted(work: Path) -> None:
    with offered(work, [b"x", b"refuse", b"hang up", b"no version", *[b"x"] * 16], rate=100, connections=2) as seen:
        assert seen.errors == 2
        assert seen.versions == {"": 2, "000007": 18}
        assert seen.unnamed == 2
        assert np.isfinite(seen.latency_ms).all()
    assert len(seen.acknowledged_ms) == 18


def test_a_server_that_ends_early_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with (
        pytest.raises(SetupError, match=r"ended with 3; .* ends with: 'no luck'"),
        running(["sh", "-c", "echo no luck; exit 3"], tmp_path / "log.txt", lambda: None),
    ):
        pass


def test_without_wrk_the_bench_says_where_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SetupError, match="apt-get install wrk"):
        wrk_binary()


def test_rounds_are_interleaved_ratios_are_taken_round_by_round_and_times_add_up() -> None:
    order: list[str] = []

    def run(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = interleaved({"a": lambda: run("a"), "b": lambda: run("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    assert found == {"a": Series((3.0, 5.0)), "b": Series((4.0, 6.0))}
    assert found["a"].over(found["b"]).values == pytest.approx((3 / 4, 5 / 6))
    assert harmonic([found["a"], found["b"]]).values == pytest.approx((1 / 7, 1 / 11))


@given(
    acknowledged=st.lists(st.integers(0, 50), min_size=1),
    swaps=st.lists(st.tuples(st.none() | st.integers(0, 60), st.integers(0, 5))),
)
def test_freshness_is_what_the_demo_calls_it(acknowledged: list[int], swaps: list[tuple[int | None, int]]) -> None:
    since = np.cumsum([after for _, after in swaps]).tolist()
    served = [
        {"version": str(place), "trained_through_ms": through, "served_since_ms": at}
        for place, ((through, _), at) in enumerate(zip(swaps, since, strict=True))
    ]
    expected = freshness.seconds_to_served(
        [(at, 1) for at in acknowledged], [ServedModel.model_validate(one) for one in served]
    )
    assert np.array_equal(seconds_to_served(np.array(acknowledged, float), served), expected)


def test_bodies_are_what_the_service_takes_and_say_what_the_columns_say() -> None:
    events = World.of(50, 40).watches(300, seed=3)
    for size in (1, 256):
        parts = [orjson.loads(body) for body in batches(events, size)]
        rows = [row for part in parts for row in (part if isinstance(part, list) else [part])]
        taken = Events.from_models([FeedbackEvent.model_validate_json(orjson.dumps(row)) for row in rows])
        for name in ("event_key", "user_key", "item_key", "at_ms", "watch_ms", "actions", "author_id", "tags"):
            assert getattr(taken, name).tolist() == getattr(events, name).tolist(), name


def test_a_request_asks_for_distinct_items_of_which_a_tenth_is_unknown() -> None:
    world = World.of(100, 3_000)
    (body,) = world.requests(1_000, 1, seed=1)
    candidates = json.loads(body)["candidates"]
    assert len(set(candidates)) == 1_000
    assert len(set(candidates) - set(world.items)) == 100


def test_a_peer_has_what_it_takes_to_answer_as_the_service_does(work: Path) -> None:
    world = World.of(300, 2_000)
    versions = Versions(work, world, dim=8)
    (version,) = versions.whole(1)
    write_bundle(versions.registry.path(version), world, work / "bundle")
    ranker = Ranker(work / "bundle")
    with winnow_service(work) as service:
        for body in world.requests(100, 5, seed=2):
            asked = orjson.loads(body)
            ranked = {"items": ranker.rank(asked["user_id"], asked["candidates"])}
            same_answer(ask(service.url + SCORE, body), orjson.dumps(ranked))
            ranked["items"][3]["score"] = 0.5
            with pytest.raises(SetupError, match="do not serve the same model"):
                same_answer(ask(service.url + SCORE, body), orjson.dumps(ranked))


def test_a_peer_that_cannot_be_installed_is_said_so_with_the_installer_s_words(tmp_path: Path) -> None:
    (peer,) = (one for one in PEERS if one.name == "litserve")
    (tmp_path / "litserve").write_text("a file where the environment should be")
    with pytest.raises(SetupError, match="-m venv"):
        peer.installed(tmp_path)


def series(value: float) -> Series:
    return Series((value, value, value))


def capacity(service: float) -> Capacity:
    return Capacity(1_000, 9_000, series(service), {part: series(2.5e-5) for part in ("http", "parse", "run", "dump")})


def match(name: str, rate: float, failure: str = "") -> Match:
    rates = {size: series(rate) for size in (100, 1_000)}
    return Match(name, f"{name}==1", "one worker", {size: series(8_000.0) for size in rates}, rates, failure)


LATENCY = {"rate": 100.0, "p50_ms": 1.0, "p90_ms": 1.0, "p99.9_ms": 9.0, "max_ms": 9.0, "generator_late_p99_ms": 0.1}


def scoring(
    service: float = 8_000.0, peer: float = 1_000.0, p99: float = 4.0, errors: int = 0
) -> scoring_page.ScoringFigures:
    return scoring_page.ScoringFigures(
        "a machine", "a command", False, "a model",
        {"100 items": capacity(service), "1000 items": capacity(service)},
        [LATENCY | {"p99_ms": p99, "errors": errors}] * 3,
        [match("slow", 10.0), match("quick", peer), match("broken", 9e9, "no such package")],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("figures", "met"),
    [
        (scoring(), [True, True, True, True, True, None]),
        (scoring(service=7_000.0), [True, False, True, True, True, None]),
        (scoring(service=5_000.0), [False, False, True, True, True, None]),
        (scoring(peer=1_100.0), [True, True, False, True, True, None]),
        (scoring(peer=1_700.0), [True, True, False, False, True, None]),
        (scoring(p99=5.1), [True, True, True, True, False, None]),
        (scoring(errors=1), [True, True, True, True, False, None]),
    ],
)
def test_verdicts_on_scoring_follow_the_numbers(
    figures: scoring_page.ScoringFigures, met: list[bool | None], tmp_path: Path
) -> None:
    assert [each for _, each, _ in scoring_page.verdicts(figures)] == met
    page = scoring_page.render(figures, tmp_path)
    assert page.count("**missed**") == met.count(False)
    assert "no such package" in page


@pytest.mark.parametrize(
    ("batched", "single", "learned", "met"),
    [
        (250_000, 10_000, 150_000, [True, True, True]),
        (249_000, 10_000, 150_000, [False, True, True]),
        (250_000, 9_999, 150_000, [True, False, True]),
        (250_000, 10_000, 149_999, [True, True, False]),
    ],
)
def test_verdicts_on_ingest_follow_the_numbers(batched: float, single: float, learned: float, met: list[bool]) -> None:
    figures = ingest_page.IngestFigures(
        "a machine", "a command", False, series(batched), series(single), Learned(1, series(learned), series(2e5))
    )
    assert [each for _, each, _ in ingest_page.verdicts(figures)] == met
    assert ingest_page.render(figures).count("**missed**") == met.count(False)


@pytest.mark.parametrize(
    ("p99", "errors", "unnamed", "uss", "swaps", "met"),
    [
        (1.2, 0, 0, 105, 500, [True, True, True]),
        (1.3, 0, 0, 105, 500, [False, True, True]),
        (1.2, 1, 0, 105, 500, [True, False, True]),
        (1.2, 0, 1, 105, 500, [True, False, True]),
        (1.2, 0, 0, 106, 500, [True, True, False]),
        (1.2, 0, 0, 105, 499, [True, True, None]),
    ],
)
def test_verdicts_on_swaps_follow_the_numbers(
    p99: float, errors: int, unnamed: int, uss: int, swaps: int, met: list[bool | None], tmp_path: Path
) -> None:
    calm = Calm(LATENCY | {"p99_ms": 1.0, "errors": 0}, LATENCY | {"p99_ms": p99, "errors": 0}, 4, 30, errors, unnamed)
    memory = [Memory(10, 100, 100, 100), Memory(swaps, 100, uss, 100)]
    figures = swap_page.SwapFigures(
        "a machine",
        "a command",
        False,
        "a model",
        1.0,
        {"whole": [calm]},
        memory,
        {"swap": {10_000: 0.1, 100_000: 0.2}},
    )
    assert [each for _, each, _ in swap_page.verdicts(figures)] == met
    page = swap_page.render(figures, tmp_path)
    assert page.count("**missed**") == met.count(False)
    assert "## As tables grow" in page


@pytest.mark.parametrize(
    ("p99s", "met"),
    [
        ((0.9, 1.0, 1.3), True),
        ((0.7, 1.0, 1.1), True),
        ((0.7, 1.0, 1.3), None),
        ((0.2, 0.2, 0.3), None),
        ((0.2, 1.3, 1.4), False),
    ],
)
def test_a_steady_run_that_was_disturbed_proves_nothing(p99s: tuple[float, ...], met: bool | None) -> None:
    steady = LATENCY | {"p99_ms": 1.0, "errors": 0}
    calm = [Calm(steady, steady | {"p99_ms": p99}, 4, 30, 0, 0) for p99 in p99s]
    figures = swap_page.SwapFigures(
        "a machine", "a command", False, "a model", 1.0, {"delta": calm}, [Memory(10, 1, 1, 1), Memory(500, 1, 1, 1)]
    )
    demand, seen_met, seen = swap_page.verdicts(figures)[0]
    assert (seen_met, "not quiet" in seen) == (met, met is None), demand


@pytest.mark.parametrize(
    ("delays", "met"),
    [
        ([1.0] * 10 + [3.0] * 9 + [5.0], [True, True, True]),
        ([3.1] * 20, [False, True, True]),
        ([1.0] * 18 + [5.1] * 2, [True, False, True]),
        ([1.0] * 18 + [float("inf")] * 2, [True, False, True]),
    ],
)
def test_verdicts_on_freshness_follow_the_numbers(delays: list[float], met: list[bool], tmp_path: Path) -> None:
    feedback = LATENCY | {"p99_ms": 1.0, "errors": 0}
    seen = Freshness(20, 20, 0, np.array(delays), 30, 60.0, feedback)
    figures = fresh_page.FreshFigures("a machine", "a command", False, 1_000.0, "a world", {}, seen)
    assert [each for _, each, _ in fresh_page.verdicts(figures)] == met
    assert fresh_page.render(figures, tmp_path).count("**missed**") == met.count(False)


def written(work: Path, name: str, demands: int) -> str:
    """Return the page of a quick run, after its figures have been looked at."""
    figures = json.loads((work / "figures-quick.json").read_text())
    assert len(figures["verdicts"]) == demands
    page = (work / f"{name}.md").read_text()
    assert all(verdict["seen"] in page for verdict in figures["verdicts"])
    assert "these numbers claim nothing" in page
    assert f"`winnow bench {figures['command'].split()[2]} --quick" in page
    return page


@needs_wrk
def test_a_quick_run_of_serve_writes_its_page(work: Path) -> None:
    command.serve(quick=True, peers="none", work=work)
    page = written(work, "serving", 5)
    assert "100 items" in page
    assert (work / "serving-costs.svg").exists()


@needs_wrk
def test_a_quick_run_of_ingest_writes_its_page(work: Path) -> None:
    command.ingest(quick=True, work=work)
    written(work, "ingest", 3)


@needs_wrk
def test_a_quick_run_of_swap_writes_its_page(work: Path) -> None:
    command.swap(quick=True, work=work)
    page = written(work, "swap", 4)
    assert "0 errors, 0 unnamed" in page


def test_a_quick_run_of_fresh_writes_its_page(work: Path) -> None:
    command.fresh(quick=True, set_=["WINNOW_PUBLISH_EVERY_S=0.5"], work=work)
    page = written(work, "freshness", 3)
    assert "1,000 of 1,000" in page
    assert "WINNOW_PUBLISH_EVERY_S=0.5" in page


def test_a_quick_run_of_grow_writes_its_page(work: Path) -> None:
    command.grow(quick=True, work=work)
    page = written(work, "growth", 2)
    assert "10,000 x 2,000" in page
    assert (work / "growth.svg").exists()
