"""Plain numbers are exposed as prometheus_client exposes its own counters and histograms."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import Metrics
from service.tally import Spreads, Tallies

BOUNDS = (0.0005, 0.001, 0.25, 1, 2.5)
values = st.floats(0, 10) | st.sampled_from(BOUNDS)
observed = st.lists(st.tuples(st.sampled_from(["/a", "/b"]), values), max_size=30)
Sample = tuple[str, str, str, str, dict[str, str], float]


def samples(registry: CollectorRegistry) -> Sequence[Sample]:
    """Return all that a scraper reads, in order, but times of creation."""
    return [
        (family.name, family.type, family.documentation, one.name, one.labels, one.value)
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for one in family.samples
        if not one.name.endswith("_created")
    ]


@given(observed)
def test_counters_with_labels_read_the_same(observed: list[tuple[str, float]]) -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    counter = Counter("winnow_seen_total", "Seen.", ("route", "status"), registry=theirs)
    tallies = Tallies("winnow_seen_total", "Seen.", ("route", "status"))
    ours.register(tallies)
    for route, amount in observed:
        counter.labels(route, "2xx").inc(amount)
        tallies.by_labels[route, "2xx"].inc(amount)
    assert samples(ours) == samples(theirs)


def test_a_value_taken_in_many_times_is_as_many_values() -> None:
    once, many = Spreads("a_seconds", "A.", BOUNDS).by_labels[()], Spreads("a_seconds", "A.", BOUNDS).by_labels[()]
    for value in (0.25, 0.25, 0.25, 7.0):
        once.observe(value)
    many.observe_many(0.25, 3)
    many.observe_many(7.0, 1)
    assert (many.counts, many.sum) == (once.counts, once.sum)


@given(observed)
def test_histograms_with_labels_read_the_same(observed: list[tuple[str, float]]) -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("winnow_wait_seconds", "Waited.", ("route",), buckets=BOUNDS, registry=theirs)
    spreads = Spreads("winnow_wait_seconds", "Waited.", BOUNDS, ("route",))
    ours.register(spreads)
    for route, value in observed:
        histogram.labels(route).observe(value)
        spreads.by_labels[(route,)].observe(value)
    assert samples(ours) == samples(theirs)


def test_what_has_no_labels_is_exposed_before_anything_happened() -> None:
    theirs, metrics = CollectorRegistry(), Metrics()
    Counter("winnow_requests_shed_total", "Requests refused because too many were at work.", registry=theirs)
    buckets = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
    Histogram(
        "winnow_model_swap_seconds", "Time to open, prove and take over a version.", buckets=buckets, registry=theirs
    )
    names = {sample[0] for sample in samples(theirs)}
    assert len(names) == 2
    assert [sample for sample in samples(metrics.registry) if sample[0] in names] == samples(theirs)


def test_a_request_is_counted_by_route_and_class_of_status() -> None:
    metrics = Metrics()
    for status in (200, 202, 404, 503):
        metrics.answered("/v1/score", status, 0.0005)
    counts = {
        status: metrics.registry.get_sample_value("winnow_requests_total", {"route": "/v1/score", "status": status})
        for status in ("2xx", "4xx", "5xx", "3xx")
    }
    assert counts == {"2xx": 2, "4xx": 1, "5xx": 1, "3xx": None}
    fastest = {"route": "/v1/score", "le": "0.0005"}
    assert metrics.registry.get_sample_value("winnow_request_seconds_bucket", fastest) == 4


def test_routes_that_are_not_hot_share_a_histogram_and_those_of_the_console_one_name() -> None:
    metrics = Metrics()
    for route in (
        "/livez",
        "/v1/models",
        "/console/api/labels",
        "/console",
        "/v2/models/{name}/versions/{version}/infer",
    ):
        metrics.answered_aside(route, 200, 0.3)

    def counted(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    assert counted("winnow_request_seconds_count", route="other") == 2
    assert counted("winnow_request_seconds_count", route="/console") == 2
    assert counted("winnow_request_seconds_count", route="/v2/models/{name}/infer") == 1
    assert counted("winnow_requests_total", route="/console", status="2xx") == 2
    assert counted("winnow_requests_total", route="/v1/models", status="2xx") == 1
