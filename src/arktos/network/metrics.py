"""The network's metrics, in Prometheus' words."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

from arktos.client.metrics import REQUESTS

_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """`interfaces`, `free` and `unreachable` are asked when the metrics are."""

    def __init__(
        self, interfaces: Callable[[], float], free: Callable[[], float], unreachable: Callable[[], float]
    ) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(REQUESTS)
        self._calls = Counter(
            "arktos_network_cni_calls", "CNI calls answered.", ("command", "outcome"), registry=self.registry
        )
        self._seconds = Histogram(
            "arktos_network_cni_seconds",
            "Seconds that CNI calls took in the daemon.",
            ("command",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._rules = Histogram(
            "arktos_network_rules_seconds",
            "Seconds that transactions of nftables took.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        for name, text, ask in (
            ("arktos_network_interfaces", "Interfaces attached.", interfaces),
            ("arktos_network_addresses_free", "Addresses of the node's pool that are free.", free),
            ("arktos_network_nodes_unreachable", "Nodes whose pods cannot be reached.", unreachable),
        ):
            Gauge(name, text, registry=self.registry).set_function(ask)

    def call(self, command: str, outcome: str, seconds: float) -> None:
        self._calls.labels(command, outcome).inc()
        self._seconds.labels(command).observe(seconds)

    def rules(self, seconds: float) -> None:
        self._rules.observe(seconds)

    def render(self, accept: str) -> tuple[bytes, str]:
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
