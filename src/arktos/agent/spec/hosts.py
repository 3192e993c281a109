"""/etc/hosts of a pod's containers."""

from __future__ import annotations

from collections.abc import Sequence

from arktos.agent.spec.facts import NodeFacts, is_host_network
from arktos.agent.spec.hostname import domain_name, short_name
from arktos.model.kinds import Obj

_OWN_HEADER = "# Kubernetes-managed hosts file.\n"
_HOST_HEADER = "# Kubernetes-managed hosts file (host network).\n"
_LOCAL = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::0", "ip6-localnet"),
    ("fe00::0", "ip6-mcastprefix"),
    ("fe00::1", "ip6-allnodes"),
    ("fe00::2", "ip6-allrouters"),
)


def hosts_file(pod: Obj, pod_ips: Sequence[str], facts: NodeFacts, node_hosts: str = "") -> str:
    """The file's content: the pod's own names at its addresses, or the node's file for a pod on the node's network;
    then the pod's aliases."""
    if is_host_network(pod):
        text = _HOST_HEADER + node_hosts
        text += "" if text.endswith("\n") else "\n"
    else:
        name, domain = short_name(pod), domain_name(pod, facts)
        names = f"{name}.{domain}\t{name}" if domain else name
        text = _OWN_HEADER + "".join(f"{ip}\t{local}\n" for ip, local in _LOCAL)
        text += "".join(f"{ip}\t{names}\n" for ip in pod_ips)
    aliases = pod["spec"].get("hostAliases") or ()
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join("\t".join([each["ip"], *(each.get("hostnames") or ())]) + "\n" for each in aliases)
    return text


def writes_hosts_file(pod: Obj, container: Obj) -> bool:
    """Whether a container gets this file: not if it mounts something of its own there."""
    return all(mount.get("mountPath") != "/etc/hosts" for mount in container.get("volumeMounts") or ())
