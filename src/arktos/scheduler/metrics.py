"""The scheduler's metrics, under the names that Kubernetes' dashboards know. Plain counters, rendered when scraped."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from arktos.client.metrics import REQUESTS

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """`pending` tells how many pods wait where."""

    def __init__(self, pending: Callable[[], Mapping[str, int]]) -> None:
        self.scheduled = 0
        self.unschedulable = 0
        self.failed = 0
        self.victims = 0
        self._pending = pending
        self._buckets = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0
        self._registry: CollectorRegistry | None = None

    def planned(self, seconds: float) -> None:
        """A decision took this long."""
        self._buckets[bisect_left(_BOUNDS, seconds)] += 1
        self._seconds += seconds

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type."""
        from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
        from prometheus_client.exposition import choose_encoder

        if self._registry is None:
            self._registry = CollectorRegistry()
            self._registry.register(self)
            self._registry.register(REQUESTS)
            ProcessCollector(registry=self._registry)
            PlatformCollector(registry=self._registry)
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        attempts = CounterMetricFamily("scheduler_schedule_attempts", "Attempts by result.", labels=["result"])
        attempts.add_metric(["scheduled"], self.scheduled)
        attempts.add_metric(["unschedulable"], self.unschedulable)
        attempts.add_metric(["error"], self.failed)
        yield attempts
        yield CounterMetricFamily("scheduler_preemption_victims", "Pods taken away for others.", self.victims)
        pending = GaugeMetricFamily("scheduler_pending_pods", "Pods that wait, by queue.", labels=["queue"])
        for queue, pods in self._pending().items():
            pending.add_metric([queue], pods)
        yield pending
        took = HistogramMetricFamily("scheduler_scheduling_algorithm_duration_seconds", "Time to decide about a pod.")
        seen, buckets = 0, []
        for bound, count in zip((*map(str, _BOUNDS), "+Inf"), self._buckets, strict=True):
            seen += count
            buckets.append((bound, float(seen)))
        took.add_metric([], buckets, self._seconds)
        yield took
