"""The report as one HTML page that asks no host for anything: style and charts are in it, text is escaped."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

import numpy as np

from winnow.report.facts import Facts
from winnow.report.hours import HourOfLog
from winnow.report.style import STYLE
from winnow.report.svg import Bar, Line, bar_chart, line_chart, number, percent
from winnow.report.versions import MOST_SHOWN

_SECTIONS = ("Quality", "Freshness", "Noise audit", "Versions", "Faults")


def render(facts: Facts) -> str:
    """Return the page."""
    bodies = [_quality(facts), _freshness(facts), _noise(facts), _versions(facts), _faults(facts)]
    sections = "".join(
        f'<section id="{_anchor(name)}"><h2>{escape(name)}</h2>{body}</section>'
        for name, body in zip(_SECTIONS, bodies, strict=True)
    )
    contents = " ".join(f'<a href="#{_anchor(name)}">{escape(name)}</a>' for name in _SECTIONS)
    title = f"Winnow: the last {facts.since}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><header><h1>{escape(title)}</h1>"
        f"<p>{_when(facts.from_ms)} to {_when(facts.to_ms)} UTC, of {escape(str(facts.home))}</p>"
        f"<nav>{contents}</nav>{_tiles(facts)}</header><main>{sections}</main>{_searched(facts)}</body></html>\n"
    )


def _tiles(facts: Facts) -> str:
    events = sum(hour.events for hour in facts.hours)
    overall = facts.audits["flag"]["overall"]
    delays = _delays(facts.hours)
    champion = facts.versions.champion
    tiles = [
        ("events learned or scored", f"{events:,}"),
        ("AUC before learning, mean of hours", number(_mean(facts.hours, "auc"))),
        ("acknowledged to served, median", f"{number(float(np.median(delays)))} s" if len(delays) else "–"),
        ("watch-time labels that are wrong", percent(overall["noise_rate"]) if overall["rows"] else "–"),
        ("champion", champion.version + (" (pinned)" if champion.pinned else "") if champion else "none yet"),
    ]
    return (
        '<dl class="tiles">'
        + "".join(f"<div><dt>{escape(a)}</dt><dd>{escape(b)}</dd></div>" for a, b in tiles)
        + "</dl>"
    )


def _quality(facts: Facts) -> str:
    if not facts.hours:
        return _nothing("The label log holds nothing of this time: no event was learned.")
    labels = [_clock(hour.hour_ms) for hour in facts.hours]
    rows = [
        [_when(h.hour_ms), f"{h.events:,}", f"{h.positives:,}", number(h.auc), number(h.gauc), number(h.ece)]
        for h in facts.hours
    ]
    return (
        "<p>Every event is scored before it is learned, so this is about what the model did not know. "
        "GAUC is over one user's exposures between two checkpoints; events over a cap are left out.</p>"
        + line_chart(
            "AUC and GAUC by hour",
            labels,
            [Line("AUC", [h.auc for h in facts.hours]), Line("GAUC", [h.gauc for h in facts.hours])],
        )
        + line_chart("Calibration error (ECE) by hour", labels, [Line("ECE", [h.ece for h in facts.hours])], zero=True)
        + line_chart("Events by hour", labels, [Line("events", [float(h.events) for h in facts.hours])], zero=True)
        + _table(["hour (UTC)", "events", "positives", "AUC", "GAUC", "ECE"], rows)
    )


def _freshness(facts: Facts) -> str:
    delays = _delays(facts.hours)
    waiting = sum(hour.unserved for hour in facts.hours)
    if not len(delays):
        return _nothing(f"No champion has learned any event of this time yet; {waiting:,} wait.")
    labels = [_clock(hour.hour_ms) for hour in facts.hours]
    shares = {"median": 50, "95 %": 95, "99 %": 99}
    by_hour = [
        Line(name, [float(np.percentile(h.delays_s, at)) if len(h.delays_s) else np.nan for h in facts.hours])
        for name, at in shares.items()
    ]
    said = ", ".join(f"{name} {number(float(np.percentile(delays, at)))} s" for name, at in shares.items())
    return (
        f"<p>From the acknowledgement of an event to the promotion of the first version that has learned it: {said}. "
        f"{waiting:,} events are in no champion yet.</p>"
        + line_chart("Seconds from acknowledged to served, by hour", labels, by_hour, zero=True)
    )


def _noise(facts: Facts) -> str:
    overall = facts.audits["flag"]["overall"]
    if not overall["rows"]:
        return _nothing("There are no views to audit.")
    charts = "".join(
        bar_chart(
            f"Wrong watch-time labels by {by if by != 'flag' else 'kind of watch'}",
            [
                Bar(row["group"], row["noise_rate"], row["noise_low"], row["noise_high"], f"of {row['rows']:,}")
                for row in audit["rows"][:30]
            ],
        )
        for by, audit in facts.audits.items()
    )
    return f"<p>{escape(facts.audits['flag']['definition'])}</p>{charts}" + "".join(
        _suspects(kind, told) for kind, told in facts.suspects.items()
    )


def _suspects(kind: str, told: dict[str, Any]) -> str:
    head = f"<h3>Suspects among {told['judged']:,} {escape(kind)}s</h3>"
    if not told["rows"]:
        return head + "<p>None: no watches are apart from relevance beyond chance.</p>"
    rows = [
        [
            r["id"],
            f"{r['views']:,}",
            number(r["watch_says"]),
            number(r["relevance"]),
            f"{r['z']:+.1f}",
            "; ".join(r["why"]),
        ]
        for r in told["rows"]
    ]
    return head + _table([kind, "views", "watch says", "relevance", "z", "why"], rows)


def _versions(facts: Facts) -> str:
    versions = facts.versions
    if not versions.kept and not versions.promotions and not versions.by_hand:
        return _nothing("No version was made in this time.")
    verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in versions.verdicts().items()) or "none"
    told = [line for line in versions.kept if line.manifest.verdict != "PROMOTE" or line.state != "candidate"]
    rows = [
        [
            line.version,
            line.state,
            _when(line.manifest.created_ms),
            f"{line.manifest.trained_through.events:,}",
            line.manifest.verdict,
            "; ".join(line.manifest.reasons),
        ]
        for line in told[:MOST_SHOWN]
    ]
    changes = [
        [_when(c.changed_ms), c.act or "–", c.version, c.replaced or "–", c.who or "–", c.why]
        for c in versions.by_hand[:MOST_SHOWN]
    ]
    return (
        f"<p>{versions.promotions:,} promotions and {versions.rollbacks:,} automatic rollbacks. "
        f"Of the versions of this time that are still kept: {escape(verdicts)}.</p>"
        + (_table(["version", "state", "made", "events", "verdict", "reasons"], rows) if rows else "")
        + (
            "<h3>Changes of the champion that no gate made</h3>"
            + _table(["when", "act", "version", "in place of", "who", "why"], changes)
            if changes
            else ""
        )
    )


def _faults(facts: Facts) -> str:
    faults, hours = facts.faults, facts.hours
    quarantined = [line.version for line in facts.versions.kept if line.state == "quarantined"]
    rows = [
        ["versions in quarantine, of this time", f"{len(quarantined):,}", ", ".join(quarantined[:20])],
        ["damaged checkpoints", f"{len(faults.damaged_checkpoints):,}", ", ".join(faults.damaged_checkpoints[:20])],
        ["automatic rollbacks", f"{facts.versions.rollbacks:,}", ""],
        ["damaged files of the label log", f"{facts.searched['damaged']:,}", ""],
        ["events over a cap", f"{sum(h.capped for h in hours):,}", "scored, never learned"],
        ["events over seven days late", f"{sum(h.late for h in hours):,}", ""],
        ["events from the future", f"{sum(h.future for h in hours):,}", "over five minutes ahead"],
    ]
    if faults.dead_letters is None:
        rows.append(["dead letters", "–", faults.why_not])
    elif not faults.dead_letters:
        rows.append(["dead letters kept", "0", ""])
    else:
        rows += [
            [f"dead letters kept: {reason}", f"{letters:,}", f"{events:,} events"]
            for reason, (letters, events) in faults.dead_letters.items()
        ]
    return _table(["fault", "count", ""], rows)


def _searched(facts: Facts) -> str:
    told = facts.searched
    stopped = " It stopped at its bound on rows: what is older is not in here." if told["stopped"] else ""
    return (
        f"<footer><p>{told['rows']:,} rows of {told['files']:,} files of the label log were read.{stopped}</p></footer>"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _nothing(why: str) -> str:
    return f'<p class="nothing">{escape(why)}</p>'


def _delays(hours: list[HourOfLog]) -> Any:
    return np.concatenate([hour.delays_s for hour in hours]) if hours else np.zeros(0)


def _mean(hours: list[HourOfLog], name: str) -> float:
    known = [value for value in (getattr(hour, name) for hour in hours) if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


def _when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _clock(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%d. %H:%M")
