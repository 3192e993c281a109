"""What the process tells scrapers, under Kubernetes' names. Counted in plain fields, rendered when asked.

prometheus_client is imported by the first scrape: a process nobody scrapes does not pay for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from arktos.client.metrics import REQUESTS
from arktos.controllers.measures import Histogram, Measures

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_QUEUE_SECONDS = (1e-06, 1e-05, 1e-04, 1e-03, 1e-02, 1e-01, 1.0, 10.0)


class QueueNumbers:
    """The numbers of one work queue: `client.workqueue.QueueMetrics`."""

    def __init__(self) -> None:
        self.keys = 0
        self.adds = 0
        self.retries = 0
        self.waits = Histogram(_QUEUE_SECONDS)
        self.works = Histogram(_QUEUE_SECONDS)
        self.unfinished: Callable[[], tuple[float, float]] = lambda: (0.0, 0.0)
        """Answers with the seconds of work under way: of all keys together, and of the one that takes longest."""

    def depth(self, keys: int) -> None:
        self.keys = keys

    def added(self) -> None:
        self.adds += 1

    def waited(self, seconds: float) -> None:
        self.waits.add(seconds)

    def worked(self, seconds: float) -> None:
        self.works.add(seconds)

    def retried(self) -> None:
        self.retries += 1


class Metrics(Measures):
    """All numbers of the process: those that controllers declare, and these. `leading` is 1 by controller while we own
    anything of its ring, `rings` answers by controller which part of the ring is ours (0 to 1), and its load."""

    def __init__(self) -> None:
        super().__init__()
        self.queues: dict[str, QueueNumbers] = {}
        self.leading: dict[str, int] = {}
        self.rings: dict[str, Callable[[], tuple[float, float]]] = {}

    def queue(self, name: str) -> QueueNumbers:
        return self.queues.setdefault(name, QueueNumbers())

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type: text, or OpenMetrics where `accept` asks for it."""
        from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
        from prometheus_client.exposition import choose_encoder

        registry = CollectorRegistry()
        registry.register(self)
        registry.register(REQUESTS)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        encoder, content_type = choose_encoder(accept)
        return encoder(registry), content_type

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        depth = GaugeMetricFamily("workqueue_depth", "Current depth of workqueue.", labels=["name"])
        adds = CounterMetricFamily("workqueue_adds_total", "Adds handled by workqueue.", labels=["name"])
        retries = CounterMetricFamily("workqueue_retries_total", "Retries handled by workqueue.", labels=["name"])
        waits = HistogramMetricFamily(
            "workqueue_queue_duration_seconds",
            "Seconds an item stays in workqueue before it is taken.",
            labels=["name"],
        )
        works = HistogramMetricFamily(
            "workqueue_work_duration_seconds", "Seconds that processing an item takes.", labels=["name"]
        )
        unfinished = GaugeMetricFamily(
            "workqueue_unfinished_work_seconds", "Seconds of work in progress, all together.", labels=["name"]
        )
        longest = GaugeMetricFamily(
            "workqueue_longest_running_processor_seconds", "Seconds of the longest work in progress.", labels=["name"]
        )
        for name, numbers in self.queues.items():
            for family, seconds in zip((unfinished, longest), numbers.unfinished(), strict=True):
                family.add_metric([name], seconds)
            depth.add_metric([name], numbers.keys)
            adds.add_metric([name], numbers.adds)
            retries.add_metric([name], numbers.retries)
            waits.add_metric([name], numbers.waits.buckets(), numbers.waits.total)
            works.add_metric([name], numbers.works.buckets(), numbers.works.total)
        yield from (depth, adds, retries, waits, works, unfinished, longest)
        leading = GaugeMetricFamily(
            "leader_election_master_status", "1 while this process is the active one of the name.", labels=["name"]
        )
        for name, value in self.leading.items():
            leading.add_metric([name], value)
        yield leading
        share = GaugeMetricFamily("arktos_ring_share", "Part of the ring that this process owns.", labels=["name"])
        load = GaugeMetricFamily("arktos_ring_load", "Objects in it, and recent work on them.", labels=["name"])
        for name, look in self.rings.items():
            for family, number in zip((share, load), look(), strict=True):
                family.add_metric([name], number)
        yield from (share, load)
        yield from self.declared()
