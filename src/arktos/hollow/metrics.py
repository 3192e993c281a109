"""What a fleet has done. Plain counters, rendered when scraped."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """`stages` tells how many pods stand where, `waiting` how many wait to be written. `lateness` is how many seconds
    behind its time the last heartbeat was."""

    def __init__(self, stages: Callable[[], Mapping[str, int]], waiting: Callable[[], int]) -> None:
        self.registrations = 0
        self.renewals = 0
        self.statuses = 0
        self.deletions = 0
        self.failures = 0
        self.lateness = 0.0
        self._stages = stages
        self._waiting = waiting
        self._buckets = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0
        self._registry: CollectorRegistry | None = None

    def started(self, seconds: float) -> None:
        """A pod was told Running so long after it was first seen."""
        self._buckets[bisect_left(_BOUNDS, seconds)] += 1
        self._seconds += seconds

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type."""
        from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
        from prometheus_client.exposition import choose_encoder

        if self._registry is None:
            self._registry = CollectorRegistry()
            self._registry.register(self)
            ProcessCollector(registry=self._registry)
            PlatformCollector(registry=self._registry)
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        yield CounterMetricFamily("arktos_hollow_nodes_registered", "Nodes that were made.", self.registrations)
        yield CounterMetricFamily("arktos_hollow_lease_renewals", "Leases renewed.", self.renewals)
        yield CounterMetricFamily("arktos_hollow_pod_status_writes", "Statuses of pods written.", self.statuses)
        yield CounterMetricFamily("arktos_hollow_pod_deletions", "Pods removed after their end.", self.deletions)
        yield CounterMetricFamily("arktos_hollow_failures", "Requests that failed or were refused.", self.failures)
        yield GaugeMetricFamily("arktos_hollow_heartbeat_lateness_seconds", "Of the last one.", self.lateness)
        yield GaugeMetricFamily("arktos_hollow_pods_to_write", "Pods that wait to be written.", self._waiting())
        pods = GaugeMetricFamily("arktos_hollow_pods", "Pods by stage.", labels=["stage"])
        for stage, count in self._stages().items():
            pods.add_metric([stage], count)
        yield pods
        took = HistogramMetricFamily("arktos_hollow_pod_start_duration_seconds", "From first seen to Running.")
        seen, buckets = 0, []
        for bound, count in zip((*map(str, _BOUNDS), "+Inf"), self._buckets, strict=True):
            seen += count
            buckets.append((bound, float(seen)))
        took.add_metric([], buckets, self._seconds)
        yield took
