"""Which spans begin at all, and what log lines know of them."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs

from contract.open_telemetry import Traces
from contract.trace_parents import Parent, parent_in
from tests.collector import running_collector
from tests.service.conftest import until

SAMPLED, UNSAMPLED = Parent(7, 9, sampled=True), Parent(7, 9, sampled=False)
CALLER = b"00-%032x-%016x-%b"


@contextmanager
def traces_with(monkeypatch: pytest.MonkeyPatch, sampler: str, share: str = "") -> Iterator[Traces]:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", share)
    with running_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        with closing(Traces("winnow-test")) as traces:
            yield traces


@pytest.mark.parametrize(
    ("sampler", "share", "alone", "linked"),
    [
        ("parentbased_always_on", "", True, True),
        ("parentbased_traceidratio", "0", False, True),
        ("traceidratio", "0", False, True),
        ("parentbased_always_off", "", False, True),
        ("always_off", "", False, False),
    ],
)
def test_what_links_to_something_sampled_is_sampled_whatever_the_rate(
    monkeypatch: pytest.MonkeyPatch, sampler: str, share: str, alone: bool, linked: bool
) -> None:
    with traces_with(monkeypatch, sampler, share) as traces:
        for parents, begins in (([], alone), ([UNSAMPLED], alone), ([UNSAMPLED, SAMPLED], linked)):
            span = traces.linked("train", parents)
            assert (span is not None) is begins, parents
            if span is not None:
                span.end()


@pytest.mark.parametrize(
    ("sampler", "share", "flag", "begins"),
    [
        ("parentbased_always_on", "", b"00", False),
        ("parentbased_traceidratio", "0", b"01", True),
        ("traceidratio", "1", b"00", True),  # does not ask callers
        ("traceidratio", "0", b"01", False),
    ],
)
def test_a_caller_decides_where_the_sampler_asks_callers(
    monkeypatch: pytest.MonkeyPatch, sampler: str, share: str, flag: bytes, begins: bool
) -> None:
    with traces_with(monkeypatch, sampler, share) as traces:
        span = traces.request("/v1/score", CALLER % (7, 9, flag), "r")
        assert (span is not None) is begins
        if span is not None:
            assert span.parent.trace_id == 7
            span.end()


def test_log_lines_within_a_span_have_its_ids_and_those_after_it_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with traces_with(monkeypatch, "always_on") as traces:
        span = traces.linked("train", [])
        assert span is not None
        with span:
            outer = get_contextvars()
            with span.child("step") as step:
                assert get_contextvars()["span_id"] == f"{step.parent.span_id:016x}"
                assert get_contextvars()["trace_id"] == outer["trace_id"]
            assert get_contextvars() == outer
            assert parent_in(span.traceparent) == span.parent
        assert "trace_id" not in get_contextvars()


def test_a_collector_that_comes_and_goes_is_told_of_once_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "5")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with running_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        traces = Traces("winnow-test")
    with closing(traces), capture_logs() as lines:

        def told(*events: str) -> bool:
            if (span := traces.linked("train", [])) is not None:
                span.end()
            return [line["event"] for line in lines] == [*events]

        until(lambda: told("traces_not_sent"))
        with running_collector(int(collector.url.rsplit(":", 1)[1])):
            until(lambda: told("traces_not_sent", "traces_sent_again"))
        until(lambda: told("traces_not_sent", "traces_sent_again", "traces_not_sent"))


def test_what_is_said_of_a_span_that_has_ended_is_dropped_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    with traces_with(monkeypatch, "always_on") as traces, capture_logs() as lines:
        span = traces.linked("append", [])
        assert span is not None
        span.end()
        span.note({"winnow.group_events": 3})
    assert [line for line in lines if "ended span" in line.get("reason", "")] == []
