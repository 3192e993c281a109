"""The agent's metrics, under the names that Kubernetes' dashboards know."""

from __future__ import annotations

from collections import Counter as Tally

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector
from prometheus_client.exposition import choose_encoder

from arktos.agent.pods.table import Pods


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

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type."""
        seen = [record.observed for record in self._pods]
        self._running.set(sum(any(each.ready for each in one.sandboxes) for one in seen))
        states = Tally(each.state.value for one in seen for each in one.containers)
        for state in ("created", "running", "exited", "unknown"):
            self._containers.labels(state).set(states.get(state, 0))
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
