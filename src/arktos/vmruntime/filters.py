"""Which sandboxes and containers a CRI filter means. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from arktos.rpc.protos import cri_pb2 as pb


def _has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in wanted.items())


def sandbox_matches(filter: pb.PodSandboxFilter, sandbox: pb.PodSandbox) -> bool:
    """An id may be shortened to its beginning."""
    return (
        sandbox.id.startswith(filter.id)
        and (not filter.HasField("state") or sandbox.state == filter.state.state)
        and _has(sandbox.labels, filter.label_selector)
    )


def container_matches(filter: pb.ContainerFilter, container: pb.Container) -> bool:
    return (
        container.id.startswith(filter.id)
        and container.pod_sandbox_id.startswith(filter.pod_sandbox_id)
        and (not filter.HasField("state") or container.state == filter.state.state)
        and _has(container.labels, filter.label_selector)
    )


def container_stats_match(filter: pb.ContainerStatsFilter, container: pb.Container) -> bool:
    return (
        container.id.startswith(filter.id)
        and container.pod_sandbox_id.startswith(filter.pod_sandbox_id)
        and _has(container.labels, filter.label_selector)
    )


def sandbox_stats_match(filter: pb.PodSandboxStatsFilter, sandbox: pb.PodSandbox) -> bool:
    return sandbox.id.startswith(filter.id) and _has(sandbox.labels, filter.label_selector)
