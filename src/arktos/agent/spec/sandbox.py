"""The sandbox of a pod: what all its containers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from arktos.agent.spec import labels
from arktos.agent.spec.dns import dns_config
from arktos.agent.spec.facts import NodeFacts, is_host_network, is_sidecar
from arktos.agent.spec.resources import overhead_resources, pod_resources
from arktos.agent.spec.security import sandbox_context, sysctls
from arktos.model.kinds import Obj
from arktos.rpc.protos import cri_pb2 as pb

_PROTOCOLS = {"TCP": pb.TCP, "UDP": pb.UDP, "SCTP": pb.SCTP}


def pod_labels(pod: Obj) -> dict[str, str]:
    """The labels that say whose a sandbox or a container is."""
    meta = pod["metadata"]
    return {
        labels.POD_NAME: meta["name"],
        labels.POD_NAMESPACE: meta.get("namespace", ""),
        labels.POD_UID: meta["uid"],
        labels.POD_TENANT: meta.get("tenant", ""),
    }


def sandbox_config(
    pod: Obj,
    *,
    attempt: int,
    facts: NodeFacts,
    cgroup_parent: str,
    log_directory: str,
    hostname: str,
    extra_groups: Sequence[int] = (),
    warn: Callable[[str, str], None] = lambda reason, message: None,
) -> pb.PodSandboxConfig:
    """The sandbox of a pod, the `attempt`-th from 0. `cgroup_parent` is the pod's cgroup, `hostname` that of
    `hostname.pod_hostname`, `extra_groups` those that its volumes bring. `warn` takes reason and message of what
    the pod does not get that it asks for. Raises ConfigError."""
    meta = pod["metadata"]
    resolver, shortcomings = dns_config(pod, facts)
    for each in shortcomings:
        warn(each.reason, each.message)
    config = pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(
            name=meta["name"], namespace=meta.get("namespace", ""), uid=meta["uid"], attempt=attempt
        ),
        hostname=hostname,
        log_directory=log_directory,
        dns_config=resolver,
        port_mappings=port_mappings(pod),
        labels={**(meta.get("labels") or {}), **pod_labels(pod)},
        annotations=meta.get("annotations") or {},
    )
    config.linux.cgroup_parent = cgroup_parent
    config.linux.security_context.CopyFrom(sandbox_context(pod, extra_groups))
    config.linux.sysctls.update(sysctls(pod))
    config.linux.resources.CopyFrom(pod_resources(pod))
    overhead = overhead_resources(pod)
    if overhead is not None:
        config.linux.overhead.CopyFrom(overhead)
    return config


def port_mappings(pod: Obj) -> list[pb.PortMapping]:
    """The ports of the node that lead to the pod: none on the node's own network, where nothing is mapped."""
    if is_host_network(pod):
        return []
    spec = pod["spec"]
    machine = spec.get("virtualMachine")
    holders = [
        *(each for each in spec.get("initContainers") or () if is_sidecar(each)),
        *((machine,) if machine is not None else ()),
        *(spec.get("containers") or ()),
    ]
    found = {}
    for port in (port for holder in holders for port in holder.get("ports") or ()):
        if not port.get("hostPort"):
            continue
        protocol, address = port.get("protocol") or "TCP", port.get("hostIP") or ""
        found[protocol, address, port["hostPort"]] = pb.PortMapping(
            protocol=_PROTOCOLS.get(protocol, pb.TCP),
            container_port=port["containerPort"],
            host_port=port["hostPort"],
            host_ip=address,
        )
    return list(found.values())
