"""The agent's metrics, under the names that Kubernetes' dashboards know."""

from __future__ import annotations

import re
from collections import Counter as Tally
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from arktos.agent.pods.table import Pods
from arktos.client.metrics import REQUESTS

_BUCKETS = tuple(0.005 * 2.5**power for power in range(14))


class Metrics:
    """Counts what is in `pods` when it is asked."""

    def __init__(self, pods: Pods) -> None:
        self._pods = pods
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(REQUESTS)
        self._running = Gauge("kubelet_running_pods", "Pods that have a running sandbox.", registry=self.registry)
        self._containers = Gauge(
            "kubelet_running_containers", "Containers by state.", ("container_state",), registry=self.registry
        )
        self._operations = Counter(
            "kubelet_runtime_operations", "Calls to runtimes.", ("operation_type",), registry=self.registry
        )
        self._failures = Counter(
            "kubelet_runtime_operations_errors",
            "Calls to runtimes that failed.",
            ("operation_type",),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "kubelet_runtime_operations_duration_seconds",
            "Seconds that calls to runtimes took.",
            ("operation_type",),
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def runtime_call(self, method: str, seconds: float, failed: bool) -> None:
        """A call of a runtime has ended."""
        operation = _operation(method)
        self._operations.labels(operation).inc()
        self._seconds.labels(operation).observe(seconds)
        if failed:
            self._failures.labels(operation).inc()

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type."""
        seen = [record.observed for record in self._pods]
        self._running.set(sum(any(each.ready for each in one.sandboxes) for one in seen))
        states = Tally(each.state.value for one in seen for each in one.containers)
        for state in ("created", "running", "exited", "unknown"):
            self._containers.labels(state).set(states.get(state, 0))
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


@cache
def _operation(method: str) -> str:
    """A method as kubelet names it: `run_podsandbox`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", method).lower().replace("pod_sandbox", "podsandbox")
