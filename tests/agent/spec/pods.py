"""Pods for tests."""

from __future__ import annotations

from typing import Any

from arktos.agent.spec.facts import NodeFacts, Resolver
from arktos.model.quantity import parse

FACTS = NodeFacts(
    name="node1",
    ips=("192.0.2.1",),
    cluster_dns=("10.96.0.10",),
    resolver=Resolver(("192.0.2.53",), ("example.org",), ("timeout:2",)),
    allocatable={"cpu": parse("4"), "memory": parse("8Gi"), "ephemeral-storage": parse("10Gi")},
    memory_capacity=8 << 30,
    seccomp_root="/srv/seccomp",
)


def container(name: str = "app", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "registry.example/app:1", **more}


def resources(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None) -> dict[str, Any]:
    return {"resources": {"requests": requests or {}, "limits": limits or {}}}


def pod(*containers: dict[str, Any], meta: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "namespace": "shop", "tenant": "acme", "uid": "u-1", **(meta or {})},
        "spec": {"containers": list(containers) or [container()], **spec},
    }
