"""What a pod calls itself: `hostname`, `subdomain`, `setHostnameAsFQDN`, `hostnameOverride` (KEP-4762)."""

from __future__ import annotations

from arktos.agent.spec.facts import ConfigError, NodeFacts, is_host_network
from arktos.model.kinds import Obj

_LONGEST_LABEL, _LONGEST_NAME = 63, 64


def short_name(pod: Obj) -> str:
    """The hostname proper: as stated, else the pod's name, cut to what a label may be."""
    spec = pod["spec"]
    if spec.get("hostnameOverride"):
        return str(spec["hostnameOverride"])
    stated = spec.get("hostname") or pod["metadata"]["name"]
    return str(stated)[:_LONGEST_LABEL].rstrip("-.")


def domain_name(pod: Obj, facts: NodeFacts) -> str:
    """The domain that the subdomain makes, "" without one."""
    spec = pod["spec"]
    if spec.get("hostnameOverride") or not spec.get("subdomain"):
        return ""
    return f"{spec['subdomain']}.{pod['metadata'].get('namespace', '')}.svc.{facts.cluster_domain}"


def pod_hostname(pod: Obj, facts: NodeFacts) -> str:
    """The hostname for the sandbox, "" on the node's own network, where it is the node's. Raises ConfigError, reason
    FailedCreatePodSandBox, for one that the kernel cannot hold."""
    if is_host_network(pod):
        return ""
    name, domain = short_name(pod), domain_name(pod, facts)
    if not pod["spec"].get("setHostnameAsFQDN") or not domain:
        return name
    whole = f"{name}.{domain}"
    if len(whole) > _LONGEST_NAME:
        raise ConfigError(
            f"Failed to construct FQDN from Pod hostname and cluster domain, FQDN {whole} is too long "
            f"({_LONGEST_NAME} characters is the max, {len(whole)} characters requested)",
            "FailedCreatePodSandBox",
        )
    return whole
