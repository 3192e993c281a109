"""What clients count of their requests."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.client import Client, ConnectionFailed
from arktos.client.metrics import Measured, Requests
from arktos.model.status import NotFound


@pytest.fixture
def numbers(client: Client) -> Requests:
    numbers = Requests()
    client._http = Measured(client._http._http, "api:6443", numbers)
    return numbers


async def test_requests_count_by_code_method_and_host(api: Any, client: Client, numbers: Requests) -> None:
    await client.request("GET", "/api/v1/namespaces")
    with pytest.raises(NotFound):
        await client.request("GET", "/api/v1/namespaces/nothing")
    with pytest.raises(NotFound):
        await client.request("DELETE", "/api/v1/namespaces/nothing")
    expected = {("200", "GET"): 1, ("404", "GET"): 1, ("404", "DELETE"): 1}
    assert numbers.counts == {(*key, "api:6443"): count for key, count in expected.items()}
    counts, timings = numbers.collect()
    assert {sample.value for sample in counts.samples} == {1.0}
    ends = {sample.labels["verb"]: sample.value for sample in timings.samples if sample.name.endswith("_count")}
    assert ends == {"GET": 2.0, "DELETE": 1.0}
    spent = [sample.value for sample in timings.samples if sample.name.endswith("_sum")]
    assert all(0 < seconds < 5 for seconds in spent)


async def test_a_request_without_an_answer_is_an_error(numbers: Requests, api: Any, client: Client) -> None:
    api.say({})
    api.answers[-1].cut = True
    with pytest.raises(ConnectionFailed):
        await client.request("DELETE", "/api/v1/namespaces/x")
    assert numbers.counts == {("<error>", "DELETE", "api:6443"): 1}
