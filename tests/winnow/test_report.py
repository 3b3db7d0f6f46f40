"""The report of a real home: its figures are those of the rows, and it asks no other host for anything."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from contract.dead_letters import DeadLetter, DeadLetters, Reason
from contract.event_log import EventLog
from contract.registry import Registry
from tests.labelled import label, stored_rows
from trainer.metrics_math import auc, ece
from winnow.cli import app
from winnow.embedded_log import EmbeddedLog
from winnow.report.facts import Facts, gather
from winnow.report.page import render
from winnow.report.served import Served
from winnow.report.svg import Bar, Line, bar_chart, line_chart


@pytest.fixture(scope="module")
def reported(private_log: EmbeddedLog, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home of four bursts, with a dead letter, a quarantined version and a damaged checkpoint."""
    home = tmp_path_factory.mktemp("reported")
    label(home, private_log.url, publish=True)
    DeadLetters(EventLog(private_log.url)).put(DeadLetter("3/1-0", Reason.UNSOUND, "<script>", 7, b"WNW1"))
    registry = Registry(home / "registry")
    champion = registry.champion()
    assert champion is not None
    registry.quarantine(next(one for one in registry.versions() if one != champion.version))
    (home / "checkpoints" / "00000009-ff.damaged").touch()
    return home, private_log.url


@pytest.fixture(scope="module")
def facts(reported: tuple[Path, str]) -> Facts:
    home, url = reported
    return gather(home, home / "registry", url, "24h", 24.0)


def test_quality_is_that_of_the_rows_from_before_learning(facts: Facts, reported: tuple[Path, str]) -> None:
    rows = stored_rows(reported[0])
    assert sum(hour.events for hour in facts.hours) == len(rows)
    for hour in facts.hours:
        own = rows[rows["acknowledged_ms"] // 3_600_000 == hour.hour_ms // 3_600_000]
        free = own[~own["capped"]]
        positive = (free["label"] == "POSITIVE").to_numpy()
        assert hour.auc == auc(free["logit"].to_numpy(), positive)
        assert hour.ece == pytest.approx(ece(free["score"].to_numpy(), positive))
        assert (hour.capped, hour.positives) == (own["capped"].sum(), positive.sum())
        assert 0.0 < hour.gauc < 1.0


def test_freshness_is_from_acknowledged_to_the_first_version_that_learned_it(
    facts: Facts, reported: tuple[Path, str]
) -> None:
    changes = [
        (Registry(reported[0] / "registry").manifest(change.version).trained_through.acknowledged_ms, change)
        for change in Registry(reported[0] / "registry").history()
    ]
    expected = []
    for acknowledged in stored_rows(reported[0])["acknowledged_ms"]:
        served = [change.changed_ms for through, change in changes if through > acknowledged]
        expected.append((served[0] - acknowledged) / 1000 if served else np.inf)
    delays = np.concatenate([hour.delays_s for hour in facts.hours])
    assert np.sort(delays).tolist() == np.sort(np.array(expected)[np.isfinite(expected)]).tolist()
    assert sum(hour.unserved for hour in facts.hours) == np.isinf(expected).sum()
    assert len(delays) > 0


def test_what_no_champion_has_learned_is_not_served() -> None:
    served = Served(np.array([10, 20]), np.array([15, 30]))
    assert served.delays_s(np.array([9, 10, 19, 20])).tolist() == [0.006, 0.02, 0.011, np.inf]


def test_versions_and_faults_are_told(facts: Facts) -> None:
    page = render(facts)
    assert facts.versions.promotions >= 1
    assert facts.faults.dead_letters == {"unsound": (1, 7)}
    assert facts.faults.damaged_checkpoints == ["00000009-ff.damaged"]
    (quarantined,) = [line for line in facts.versions.kept if line.state == "quarantined"]
    for text in (quarantined.version, "dead letters kept: unsound", "7 events", "00000009-ff.damaged"):
        assert text in page


class Tags(HTMLParser):
    """What a page is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.names: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += attrs
        if tag not in ("meta", "rect", "path", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in ("rect", "path", "circle") or self.open.pop() == tag


def test_the_page_stands_alone_and_is_well_formed(facts: Facts) -> None:
    page = render(facts)
    tags = Tags(page)
    assert tags.open == []
    assert not {"script", "link", "img", "iframe", "object", "image", "use"} & tags.names
    assert not re.search(r"https?://|@import|url\(|src=", page)
    assert all(value and value.startswith("#") for name, value in tags.attributes if name == "href")
    assert page.count("<svg") >= 5


def test_text_from_outside_is_escaped_in_charts_and_tables() -> None:
    hostile = "<script>alert(1)</script>"
    drawn = line_chart(hostile, [hostile, "b"], [Line(hostile, [1.0, np.nan]), Line("b", [2.0, 3.0])])
    drawn += bar_chart(hostile, [Bar(hostile, 0.5, 0.4, 0.6, hostile)])
    assert "<script" not in drawn
    assert "&lt;script&gt;" in drawn


def test_a_home_with_nothing_in_it_says_so(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    result = CliRunner().invoke(app, ["report", "--home", str(tmp_path), "--since", "90m", "--out", str(out)])
    assert result.exit_code == 0, result.output
    page = out.read_text(encoding="utf-8")
    for text in ("the last 90m", "no event was learned", "There are no views to audit", "No version was made"):
        assert text in page


def test_the_command_writes_the_page_of_a_home(reported: tuple[Path, str], tmp_path: Path) -> None:
    home, url = reported
    out = tmp_path / "report.html"
    given = ["report", "--home", str(home), "--redis-url", url, "--since", "7d", "--out", str(out)]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    assert f"{len(stored_rows(home)):,} events" in " ".join(result.output.split())
    assert "Wrong watch-time labels by duration" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize("since", ["24", "0h", "8d", "h", "-1h", "1.5h"])
def test_a_time_that_is_none_is_refused_with_the_form(since: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", "--home", str(tmp_path), f"--since={since}"])
    assert result.exit_code != 0
    assert "90m, 24h or 7d" in " ".join(result.output.split())


def test_rows_from_before_the_time_are_left_out(reported: tuple[Path, str]) -> None:
    home, url = reported
    rows = stored_rows(home)["acknowledged_ms"]
    middle, last = int(rows.median()), int(rows.max())
    facts = gather(home, home / "registry", url, "?", (last - middle) / 3_600_000, now_ms=lambda: last)
    assert sum(hour.events for hour in facts.hours) == (rows >= middle).sum() < len(rows)
