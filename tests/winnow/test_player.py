"""The player: every event, as it was, until it is acknowledged."""

import numpy as np
from hypothesis import given

from contract.events import Events, FeedbackEvent
from tests.strategies import events as any_events
from tests.winnow.flaky import flaky_server
from winnow.client import Client
from winnow.player import PlayReport, as_json, play
from winnow.retries import RetryPolicy

QUICK = RetryPolicy(deadline_s=0.2, first_wait_s=0.001, longest_wait_s=0.01)


def some_events(count: int) -> Events:
    return Events.from_models(
        [FeedbackEvent(event_id=f"e{n}", user_id="u", item_id=f"v{n}", at=n, watch_ms=n) for n in range(count)]
    )


@given(any_events)
def test_what_is_sent_reads_back_as_the_same_events(events: Events) -> None:
    again = Events.from_models([FeedbackEvent.model_validate(row) for row in as_json(events)])
    for name in Events.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(events, name), err_msg=name)


def test_playing_sends_all_in_order_and_counts_acknowledgements_and_retries() -> None:
    seen: list[int] = []
    with flaky_server(503) as flaky, Client(flaky.url, policy=QUICK) as client:
        report = play([some_events(300), some_events(10)], client, None, lambda so_far: seen.append(so_far.sent))
    assert [len(events) for events in flaky.accepted] == [256, 44, 10]
    assert [event["event_id"] for event in flaky.accepted[1]] == [f"e{n}" for n in range(256, 300)]
    assert (report.sent, report.acknowledged, report.retries, report.failed_requests) == (310, 310, 1, 0)
    assert [count for _, count in report.acknowledgements] == [256, 44, 10]
    assert seen == [256, 300, 310]


def test_a_request_that_finally_fails_is_counted_and_playing_goes_on() -> None:
    with flaky_server(422) as flaky, Client(flaky.url, policy=QUICK) as client:
        report = play([some_events(256), some_events(1)], client, None, lambda _: None)
    assert (report.sent, report.acknowledged, report.failed_requests) == (257, 1, 1)


def test_a_rate_is_not_exceeded() -> None:
    with flaky_server() as flaky, Client(flaky.url) as client:
        report: PlayReport = play([some_events(10)] * 6, client, 500.0, lambda _: None)
    assert len(flaky.accepted) == 6
    assert report.seconds >= 50 / 500  # the last of six batches goes out once fifty events' time is over
