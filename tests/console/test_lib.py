"""The console's pure functions, in the browser that runs them."""

import functools
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import service.console

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGES = Path(service.console.__file__).parent / "pages"
Run = Callable[[str, str, Any], Any]


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", "": "text/plain"}  # noqa: RUF012

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def files() -> Iterator[str]:
    """The URL of the console's files as they are, without a service."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(PAGES)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def blank(browser: "Browser", files: str) -> "Iterator[Page]":
    """One bare page for all, since nothing here leaves a trace; it may complain of nothing."""
    complaints: list[str] = []
    page = browser.new_page()
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{files}/vendor/uplot/VERSION")
    yield page
    page.close()
    assert complaints == []


@pytest.fixture
def run(blank: "Page") -> Run:
    """Evaluate an expression over a module `m` and a value `v`: run("format", "m.count(v)", 3)."""

    def evaluate(module: str, expression: str, value: Any) -> Any:
        return blank.evaluate(
            f"async (v) => {{ const m = await import('/lib/{module}.js'); return {expression}; }}", value
        )

    return evaluate


def tick(at_s: float, **told: object) -> dict[str, object]:
    """A tick of a service that is well and has taken 1,000 events a second."""
    well = {
        "at_ms": at_s * 1000,
        "acknowledged": at_s * 1000,
        "shed": 0,
        "unstored": 0,
        "version": "000042",
        "age_s": 2,
    }
    return {**well, "fallback": False, "log_up": True, "lag_entries": 3, "oldest_untrained_s": 0.7, **told}


def progress(at_s: float, **told: object) -> dict[str, object]:
    """What a trainer tells that keeps up."""
    well = {"at_ms": at_s * 1000, "trained": at_s * 990, "dead": 0, "acknowledged_ms": at_s * 1000 - 800}
    return {**well, "window_auc": 0.74, "window_positives": 300, **told}


def told(**other: object) -> dict[str, object]:
    """A minute and a half of a loop that is well, but for `other`."""
    well = {"status": "live", "why": "", "versions": []}
    return {**well, "ticks": [tick(at) for at in range(90)], "progress": [progress(at) for at in range(90)], **other}


def grown(**last: object) -> list[dict[str, object]]:
    return [*(tick(at) for at in range(89)), tick(89, **last)]


HELD = {"promoted": False, "verdict": "HOLD", "reasons": ["calibration"]}


@pytest.mark.parametrize(
    ("facts", "state", "word"),
    [
        (told(), "good", "Healthy"),
        (told(ticks=[], progress=[], status="connecting"), "wait", "Connecting"),
        (told(ticks=[], progress=[], status="lost", why="gone"), "bad", "No connection"),
        (told(status="lost", why="gone"), "bad", "Connection lost"),
        (told(ticks=grown(log_up=False)), "bad", "Log down"),
        (told(ticks=grown(unstored=7)), "bad", "Events not stored"),
        (told(ticks=grown(fallback=True, age_s=None)), "warn", "Prior answers"),
        (told(ticks=grown(oldest_untrained_s=42)), "warn", "Trainer behind: 42 s"),
        (told(ticks=grown(oldest_untrained_s=400)), "bad", "Trainer behind: 6 min 40 s"),
        (told(progress=[]), "warn", "Trainer not heard"),
        (told(progress=[progress(49)], ticks=grown(oldest_untrained_s=40)), "bad", "Trainer silent: 40 s"),
        (told(ticks=grown(shed=5)), "warn", "Shedding"),
        (told(ticks=grown(age_s=600), progress=[progress(88, acknowledged_ms=-511_000)]), "good", "Healthy"),
        (told(progress=[*(progress(at) for at in range(89)), progress(89, dead=2)]), "warn", "Dead letters"),
        (told(versions=[HELD, HELD, HELD]), "warn", "No version promoted"),
        (told(versions=[HELD, HELD, {**HELD, "promoted": True}]), "good", "Healthy"),
        (told(progress=[progress(89, window_auc=0.45)]), "warn", "Window AUC 0.450"),
        (told(ticks=[tick(at, acknowledged=0) for at in range(90)], progress=[]), "idle", "No events yet"),
        (told(ticks=[tick(at, acknowledged=5) for at in range(90)], progress=[progress(89)]), "idle", "Idle"),
    ],
)
def test_the_first_line_says_what_is_wrong(run: Run, facts: dict[str, object], state: str, word: str) -> None:
    found = run("health", "m.health(v)", facts)
    assert (found["state"], found["word"]) == (state, word)
    assert found["reason"]


def test_a_version_that_lacks_what_the_trainer_has_learned_is_stale(run: Run) -> None:
    late = [*(tick(at) for at in range(900, 989)), tick(989, age_s=600)]
    found = run("health", "m.health(v)", told(ticks=late, progress=[progress(at) for at in range(900, 990)]))
    assert found["word"] == "Model stale: 10 min"


def test_what_is_worst_comes_first_and_the_rest_after_it(run: Run) -> None:
    found = run("health", "m.health(v)", told(ticks=grown(fallback=True, shed=3, log_up=False, unstored=1)))
    assert [found["word"], *(each["word"] for each in found["more"])] == [
        "Log down",
        "Events not stored",
        "Prior answers",
        "Shedding",
    ]


def test_a_rate_is_the_growth_of_the_last_seconds(run: Run) -> None:
    ring = [{"at_ms": at * 1000, "n": at * 100} for at in range(20)]
    assert run("rates", "m.rates(v, (each) => each.n).map((each) => each.value)", ring) == [None] + [100] * 19


def test_a_count_that_starts_anew_gives_no_negative_rate(run: Run) -> None:
    ring = [{"at_ms": at * 1000, "n": n} for at, n in enumerate([500, 600, 700, 0, 100, 200])]
    assert run("rates", "m.rates(v, (each) => each.n).map((each) => each.value)", ring) == [
        None,
        100,
        100,
        None,
        100,
        100,
    ]
    assert run("rates", "m.growth(v, (each) => each.n, 60000, 5000)", ring) == 400


def test_a_silence_is_a_gap_and_not_a_slow_rate(run: Run) -> None:
    ring = [{"at_ms": at * 1000, "n": at * 100} for at in (0, 1, 2, 30, 31)]
    found = run("rates", "m.rates(v, (each) => each.n).map((each) => each.value)", ring)
    assert found == [None, 100, 100, None, 100]
    lists = [[{"at": row["at_ms"], "value": row["n"]} for row in ring]]
    xs, ys = run("rates", "m.aligned(v)", lists)
    assert (len(xs), xs[-1], ys[:3], ys[10], ys[-1]) == (32, 31_000, [0, 100, 200], None, 3100)


def test_rings_that_tick_apart_share_an_axis(run: Run) -> None:
    lists = [
        [{"at": at * 1000, "value": 1} for at in range(10)],
        [{"at": at * 1000 + 400, "value": 2} for at in range(10)],
    ]
    _, one, other = run("rates", "m.aligned(v)", lists)
    assert one == [1] * 10
    assert other == [2] * 10


def test_charts_side_by_side_share_the_ends_of_their_axis(run: Run) -> None:
    late = [[{"at": 8_000, "value": 1}, {"at": 9_000, "value": 2}]]
    xs, ys = run("rates", "m.aligned(v, {fromMs: 5000, toMs: 10000})", late)
    assert xs == [5_000, 6_000, 7_000, 8_000, 9_000, 10_000]
    assert ys == [None, None, None, 1, 2, 2]
    assert run("rates", "m.aligned([[]], {fromMs: 5000, toMs: 6000})", None) == [[5_000, 6_000], [None, None]]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("m.count(1234567)", "1,234,567"),
        ("m.count(null)", "–"),
        ("m.count(NaN)", "–"),
        ("m.short(871234)", "871 k"),
        ("m.short(0.25)", "0.25"),
        ("m.ratio(0.7371)", "0.737"),
        ("m.probability(0.00862029)", "0.0086"),
        ("m.probability(0.9998)", "0.9998"),
        ("m.probability(0)", "0"),
        ("m.percent(0.0182, 2)", "1.82 %"),
        ("m.signed(-1.564)", "−1.56"),
        ("m.seconds(0.0004)", "0.4 ms"),
        ("m.seconds(0.84)", "840 ms"),
        ("m.seconds(9.96)", "10 s"),
        ("m.seconds(185)", "3 min 05 s"),
        ("m.seconds(3599.7)", "1 h"),
        ("m.seconds(7800)", "2 h 10 min"),
        ("m.seconds(90000)", "1 d 1 h"),
        ("m.bytes(1536)", "1.5 KiB"),
        ("m.ago(1000, 13400)", "12 s ago"),
        ("m.ago(null)", "–"),
    ],
)
def test_figures_are_written_as_people_read_them(run: Run, call: str, text: str) -> None:
    assert run("format", call, None) == text


def test_events_are_read_out_of_a_stream_that_comes_in_pieces(run: Run) -> None:
    stream = 'event: hello\ndata: {"ticks":[]}\n\n: still here\n\nevent: tick\r\ndata: {"a":1}\r\n\r\nevent: tick\nda'
    pieces = [stream[:9], stream[9:40], stream[40:], 'ta: {"a":2}\n\n']
    found = run("live", "v.flatMap(m.parser())", pieces)
    assert [(each["event"], each["data"]) for each in found] == [
        ("hello", '{"ticks":[]}'),
        ("tick", '{"a":1}'),
        ("tick", '{"a":2}'),
    ]


def test_a_ring_forgets_its_oldest(run: Run) -> None:
    kept = (
        "(() => { const ring = []; for (let n = 0; n < v; n += 1) m.keep(ring, n); return [ring.length, ring[0]]; })()"
    )
    assert run("live", kept, 2000) == [900, 1100]


def test_shares_of_directions_are_of_one_group_or_of_all(run: Run) -> None:
    groups = {"swipe": {"direct": 3, "keep": 1, "inverse": 0}, "loop": {"direct": 0, "keep": 0, "inverse": 4}}
    ring = [{"at_ms": 60_000, "groups": groups}, {"at_ms": 75_000, "groups": {}}, {"at_ms": 81_000, "groups": groups}]
    assert run("shares", "m.binned(v, 'all')", ring) == [
        [60_000, 70_000, 80_000],
        [0.375, None, 0.375],
        [0.125, None, 0.125],
        [0.5, None, 0.5],
    ]
    assert run("shares", "m.binned(v, 'swipe')", ring)[1] == [0.75, None, 0.75]


def test_a_second_ranking_says_how_far_each_item_moves(run: Run) -> None:
    one, other = [{"item_id": each} for each in "abcd"], [{"item_id": each} for each in "cab"]
    found = run("ranks", "m.beside(v[0], v[1]).map((each) => [each.rank, each.otherRank, each.moved])", [one, other])
    assert found == [[1, 2, -1], [2, 3, -1], [3, 1, 2], [4, None, None]]
    assert run("ranks", "m.pasted(v)", "v1, v2\nv1;v3 ") == ["v1", "v2", "v3"]


def test_rows_without_a_value_come_last_in_both_directions(run: Run) -> None:
    sort = "[true, false].map((down) => m.arranged(v, {key: 'n', sort: true}, down).map((row) => row.n))"
    assert run("table", sort, [{"n": 2}, {"n": None}, {"n": 10}]) == [[10, 2, None], [2, 10, None]]


def test_a_table_sorts_by_keyboard_and_tells_so(blank: "Page", run: Run) -> None:
    column = "{key: 'n', label: 'N', numeric: true, sort: true}"
    show = f"document.body.replaceChildren(m.table({{caption: 'Figures', columns: [{column}], rows: v}}))"
    run("table", show, [{"n": 2}, {"n": 10}, {"n": 3}])
    blank.get_by_role("button", name="N").press("Enter")
    assert blank.get_by_role("columnheader", name="N").get_attribute("aria-sort") == "descending"
    assert blank.locator("tbody td").all_inner_texts() == ["10", "3", "2"]


def test_text_from_outside_is_never_read_as_markup(blank: "Page", run: Run) -> None:
    run("dom", "document.body.replaceChildren(m.h('p', {title: v}, v))", "<img src=x onerror=alert(1)>")
    assert blank.locator("img").count() == 0
    assert blank.locator("p").inner_text() == "<img src=x onerror=alert(1)>"


def test_a_hash_names_page_and_parameters(run: Run) -> None:
    read = "(() => { const {page, params} = m.readHash(v, {loop: 1, score: 1}); return [page, [...params]]; })()"
    assert run("route", read, "#/score?user=u%201") == ["score", [["user", "u 1"]]]
    assert run("route", read, "#/constructor") == ["loop", []]
    assert run("route", "m.writeHash('score', v)", {"user": "u 1", "items": ""}) == "#/score?user=u+1"
