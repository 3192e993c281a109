"""What a pod's resolv.conf says: `dnsPolicy`, then `dnsConfig` over it, within what resolvers can take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from arktos.agent.spec.facts import NodeFacts, Resolver, described, is_host_network
from arktos.model.kinds import Obj
from arktos.rpc.protos import cri_pb2 as pb

_MAX_SERVERS, _MAX_SEARCHES, _MAX_SEARCH_CHARACTERS = 3, 32, 2048
_CLUSTER_OPTIONS = ("ndots:5",)


class Shortcoming(NamedTuple):
    """What a pod's resolver does not get that was asked for, as an event says it."""

    reason: str
    message: str


def parse_resolv_conf(text: str) -> Resolver:
    """The content of a resolv.conf; of several `search` lines the last counts. What is unknown is passed over."""
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    for line in text.splitlines():
        words = line.split("#", 1)[0].split(";", 1)[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = tuple(word for word in (each.rstrip(".") or "." for each in words[1:]) if word)
        elif words[0] == "options":
            options = tuple(words[1:])
    return Resolver(tuple(servers), searches, options)


def dns_config(pod: Obj, facts: NodeFacts) -> tuple[pb.DNSConfig, list[Shortcoming]]:
    """The resolver configuration of a pod, and what it falls short of."""
    warnings: list[Shortcoming] = []
    servers, searches, options = _by_policy(pod, facts, warnings)
    stated = pod["spec"].get("dnsConfig") or {}
    servers = list(dict.fromkeys([*servers, *(stated.get("nameservers") or ())]))
    searches = list(dict.fromkeys([*searches, *(stated.get("searches") or ())]))
    options = _merged(options, stated.get("options") or ())
    return pb.DNSConfig(
        servers=_fitting_servers(servers, warnings), searches=_fitting_searches(searches, warnings), options=options
    ), warnings


def _by_policy(pod: Obj, facts: NodeFacts, warnings: list[Shortcoming]) -> tuple[list[str], list[str], list[str]]:
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    resolver = facts.resolver
    if policy == "None":
        return [], [], []
    wants_cluster = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not is_host_network(pod))
    if wants_cluster and facts.cluster_dns:
        domain, namespace = facts.cluster_domain, pod["metadata"].get("namespace", "")
        own = [f"{namespace}.svc.{domain}", f"svc.{domain}", domain]
        return list(facts.cluster_dns), [*own, *resolver.searches], list(_CLUSTER_OPTIONS)
    if wants_cluster:
        said = (
            f'pod: "{described(pod)}". kubelet does not have ClusterDNS IP configured and cannot create Pod using '
            f'"{policy}" policy. Falling back to "Default" policy.'
        )
        warnings.append(Shortcoming("MissingClusterDNS", said))
    return list(resolver.servers) or ["127.0.0.1"], list(resolver.searches), list(resolver.options)


def _merged(options: Iterable[str], stated: Iterable[Obj]) -> list[str]:
    found: dict[str, str] = {}
    for option in options:
        name, _, value = option.partition(":")
        found[name] = value
    for each in stated:
        found[each.get("name", "")] = str(each.get("value") or "")
    return [f"{name}:{value}" if value else name for name, value in found.items() if name]


def _fitting_servers(servers: list[str], warnings: list[Shortcoming]) -> list[str]:
    if len(servers) > _MAX_SERVERS:
        servers = servers[:_MAX_SERVERS]
        said = "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
        warnings.append(Shortcoming("DNSConfigForming", said + " ".join(servers)))
    return servers


def _fitting_searches(searches: list[str], warnings: list[Shortcoming]) -> list[str]:
    fitting = searches[:_MAX_SEARCHES]
    while fitting and len(" ".join(fitting)) > _MAX_SEARCH_CHARACTERS:
        fitting.pop()
    if len(fitting) < len(searches):
        said = "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "
        warnings.append(Shortcoming("DNSConfigForming", said + " ".join(fitting)))
    return fitting
