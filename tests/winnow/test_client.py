"""The client: what it retries, what it never changes, and what it tells."""

import asyncio
from pathlib import Path

import pytest

from contract.api import LabelsResponse, Receipt
from contract.errors import InvalidInput, TooLarge
from tests.service.conftest import running_service
from tests.winnow.flaky import flaky_server
from winnow.client import AsyncClient, Client
from winnow.retries import RetryPolicy, ServiceUnavailable, wait_before_retry

QUICK = RetryPolicy(deadline_s=2.0, first_wait_s=0.001, longest_wait_s=0.01)
EVENT = {"user_id": "u1", "item_id": 7, "at": 1, "watch_ms": 5}


def test_a_retried_request_carries_the_same_event_ids() -> None:
    with flaky_server(503, 429, 0) as flaky, Client(flaky.url, policy=QUICK) as client:
        accepted = client.feedback([EVENT, {**EVENT, "event_id": "mine"}])
    assert len(flaky.bodies) == 4
    assert len(set(flaky.bodies)) == 1
    assert client.retries == 3
    assert accepted.accepted == 2
    assert accepted.event_ids[1] == "mine"
    assert len(accepted.event_ids[0]) == 36


def test_the_async_client_retries_the_same_way() -> None:
    async def send(url: str) -> int:
        async with AsyncClient(url, policy=QUICK) as client:
            await client.feedback([EVENT])
            return client.retries

    with flaky_server(503, 0) as flaky:
        assert asyncio.run(send(flaky.url)) == 2
    assert len(set(flaky.bodies)) == 1


def test_both_clients_ask_for_labels_and_give_ids_to_events_without_one(home: Path) -> None:
    async def ask(url: str) -> LabelsResponse:
        async with AsyncClient(url) as client:
            return await client.labels([{**EVENT, "event_id": "mine"}])

    with running_service(home) as service, Client(service.url) as client:
        found = client.labels([EVENT, {**EVENT, "actions": ["like"]}])
        mine = asyncio.run(ask(service.url))
    assert [(one.label, one.confidence) for one in found.labels] == [(0, 0.98), (1, 1.0)]
    assert len({one.event_id for one in found.labels}) == 2
    assert [one.event_id for one in mine.labels] == ["mine"]


def test_both_clients_ask_for_receipts_of_any_id(home: Path, log_url: str) -> None:
    async def ask(url: str) -> Receipt:
        async with AsyncClient(url) as client:
            return await client.receipt("a/b ü?#%")

    with running_service(home, log_url) as service, Client(service.url) as client:
        client.feedback([{**EVENT, "event_id": "a/b ü?#%"}, {**EVENT, "event_id": 7}])
        assert (asyncio.run(ask(service.url)).event_id, client.receipt(7).state) == ("a/b ü?#%", "accepted")
        with pytest.raises(ServiceUnavailable, match="there is no label log in this home"):
            client.receipt("other")


@pytest.mark.parametrize(("status", "error"), [(400, InvalidInput), (413, TooLarge), (422, InvalidInput)])
def test_a_refusal_is_not_retried_and_says_what_the_service_said(status: int, error: type[Exception]) -> None:
    with (
        flaky_server(status) as flaky,
        Client(flaky.url, policy=QUICK) as client,
        pytest.raises(error, match=r"no \(0\.at: late\)"),
    ):
        client.feedback([EVENT])
    assert len(flaky.bodies) == 1


def test_a_service_that_stays_away_is_reported_within_the_deadline() -> None:
    policy = RetryPolicy(deadline_s=0.05, first_wait_s=0.001, longest_wait_s=0.01)
    with flaky_server(*[503] * 100) as flaky, Client(flaky.url, policy=policy) as client:
        with pytest.raises(ServiceUnavailable, match="no"):
            client.feedback([EVENT])
        assert 1 < len(flaky.bodies) < 100


def test_retry_after_beyond_the_deadline_ends_the_call_at_once() -> None:
    with (
        flaky_server(503, headers={"retry-after": "60"}) as flaky,
        Client(flaky.url, policy=QUICK) as client,
        pytest.raises(ServiceUnavailable),
    ):
        client.feedback([EVENT])
    assert len(flaky.bodies) == 1


def test_waits_double_up_to_a_bound_are_jittered_and_honour_retry_after() -> None:
    policy = RetryPolicy(deadline_s=10, first_wait_s=0.1, longest_wait_s=0.5)
    waits = [wait_before_retry(policy, attempts, 0, 0, draw=0) for attempts in (1, 2, 3, 4, 99)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5])
    assert wait_before_retry(policy, 1, 0, 0, draw=1) == pytest.approx(0.05)
    assert wait_before_retry(policy, 1, 0, retry_after_s=3, draw=0) == 3
    assert wait_before_retry(policy, 1, 9.95, 0, draw=0) is None
