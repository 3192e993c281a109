"""The agent's metrics, under the names that Kubernetes' dashboards know."""

from __future__ import annotations

from collections import Counter as Tally

from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from arktos.agent.pods.table import Pods

_BUCKETS = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 300.0, 600.0)


class Metrics:
    """Counts what is in `pods` when it is asked."""

    def __init__(self, pods: Pods) -> None:
        self._pods = pods
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._running = Gauge("kubelet_running_pods", "Pods that have a running sandbox.", registry=self.registry)
        self._containers = Gauge(
            "kubelet_running_containers", "Containers by state.", ("container_state",), registry=self.registry
        )
        self._start = Histogram(
            "kubelet_pod_start_duration_seconds",
            "Seconds from a pod's arrival on the node to all its containers running.",
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def started(self, seconds: float) -> None:
        """A pod runs, so long after it came."""
        self._start.observe(seconds)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type."""
        seen = [record.observed for record in self._pods]
        self._running.set(sum(any(each.ready for each in one.sandboxes) for one in seen))
        states = Tally(each.state.value for one in seen for each in one.containers)
        for state in ("created", "running", "exited", "unknown"):
            self._containers.labels(state).set(states.get(state, 0))
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
