"""Whether traces are wanted and can be told, and what a `traceparent` is."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import SetupError
from contract.event_log import append_arguments, entry_of
from contract.trace_parents import MOST_PARENTS, Parent, parent_in, parents_in
from contract.traces import are_wanted, traces_of, trouble_with

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_TRACES_SAMPLER": "always_on", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://here"}, False),
        (HERE, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://here/v1/traces"}, True),
        (HERE | {"OTEL_SDK_DISABLED": "True"}, False),
        (HERE | {"OTEL_SDK_DISABLED": "false"}, True),
        (HERE | {"OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_traces_are_wanted_where_the_environment_names_a_collector(environment: dict[str, str], wanted: bool) -> None:
    assert are_wanted(environment) is wanted


@pytest.mark.parametrize("missing", ["opentelemetry.exporter.otlp.proto.http", "opentelemetry.sdk"])
def test_a_collector_without_what_is_needed_for_it_is_refused_with_the_remedy(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trouble_with(HERE) is None
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setenv(*next(iter(HERE.items())))
    with pytest.raises(SetupError, match=r"pip install '\.\[traces\]'"):
        traces_of("winnow-test")


def test_a_protocol_that_is_not_spoken_is_refused_by_name() -> None:
    assert "not grpc" in (trouble_with(HERE | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}) or "")
    said = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}
    assert trouble_with(HERE | said) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"00-{TRACE}-{SPAN}-01", Parent(int(TRACE, 16), int(SPAN, 16), True)),
        (f"00-{TRACE}-{SPAN}-00", Parent(int(TRACE, 16), int(SPAN, 16), False)),
        (f"00-{TRACE}-{SPAN}-03", Parent(int(TRACE, 16), int(SPAN, 16), True)),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", Parent(int(TRACE, 16), int(SPAN, 16), True)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
        (f"00-{TRACE}-{SPAN}", None),
        ("", None),
    ],
)
def test_a_traceparent_is_read_as_w3c_has_it(text: str, found: Parent | None) -> None:
    assert parent_in(text.encode()) == found


@given(st.binary(max_size=2_000))
def test_whatever_a_stranger_writes_in_an_entry_is_passed_over(field: bytes) -> None:
    known = f"00-{TRACE}-{SPAN}-01".encode()
    found = parents_in(known + b" " + field)
    assert found[0] == parent_in(known)
    assert len(found) <= MOST_PARENTS


def test_an_entry_carries_the_field_only_where_there_is_a_trace() -> None:
    assert append_arguments(1, b"block") == {b"block": b"block", b"events": 1}
    assert entry_of(0, (b"1-0", append_arguments(1, b"b", b"t") | {b"events": b"1"})).trace == b"t"
    assert entry_of(0, (b"1-0", {b"block": b"b", b"events": b"1"})).trace == b""
