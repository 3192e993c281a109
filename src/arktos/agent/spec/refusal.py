"""What a node cannot do for a pod, whatever is free on it: reasons to refuse one that was bound here."""

from __future__ import annotations

from dataclasses import dataclass

from arktos.agent.spec.facts import NodeFacts, is_host_network
from arktos.agent.spec.security import apparmor_profiles, sysctls
from arktos.model.kinds import Obj

_SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
_IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Reason and message of the status of a pod that is refused: phase Failed, never retried here."""

    reason: str
    message: str


def refusal(pod: Obj, facts: NodeFacts) -> Refusal | None:
    """Why this node can never run a pod, or None."""
    spec = pod["spec"]
    stated = spec.get("securityContext") or {}
    system = (spec.get("os") or {}).get("name") or "linux"
    if system != "linux":
        return Refusal("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    if not facts.apparmor and apparmor_profiles(pod):
        return Refusal("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
    if stated.get("supplementalGroupsPolicy") == "Strict" and not facts.strict_supplemental_groups:
        return Refusal(
            "SupplementalGroupsPolicyNotSupported", "SupplementalGroupsPolicy=Strict is not supported in this node"
        )
    if spec.get("hostUsers") is False and not facts.user_namespaces:
        return Refusal("UserNamespacesNotSupported", "user namespaces are not supported by the runtime of this node")
    for name in sysctls(pod):
        problem = _sysctl_problem(name, pod, facts)
        if problem:
            return Refusal("SysctlForbidden", f'forbidden sysctl: "{name}" {problem}')
    return None


def _sysctl_problem(name: str, pod: Obj, facts: NodeFacts) -> str:
    if name not in _SAFE_SYSCTLS and not any(_matches(name, allowed) for allowed in facts.allowed_sysctls):
        return "not allowlisted"
    if name.startswith("net.") and is_host_network(pod):
        return "not allowed with host net enabled"
    if name.startswith(_IPC_SYSCTLS) and pod["spec"].get("hostIPC"):
        return "not allowed with host ipc enabled"
    return ""


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
