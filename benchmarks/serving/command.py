"""`winnow bench serve|ingest|swap|fresh`: run, write figures as JSON and the page. Heavy parts load when they run."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.serving.written import command_of, write_page
from contract.errors import SetupError

WORK = Path(".winnow/bench")
DIM = 64
VERSIONS = 4  # of each kind, promoted in turn

Quick = Annotated[bool, typer.Option(help="A smoke run in seconds; its numbers claim nothing.")]
Rounds = Annotated[int, typer.Option(min=1, help="Counted rounds; claims need 5.")]
Work = Annotated[Path, typer.Option(help="Where state, bodies and figures are written.")]
Report = Annotated[Path | None, typer.Option(help="Page to write; by default in docs/benchmarks, quick: in --work.")]
Seconds = Annotated[float | None, typer.Option(min=1, help="Length of one measurement.")]
Users = Annotated[int, typer.Option(min=100, help="Users of the model.")]
Items = Annotated[int, typer.Option(min=2_000, help="Items of the model; a request has up to 1,000 of them.")]


def serve(
    quick: Quick = False,
    rounds: Rounds = 5,
    seconds: Seconds = None,
    peers: Annotated[
        str, typer.Option(help="Peers to measure, installed by pip if need be: all, none, or names like bentoml,ray.")
    ] = "all",
    backbone: Annotated[str, typer.Option(help="Network of the model.")] = "gmf",
    users: Users = 100_000,
    items: Items = 20_000,
    work: Work = WORK / "serving",
    report: Report = None,
) -> None:
    """Measure scores a second over the least they can cost, latency at half of that, and the same of peers."""
    command = command_of(serve, locals())
    from benchmarks.serving.against import against
    from benchmarks.serving.bundle import write_bundle
    from benchmarks.serving.machine import about
    from benchmarks.serving.peers.ranker import Ranker
    from benchmarks.serving.processes import winnow_service
    from benchmarks.serving.report.scoring import ScoringFigures, render, verdicts
    from benchmarks.serving.scoring import Case, capacity, constant_server, latencies
    from benchmarks.serving.wrk import wrk_binary

    wrk_binary()
    rounds, users, items = (1, 2_000, 2_000) if quick else (rounds, users, items)
    seconds = seconds or (1.0 if quick else 4.0)
    sizes = (100,) if quick else (100, 500, 1_000)
    world, versions = _model(work, users, items, 1, backbone=backbone)
    bundle = work / "bundle"
    write_bundle(versions.registry.path(versions.registry.versions()[-1]), world, bundle)
    with winnow_service(work / "home") as service:
        with constant_server(work) as constant:
            ranker = Ranker(bundle)
            forms = ("items",) if quick else ("items", "columns")
            cases = [Case(size, form) for size in sizes for form in forms]
            found = {one.name: capacity(one, world, ranker, service, constant, work, rounds, seconds) for one in cases}
        half = found["100 items"].service.median / 2
        slow = latencies(world, service, half, work, rounds, 2 * seconds)
        ends = (sizes[0], sizes[-1])
        matches = [
            against(one, world, service, bundle, WORK / "peers", work, sorted(set(ends)), rounds, seconds)
            for one in _peers(peers)
        ]
    figures = ScoringFigures(about(), command, quick, _said(backbone, users, items), found, slow, matches)
    write_page("serving", work, report, quick, asdict(figures), lambda at: render(figures, at), verdicts(figures))


def ingest(
    quick: Quick = False,
    rounds: Rounds = 5,
    seconds: Seconds = None,
    events: Annotated[int, typer.Option(min=1_000, help="Events that the trainer learns in a round.")] = 400_000,
    work: Work = WORK / "ingest",
    report: Report = None,
) -> None:
    """Measure events a second from HTTP to disk, in batches and one by one, and from the log to learned."""
    command = command_of(ingest, locals())
    from benchmarks.serving.ingest import BATCH, accepted, learned, services
    from benchmarks.serving.machine import about
    from benchmarks.serving.report.ingest import IngestFigures, render, verdicts
    from benchmarks.serving.world import World
    from benchmarks.serving.wrk import wrk_binary

    wrk_binary()
    rounds, events = (1, 5_120) if quick else (rounds, events)
    seconds = seconds or (1.0 if quick else 5.0)
    world = World.of(1_000, 1_000) if quick else World.of(100_000, 20_000)
    bodies = 20 if quick else 400
    with services(_fresh(work / "one"), 1) as one:
        batched = accepted(work / "one", one, world, bodies * BATCH, BATCH, work, rounds, seconds)
    with services(_fresh(work / "two"), 2) as two:
        single = accepted(work / "two", two, world, 20 * bodies, 1, work, rounds, seconds)
    home = _fresh(work / "log")
    with services(home, 1) as (service,):
        drained = learned(home, service, world, events, rounds)
    figures = IngestFigures(about(), command, quick, batched, single, drained)
    write_page("ingest", work, report, quick, asdict(figures), lambda _: render(figures), verdicts(figures))


def swap(
    quick: Quick = False,
    rounds: Rounds = 5,
    seconds: Seconds = None,
    swaps: Annotated[int, typer.Option(min=1, help="Swaps after which memory is compared.")] = 500,
    every_s: Annotated[float, typer.Option(min=0.05, help="Seconds between two swaps under load.")] = 1.0,
    rate: Annotated[float | None, typer.Option(min=1, help="Requests a second; by default half of capacity.")] = None,
    backbone: Annotated[str, typer.Option(help="Network of the model.")] = "gmf",
    users: Users = 100_000,
    items: Items = 20_000,
    work: Work = WORK / "swap",
    report: Report = None,
) -> None:
    """Measure latency while versions change once a second, and memory after hundreds of changes."""
    command = command_of(swap, locals())
    from benchmarks.serving.machine import about
    from benchmarks.serving.processes import winnow_service
    from benchmarks.serving.report.swap import SwapFigures, render, verdicts
    from benchmarks.serving.scoring import CONNECTIONS, SCORE
    from benchmarks.serving.swap import Calm, memory_after, under_load
    from benchmarks.serving.world import write_bodies
    from benchmarks.serving.wrk import closed_loop, wrk_binary

    wrk_binary()
    rounds, users, items = (1, 2_000, 2_000) if quick else (rounds, users, items)
    swaps, every_s = (12, 0.3) if quick else (swaps, every_s)
    seconds = seconds or (1.0 if quick else 30.0)
    world, versions = _model(work, users, items, VERSIONS, backbone=backbone)
    kinds = {"whole": versions.registry.versions(), "delta": versions.deltas(VERSIONS)}
    with winnow_service(work / "home") as service:
        bodies = write_bodies(world.requests(100, 500, seed=2), work / "capacity.txt")
        rates = [closed_loop(service.url + SCORE, bodies, 1 if quick else 4, CONNECTIONS).rate for _ in range(2)]
        offered = rate or rates[-1] / 2
        calm: dict[str, list[Calm]] = {kind: [] for kind in kinds}
        for _ in range(rounds):
            for kind, made in kinds.items():
                calm[kind].append(under_load(world, service, versions.registry, made, offered, work, seconds, every_s))
    with winnow_service(work / "home") as service:
        memory = memory_after(service, versions.registry, kinds["whole"], world, swaps, max(1, swaps // 20))
    figures = SwapFigures(about(), command, quick, _said(backbone, users, items), every_s, calm, memory)
    write_page("swap", work, report, quick, asdict(figures), lambda at: render(figures, at), verdicts(figures))


def fresh(
    quick: Quick = False,
    rate: Annotated[float, typer.Option(min=1, help="Events offered a second.")] = 1_000.0,
    seconds: Seconds = None,
    users: Users = 100_000,
    items: Items = 20_000,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Setting of the loop, e.g. WINNOW_PUBLISH_EVERY_S=1; repeatable.")
    ] = None,
    work: Work = WORK / "freshness",
    report: Report = None,
) -> None:
    """Measure how long an acknowledged event takes to be in a served version, in the whole loop."""
    command = command_of(fresh, locals())
    from benchmarks.serving.fresh import freshness, make_known
    from benchmarks.serving.machine import about
    from benchmarks.serving.processes import winnow_loop
    from benchmarks.serving.report.fresh import FreshFigures, render, verdicts
    from benchmarks.serving.world import World

    users, items, rate = (2_000, 2_000, 200.0) if quick else (users, items, rate)
    seconds = seconds or (5.0 if quick else 60.0)
    settings = dict(_pair(text) for text in set_ or [])
    needed = {"WINNOW_TRAINER_METRICS_PORT": "0", "WINNOW_LOG_JSON": "true"}
    world = World.of(users, items)
    with winnow_loop(_fresh(work / "home"), **needed, **settings) as loop:
        make_known(world, loop)
        seen = freshness(world, loop, rate, seconds, work)
    said = f"{users:,} users and {items:,} items"
    figures = FreshFigures(about(), command, quick, rate, said, settings, seen)
    delays = {f"p{100 * share:g}_s": seen.quantile_s(share) for share in (0.5, 0.9, 0.95, 0.99, 1.0)}
    facts = asdict(figures) | {"seen": {**asdict(seen), "delays_s": delays}}
    write_page("freshness", work, report, quick, facts, lambda at: render(figures, at), verdicts(figures))


def _model(work: Path, users: int, items: int, count: int, backbone: str) -> Any:
    """Return a world and the versions made of it in a new home."""
    from benchmarks.serving.versions import Versions
    from benchmarks.serving.world import World

    world = World.of(users, items)
    versions = Versions(_fresh(work / "home"), world, dim=DIM, backbone=backbone)
    versions.whole(count)
    return world, versions


def _fresh(home: Path) -> Path:
    import shutil

    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    return home


def grow(
    quick: Quick = False,
    largest: Annotated[
        int, typer.Option(min=10_000, help="Users of the largest tables; items are a tenth.")
    ] = 10_000_000,
    dim: Annotated[int, typer.Option(min=1, help="Width of the vectors.")] = DIM,
    seconds: Seconds = None,
    work: Work = WORK / "growth",
    report: Report = None,
) -> None:
    """Measure a step, a whole version, a delta, a swap and a score as tables grow from 10 k rows tenfold each time."""
    command = command_of(grow, locals())
    from benchmarks.serving.growth import grow as measure
    from benchmarks.serving.machine import about
    from benchmarks.serving.report.growth import GrowthFigures, render, verdicts

    sizes = [10_000]
    while not quick and sizes[-1] < largest:
        sizes.append(min(10 * sizes[-1], largest))
    seconds = seconds or (1.0 if quick else 5.0)
    work.mkdir(parents=True, exist_ok=True)
    figures = GrowthFigures(about(), command, quick, dim, [measure(size, dim, work, seconds) for size in sizes])
    write_page("growth", work, report, quick, asdict(figures), lambda at: render(figures, at), verdicts(figures))


def _peers(names: str) -> Sequence[Any]:
    from benchmarks.serving.peers.peer import PEERS

    known = {peer.name: peer for peer in PEERS}
    wanted = list(known) if names == "all" else [] if names == "none" else names.split(",")
    if strange := [name for name in wanted if name not in known]:
        raise SetupError(f"--peers {', '.join(strange)}: no such peer; there are {', '.join(known)}")
    return [known[name] for name in wanted]


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.startswith("WINNOW_"):
        raise SetupError(f"--set {text!r}: write it as WINNOW_NAME=value; docs/configuration.md lists the names")
    return name, value


def _said(backbone: str, users: int, items: int) -> str:
    return f"{backbone}, {users:,} users x {items:,} items x {DIM}"
