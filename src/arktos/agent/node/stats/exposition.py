"""kubelet's `/metrics/resource`, in the text format of Prometheus; everything of a pod has its tenant as well. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from arktos.agent.node.stats.samples import PodReading, Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_Point = tuple[str, float, float]
"""Labels as written, value, and time in seconds."""

_FAMILIES: tuple[tuple[str, str, str], ...] = (
    ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the container in core-seconds"),
    ("container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes"),
    ("container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds"),
    ("container_swap_usage_bytes", "gauge", "Current amount of the container swap usage in bytes"),
    ("node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds"),
    ("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes"),
    ("node_swap_usage_bytes", "gauge", "Current swap usage of the node in bytes"),
    ("pod_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the pod in core-seconds"),
    ("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes"),
    ("resource_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise"),
)


def exposition(sample: Sample) -> bytes:
    """The whole page. Values carry the time at which they were read, as kubelet's do."""
    points: dict[str, list[_Point]] = {name: [] for name, _, _ in _FAMILIES}
    node = sample.node
    points["node_cpu_usage_seconds_total"].append(("", node.cpu.nanoseconds / 1e9, node.cpu.at))
    points["node_memory_working_set_bytes"].append(("", node.memory.working_set, node.memory.at))
    points["node_swap_usage_bytes"].append(("", node.swap_used, node.memory.at))
    points["resource_scrape_error"].append(("", 1 if sample.failed else 0, 0.0))
    for pod in sample.pods.values():
        for name, point in _of_pod(pod):
            points[name].append(point)
    lines: list[str] = []
    for name, kind, about in _FAMILIES:
        if points[name]:
            lines += (f"# HELP {name} [STABLE] {about}", f"# TYPE {name} {kind}")
            lines += (f"{name}{labels} {_number(value)}{_time(at)}" for labels, value, at in points[name])
    return ("\n".join(lines) + "\n").encode()


def _of_pod(pod: PodReading) -> Iterator[tuple[str, _Point]]:
    ref = pod.ref
    who = {"namespace": ref.namespace, "pod": ref.name, "tenant": ref.tenant}
    for container in pod.containers.values():
        labels = _labels({"container": container.name, **who})
        if container.cpu is not None:
            yield "container_cpu_usage_seconds_total", (labels, container.cpu.nanoseconds / 1e9, container.cpu.at)
        if container.memory is not None:
            memory = container.memory
            yield "container_memory_working_set_bytes", (labels, memory.working_set, memory.at)
            if container.swap is not None:
                yield "container_swap_usage_bytes", (labels, container.swap, memory.at)
        if container.started_at:
            yield "container_start_time_seconds", (labels, container.started_at, 0.0)
    labels = _labels(who)
    cpu, whole = pod.whole_cpu, pod.whole_memory
    if cpu is not None:
        yield "pod_cpu_usage_seconds_total", (labels, cpu.nanoseconds / 1e9, cpu.at)
    if whole is not None:
        yield "pod_memory_working_set_bytes", (labels, whole.working_set, whole.at)


def _labels(values: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(values[name])}"' for name in sorted(values)) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(value)


def _time(at: float) -> str:
    return f" {round(at * 1000)}" if at else ""
