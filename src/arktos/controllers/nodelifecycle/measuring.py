"""The numbers of nodes by zone, under Kubernetes' names."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from arktos.controllers import measures
from arktos.controllers.metrics import Metrics
from arktos.controllers.nodelifecycle.zones import Zones

_SECONDS = tuple(0.001 * 4**power for power in range(8))
_Rows = Iterator[tuple[tuple[str, ...], float]]


class Measures:
    """`zones` are asked at each scrape."""

    def __init__(self, declare: Metrics, zones: Zones) -> None:
        self.evictions = declare.counter(
            "node_collector_evictions_total",
            "Number of Node evictions that happened since current instance of NodeController started.",
            "zone",
        )
        self.node_seconds: measures.Histograms = declare.histogram(
            "node_collector_update_node_health_duration_seconds",
            "Duration in seconds for NodeController to update the health of a single node.",
            bounds=_SECONDS,
        )

        def gauge(name: str, help: str, of: Callable[[int, int], float]) -> None:
            def look() -> _Rows:
                for zone, ready, unready in zones.sizes():
                    yield (zone,), of(ready, unready)

            declare.gauge(f"node_collector_{name}", help, "zone").look = look

        gauge("zone_size", "Gauge measuring number of registered Nodes per zones.", lambda ready, not_: ready + not_)
        gauge(
            "zone_health",
            "Gauge measuring percentage of healthy nodes per zone.",
            lambda ready, not_: 100.0 * ready / (ready + not_),
        )
        gauge(
            "unhealthy_nodes_in_zone", "Gauge measuring number of not Ready Nodes per zones.", lambda ready, not_: not_
        )
