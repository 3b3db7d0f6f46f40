"""The hostile list, once over, against a real service; `make chaos` also measures what each request costs it."""

from pathlib import Path

import httpx

from benchmarks.chaos.hostile import cost_of
from benchmarks.chaos.hostile_requests import hostile_requests
from benchmarks.chaos.raw_http import request_of, status_of
from benchmarks.serving.processes import winnow_service


def test_every_request_of_the_hostile_list_is_answered_by_a_4xx_and_the_service_lives_on(home: Path) -> None:
    with winnow_service(home, WINNOW_BODY_TIMEOUT_S="0.1") as service:
        costs = [cost_of(service, hostile, 1) for hostile in hostile_requests()]
        good = request_of("/v1/score", b'{"user_id":"u1","candidates":["v1"]}')
        assert status_of(service.address, good, 10) == 200  # the instrument does see other answers
        assert httpx.get(service.url + "/livez", timeout=10, trust_env=False).is_success
    assert len(costs) > 300
    assert [(cost.hostile.path, cost.hostile.name, cost.status) for cost in costs if cost.status // 100 != 4] == []
    assert all(cost.cpu_ms > 0 for cost in costs)
