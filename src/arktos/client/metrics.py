"""How the API server answers this process, under client-go's names (`rest_client_*`), for the scrapers of all that use
`Client`. Counted in plain fields; prometheus_client is imported when somebody asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING

from arktos.wire.http_client import HttpClient, HttpResponse, ResponseStream

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_BOUNDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
_FAILED = "<error>"


class Requests:
    """The numbers of requests by code, method and host, and their latencies in seconds: until the answer is there, of
    a watch until it has begun. A collector in Prometheus' sense."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str, str], int] = {}
        self._timings: dict[tuple[str, str], list[float]] = {}

    def add(self, method: str, host: str, code: str, seconds: float) -> None:
        """A request was answered with `code`, or failed (`<error>`)."""
        key = (code, method, host)
        self.counts[key] = self.counts.get(key, 0) + 1
        timing = self._timings.get((method, host))
        if timing is None:
            timing = self._timings[method, host] = [0.0] * (len(_BOUNDS) + 2)
        timing[bisect_left(_BOUNDS, seconds)] += 1
        timing[-1] += seconds

    def collect(self) -> Iterator[Metric]:
        """What a registry asks for."""
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        counts = CounterMetricFamily(
            "rest_client_requests_total",
            "Number of HTTP requests, partitioned by status code, method, and host.",
            labels=["code", "method", "host"],
        )
        for key, count in self.counts.items():
            counts.add_metric(key, count)
        timings = HistogramMetricFamily(
            "rest_client_request_duration_seconds",
            "Request latency in seconds. Broken down by verb, and host.",
            labels=["verb", "host"],
        )
        for labels, timing in self._timings.items():
            buckets, running = [], 0.0
            for bound, number in zip((*map(str, _BOUNDS), "+Inf"), timing[:-1], strict=True):
                running += number
                buckets.append((bound, running))
            timings.add_metric(labels, buckets, timing[-1])
        yield from (counts, timings)


REQUESTS = Requests()
"""Those of all clients of this process."""


class Measured:
    """An HTTP client whose requests are counted."""

    __slots__ = ("_host", "_http", "_numbers")

    def __init__(self, http: HttpClient, host: str, numbers: Requests = REQUESTS) -> None:
        self._http = http
        self._host = host
        self._numbers = numbers

    async def aclose(self) -> None:
        await self._http.aclose()

    async def request(
        self,
        method: str,
        target: str,
        *,
        headers: dict[str, str],
        body: bytes,
        timeout: float,  # noqa: ASYNC109
    ) -> HttpResponse:
        """As `HttpClient.request`."""
        began = perf_counter()
        code = _FAILED
        try:
            answer = await self._http.request(method, target, headers=headers, body=body, timeout=timeout)
            code = str(answer.status)
        finally:
            self._numbers.add(method, self._host, code, perf_counter() - began)
        return answer

    async def stream(
        self,
        method: str,
        target: str,
        *,
        headers: dict[str, str],
        timeout: float,  # noqa: ASYNC109
        lifetime: float,
    ) -> ResponseStream:
        """As `HttpClient.stream`."""
        began = perf_counter()
        code = _FAILED
        try:
            answer = await self._http.stream(method, target, headers=headers, timeout=timeout, lifetime=lifetime)
            code = str(answer.status)
        finally:
            self._numbers.add(method, self._host, code, perf_counter() - began)
        return answer
