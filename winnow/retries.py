"""When to send a request again, and what the last answer means: decisions the two clients share.

A request is sent again, byte for byte, when another attempt may mend the failure: no connection, no answer in time,
429, 502, 503, 504. An event keeps its id over all attempts, so a retry never counts twice (P2).
"""

import random
import time
from dataclasses import dataclass

import httpx
from pydantic import ValidationError

from contract.api import Problem
from contract.errors import InvalidInput, TooLarge, WinnowError

_TRANSIENT_STATUSES = frozenset({429, 502, 503, 504})

Outcome = httpx.Response | httpx.TransportError


class ServiceUnavailable(WinnowError):
    """The service gave no answer, or said to come back later, until the deadline; the same call may be repeated."""


@dataclass(frozen=True)
class RetryPolicy:
    """How long to insist. Waits double from `first_wait_s` to `longest_wait_s`; each is jittered down by up to half."""

    deadline_s: float = 30.0  # for a call with all its attempts
    attempt_timeout_s: float = 5.0
    first_wait_s: float = 0.05
    longest_wait_s: float = 2.0


def wait_before_retry(
    policy: RetryPolicy, attempts: int, elapsed_s: float, retry_after_s: float, draw: float
) -> float | None:
    """Return the seconds to wait before the next attempt, or None when the deadline leaves no room for one.

    `attempts` have been made in `elapsed_s`; the service asked for `retry_after_s` (0 if it did not); `draw` is
    uniform in [0, 1).
    """
    backoff_s = min(policy.longest_wait_s, policy.first_wait_s * 2 ** min(attempts - 1, 30))
    wait_s = max(backoff_s * (1 - draw / 2), retry_after_s)
    return wait_s if elapsed_s + wait_s < policy.deadline_s else None


class Insisting:
    """The attempts of one call."""

    def __init__(self, policy: RetryPolicy) -> None:
        """Start the clock of a call."""
        self._policy = policy
        self._started = time.monotonic()
        self._attempts = 0

    @property
    def timeout_s(self) -> float:
        """How long the next attempt may take."""
        return min(self._policy.attempt_timeout_s, max(self._policy.deadline_s - self._elapsed_s, 0.001))

    def wait_after(self, outcome: Outcome) -> float | None:
        """Return the seconds to wait before another attempt, or None if the outcome is final."""
        self._attempts += 1
        if isinstance(outcome, httpx.Response) and outcome.status_code not in _TRANSIENT_STATUSES:
            return None
        return wait_before_retry(
            self._policy, self._attempts, self._elapsed_s, _retry_after_s(outcome), random.random()
        )

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._started


def answer_or_raise(outcome: Outcome) -> httpx.Response:
    """Return a final outcome if it is a success. Raises InvalidInput, TooLarge or ServiceUnavailable."""
    if isinstance(outcome, httpx.TransportError):
        raise ServiceUnavailable(f"the service did not answer ({outcome!r}); is it running?") from outcome
    if outcome.is_success:
        return outcome
    if outcome.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        raise TooLarge(_message_of(outcome))
    if outcome.is_client_error and outcome.status_code not in _TRANSIENT_STATUSES:
        raise InvalidInput(_message_of(outcome))
    raise ServiceUnavailable(_message_of(outcome))


def _message_of(response: httpx.Response) -> str:
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        return f"{response.url} answered {response.status_code} {response.reason_phrase}"
    fields = "; ".join(f"{error.field}: {error.problem}" for error in problem.errors)
    return f"{problem.detail} ({fields})" if fields else problem.detail


def _retry_after_s(outcome: Outcome) -> float:
    said = outcome.headers.get("retry-after", "") if isinstance(outcome, httpx.Response) else ""
    return float(said) if said.isdigit() else 0.0  # its other form, a date, is not worth comparing clocks for
