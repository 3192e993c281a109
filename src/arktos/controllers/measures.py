"""The numbers of single controllers: counters, gauges and histograms that a controller declares when it is built.

pods = context.metrics.counter("job_controller_pod_finished_total", "Pods that ended in a Job.", "result")
pods.add("succeeded")
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from prometheus_client.core import Metric

SECONDS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384)
"""Bounds of most of Kubernetes' histograms of controllers."""


class Histogram:
    """How many observations were at most each bound, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """(upper bound, how many were at most that), as an exposition wants them."""
        found, running = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            found.append((bound, float(running)))
        return found


class Counter:
    """A number for each combination of label values, that only grows. `name` may end in `_total` or not."""

    def __init__(self, name: str, help: str, labels: Sequence[str]) -> None:
        self.name, self.help, self.labels = name, help, labels
        self.values: dict[tuple[str, ...], float] = {}

    def add(self, *labels: str, by: float = 1.0) -> None:
        self.values[labels] = self.values.get(labels, 0.0) + by

    def render(self) -> Metric:
        from prometheus_client.core import CounterMetricFamily, UnknownMetricFamily

        # A counter's family gives every name the ending.
        made = CounterMetricFamily if self.name.endswith("_total") else UnknownMetricFamily
        family: CounterMetricFamily | UnknownMetricFamily = made(self.name, self.help, labels=self.labels)
        for labels, value in self.values.items():
            family.add_metric(labels, value)
        return family


class Gauge:
    """A number for each combination of label values: set, or asked for at each scrape."""

    def __init__(self, name: str, help: str, labels: Sequence[str]) -> None:
        self.name, self.help, self.labels = name, help, labels
        self.values: dict[tuple[str, ...], float] = {}
        self.look: Callable[[], Iterable[tuple[tuple[str, ...], float]]] | None = None
        """Answers with (label values, number); what was set counts no more."""

    def set(self, value: float, *labels: str) -> None:
        self.values[labels] = value

    def forget(self, *labels: str) -> None:
        self.values.pop(labels, None)

    def render(self) -> Metric:
        from prometheus_client.core import GaugeMetricFamily

        family = GaugeMetricFamily(self.name, self.help, labels=self.labels)
        for labels, value in self.values.items() if self.look is None else self.look():
            family.add_metric(labels, value)
        return family


class Histograms:
    """A histogram for each combination of label values."""

    def __init__(self, name: str, help: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self.name, self.help, self.labels, self.bounds = name, help, labels, bounds
        self.values: dict[tuple[str, ...], Histogram] = {}

    def add(self, value: float, *labels: str) -> None:
        found = self.values.get(labels)
        if found is None:
            found = self.values[labels] = Histogram(self.bounds)
        found.add(value)

    def render(self) -> Metric:
        from prometheus_client.core import HistogramMetricFamily

        family = HistogramMetricFamily(self.name, self.help, labels=self.labels)
        for labels, value in self.values.items():
            family.add_metric(labels, value.buckets(), value.total)
        return family


_Measure = TypeVar("_Measure", Counter, Gauge, Histograms)


class Measures:
    """What the controllers of a process have declared. A name that is declared again is the same measure."""

    def __init__(self) -> None:
        self._all: dict[str, Counter | Gauge | Histograms] = {}

    def counter(self, name: str, help: str, *labels: str) -> Counter:
        return self._declared(Counter(name, help, labels))

    def gauge(self, name: str, help: str, *labels: str) -> Gauge:
        return self._declared(Gauge(name, help, labels))

    def histogram(self, name: str, help: str, *labels: str, bounds: Sequence[float] = SECONDS) -> Histograms:
        return self._declared(Histograms(name, help, labels, bounds))

    def _declared(self, measure: _Measure) -> _Measure:
        known = self._all.setdefault(measure.name, measure)
        assert isinstance(known, type(measure))
        return known

    def declared(self) -> Iterator[Metric]:
        for measure in self._all.values():
            yield measure.render()
