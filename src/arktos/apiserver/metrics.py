"""Metrics under the names that Kubernetes dashboards expect. Counted in plain dicts, rendered when scraped."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from arktos.wire.http import Request

_BOUNDS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0)
_LABELS = ("verb", "group", "version", "resource", "subresource", "scope", "dry_run")
_VERBS = {"create": "POST", "update": "PUT"}
"""What Kubernetes' metrics call verbs, where it is not the verb itself in capitals."""
_LONG_RUNNING = frozenset({"watch", "connect"})
"""Verbs whose duration is their client's choice."""

Gauges = Callable[[], Iterable[tuple[str, str, dict[str, str], float]]]
"""(metric name, help, labels, value): what others know and want shown. A name that ends in `_total` is a counter's."""


Waits = Callable[[], Iterable[tuple[dict[str, str], list[tuple[str, float]], float]]]
"""(labels, buckets, sum) of how long requests waited for their turn."""


class _Timing:
    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(_BOUNDS) + 1)
        self.total = 0.0


class Metrics(Collector):
    """Counts finished requests; `observe` is the protocol's hook and costs about a microsecond."""

    def __init__(self, gauges: Gauges, waits: Waits = lambda: ()) -> None:
        self._gauges = gauges
        self._waits = waits
        self._requests: dict[tuple[tuple[str, ...], int], int] = {}
        self._seconds: dict[tuple[str, ...], _Timing] = {}
        self._started = time.time()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def observe(self, request: Request, status: int, seconds: float, sent: int) -> None:
        mark = request.mark
        key = (mark, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        if mark and mark[0] in _LONG_RUNNING:
            return
        timing = self._seconds.get(mark)
        if timing is None:
            timing = self._seconds[mark] = _Timing()
        timing.buckets[bisect_left(_BOUNDS, seconds)] += 1
        timing.total += seconds

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type: text, or OpenMetrics where `accept` asks for it."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "apiserver_request_total",
            "Requests answered, by verb, resource and HTTP code.",
            labels=[*_LABELS, "code"],
        )
        for (mark, status), count in list(self._requests.items()):
            requests.add_metric([*_labels(mark), str(status)], count)
        yield requests
        durations = HistogramMetricFamily(
            "apiserver_request_duration_seconds", "Time from a complete request to its answer.", labels=_LABELS
        )
        for mark, timing in list(self._seconds.items()):
            counts, running = [], 0
            for bound, count in zip((*map(str, _BOUNDS), "+Inf"), timing.buckets, strict=True):
                running += count
                counts.append((bound, float(running)))
            durations.add_metric(_labels(mark), counts, timing.total)
        yield durations
        told = HistogramMetricFamily(
            "apiserver_flowcontrol_request_wait_duration_seconds",
            "How long requests waited for their turn.",
            labels=("priority_level", "flow_schema", "execute"),
        )
        for labels, buckets, total in self._waits():
            told.add_metric(list(labels.values()), buckets, total)
        yield told
        families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
        for name, help_text, labels, value in self._gauges():
            family = families.get(name)
            if family is None:
                make = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
                family = families[name] = make(name, help_text, labels=sorted(labels))
            family.add_metric([labels[label] for label in sorted(labels)], value)
        yield from families.values()


def scope_of(name: str, namespace: str, verb: str) -> str:
    """What a request is about, as metrics tell it."""
    return "resource" if name or verb == "create" else "namespace" if namespace else "cluster"


def _labels(mark: tuple[str, ...]) -> list[str]:
    verb, *rest = mark or ("",)
    return [_VERBS.get(verb, verb.upper()), *rest, *[""] * (len(_LABELS) - 1 - len(rest))]
