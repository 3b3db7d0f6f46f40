"""The demo's report, in words and small tables."""

import math
from dataclasses import asdict

import numpy as np
from rich.console import Console
from rich.table import Table

from contract.api import Reasons, ScoreResponse
from winnow.demo import DemoReport


def print_report(console: Console, report: DemoReport) -> None:
    """Print what the demo measured."""
    table = Table(title="Winnow demo", show_header=False, box=None, title_justify="left", pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for name, text in _lines(report):
        table.add_row(name, text)
    console.print(table)
    console.print(_ranking(report.example))


def as_figures(report: DemoReport) -> dict[str, object]:
    """Return the figures for a machine to read; nan and infinity as null."""
    served = report.delays_s[np.isfinite(report.delays_s)]
    p50, p95 = np.percentile(served, [50, 95]).tolist() if len(served) else (None, None)
    return {
        "sent": report.played.sent,
        "acknowledged": report.played.acknowledged,
        "failed_requests": report.played.failed_requests,
        "retries": report.played.retries,
        "restarts": report.restarts,
        "play_seconds": report.played.seconds,
        "stored_twice": report.stored_twice,
        "account": asdict(report.checkpoint.account),
        "quality": report.checkpoint.quality,
        "versions": report.versions,
        "promoted": report.promoted,
        "rejected": report.rejected,
        "served_while_playing": report.served_while_playing,
        "acknowledged_to_served_s": {"p50": p50, "p95": p95, "not_served": int(np.isinf(report.delays_s).sum())},
    }


def _lines(report: DemoReport) -> list[tuple[str, str]]:
    played, account, quality = report.played, report.checkpoint.account, report.checkpoint.quality
    directions = ", ".join(f"{name} {count}" for name, count in quality["directions"].items())
    lines = [
        ("events", f"{played.sent:,} sent, {played.acknowledged:,} acknowledged, {account.trained:,} trained "
                   f"({account.held_out:,} of them kept out of learning, for the gate)"),
        ("account", _account(report)),
        ("pace", f"{played.acknowledged / played.seconds:,.0f} events/s over HTTP in {played.seconds:.1f} s; "
                 f"{played.failed_requests} failed requests, {played.retries} retries, {report.restarts} restarts"),
        ("versions", f"{report.versions} published, {report.promoted} promoted, {report.rejected} rejected; "
                     f"{report.served_while_playing} served while events flowed"),
        ("explicit positives", f"progressive AUC {_figure(quality['auc'])}, GAUC {_figure(quality['gauc'])} "
                               f"on {quality['positives']:,} positives"),
        ("long views", f"progressive AUC {_figure(quality['long_view_auc'])}, "
                       f"GAUC {_figure(quality['long_view_gauc'])}"),
        ("acknowledged to served", _delays(report.delays_s)),
        ("Inverse Dual Loss", f"mean target {quality['idl_target_mean']:.2g} against a prior of {quality['prior']:.4f} "
                              "(a diagnostic: as published it collapses to the majority class)"),
        ("Inverse Gradient", f"{directions} (computed and logged; the default does not act on them)"),
    ]  # fmt: skip
    if report.read:
        lines.insert(0, ("log file", _read(report)))
    return lines


def _account(report: DemoReport) -> str:
    account, played = report.checkpoint.account, report.played
    sides = f"trained {account.trained:,} + duplicates {account.duplicates:,} + dead letters {account.dead:,}"
    if report.stored_twice == 0:
        return f"acknowledged {played.acknowledged:,} = {sides}: exact"
    if report.stored_twice > 0 and played.retries:
        return f"acknowledged {played.acknowledged:,} + stored again by retries {report.stored_twice:,} = {sides}"
    return f"acknowledged {played.acknowledged:,} but {sides}: OFF BY {-report.stored_twice:,}"


def _read(report: DemoReport) -> str:
    assert report.read is not None
    found = {**report.read.refused, **report.read.noted}
    return f"{report.read.rows:,} rows; " + (", ".join(f"{what}: {n:,}" for what, n in found.items()) or "all clean")


def _delays(delays_s: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    served = delays_s[np.isfinite(delays_s)]
    if not len(served):
        return "nothing was served yet"
    p50, p95 = np.percentile(served, [50, 95])
    missing = len(delays_s) - len(served)
    return f"p50 {p50:.1f} s, p95 {p95:.1f} s" + (f"; {missing:,} not served yet" if missing else "")


def _ranking(example: ScoreResponse) -> Table:
    table = Table(title=f"Ten candidates ranked by version {example.model.version}", title_justify="left")
    for name in ("item", "score", "label", "confidence"):
        table.add_column(name, justify="right")
    table.add_column("why")
    for item in example.items or []:
        why = _why(item.reasons, item.known)
        table.add_row(item.item_id, f"{item.score:.4f}", str(item.label), f"{item.confidence:.3f}", why)
    return table


def _why(reasons: Reasons | None, known: bool) -> str:
    """Say the parts of a logit in words, the strongest first."""
    if reasons is None:
        return ""
    parts = [
        (reasons.user, "viewer likes readily", "viewer seldom likes"),
        (reasons.match, "fits this viewer's taste", "against this viewer's taste"),
    ]
    if known:
        parts.append((reasons.item, "item liked more than most", "item liked less than most"))
        parts.append((reasons.context, "shown where likes come readily", "shown where likes are rare"))
    else:
        parts.append((reasons.context, "new item of a kind liked more", "new item of a kind liked less"))
    said = [
        f"{more if value > 0 else less} ({value:+.2f})"
        for value, more, less in sorted(parts, key=lambda part: -abs(part[0]))
        if abs(value) >= 0.05
    ]
    return ", ".join(said) or ("nothing sets it apart yet" if known else "new item: what holds for everyone")


def _figure(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.4f}"
