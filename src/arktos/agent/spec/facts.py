"""What the pure part must know of its node, and how it says no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from arktos.model.kinds import Obj
from arktos.model.quantity import Quantity


class ConfigError(Exception):
    """A container cannot be made from what its pod says; `reason` and `message` are those of its waiting state."""

    def __init__(self, message: str, reason: str = "CreateContainerConfigError") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Resolver:
    """The content of a resolv.conf."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node as its pods see it.

    `allocatable` stands in for limits that a container does not state. `lowest_oom_score_adj` is the lowest value the
    kernel lets this process give: 0, or its own, without CAP_SYS_RESOURCE. `seccomp_root` holds the profiles of type
    Localhost. `huge_page_sizes` are the kernel's, as resources name them (`2Mi`). `allowed_sysctls` are what the
    operator allows beyond the safe ones; an entry may end in `*`.
    """

    name: str
    ips: tuple[str, ...]
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    resolver: Resolver = Resolver()
    allocatable: Mapping[str, Quantity] = field(default_factory=dict)
    memory_capacity: int = 0
    lowest_oom_score_adj: int = -1000
    cgroup_v2: bool = False
    swap_limits: bool = False
    huge_page_sizes: tuple[str, ...] = ()
    seccomp_root: str = ""
    apparmor: bool = False
    user_namespaces: bool = False
    strict_supplemental_groups: bool = False
    allowed_sysctls: tuple[str, ...] = ()


def described(pod: Obj) -> str:
    """A pod as messages name it: `name_namespace(uid)`."""
    meta = pod["metadata"]
    return f"{meta.get('name', '')}_{meta.get('namespace', '')}({meta.get('uid', '')})"


def is_host_network(pod: Obj) -> bool:
    """Whether a pod lives in the network namespace of its node."""
    return bool((pod.get("spec") or {}).get("hostNetwork"))


def is_sidecar(container: Obj) -> bool:
    """Whether an init container restarts always (KEP-753). Meaningless for containers that are not init containers."""
    return container.get("restartPolicy") == "Always"


def all_containers(pod: Obj) -> list[Obj]:
    """Every workload of a pod: init containers, the VM or the containers, ephemeral containers."""
    spec = pod["spec"]
    machine = spec.get("virtualMachine")
    return [
        *(spec.get("initContainers") or ()),
        *((machine,) if machine is not None else ()),
        *(spec.get("containers") or ()),
        *(spec.get("ephemeralContainers") or ()),
    ]
