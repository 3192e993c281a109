"""The chains of table `arktos-services`: the same whatever services there are. Pure."""

from __future__ import annotations

from dataclasses import dataclass

TABLE = "arktos-services"
TAG = 0x4A000000
"""The top byte of connection marks that are routes. Bit 0 is set for routes to endpoints on this node only."""
TAG_MASK = 0xFF000000
ROUTES = 1 << 23
"""How many numbers there are for routes."""

_ADDRESSED = "ipv4_addr . inet_proto . inet_service"
_BACKEND = "ipv4_addr . inet_service"

MAPS: dict[str, str] = {
    "services": f"{_ADDRESSED} : mark",
    "externals": f"{_ADDRESSED} : mark",
    "ports": "inet_proto . inet_service : mark",
    "ports-in": "inet_proto . inet_service : mark",
    "choose": "mark : verdict",
    "endpoints": f"mark . mark : {_BACKEND}",
    "learn": "mark : verdict",
}
SETS: dict[str, str] = {"hairpin": "ipv4_addr . ipv4_addr"}
ROUTE_MAPS = ("services", "externals", "ports", "ports-in")


@dataclass(frozen=True, slots=True)
class Fixed:
    """Known from the start. Networks are in CIDR form."""

    cluster_network: str
    service_network: str
    cluster_dns: str


def base(fixed: Fixed) -> str:
    """The table, so that it can be applied over itself at any time, in one transaction: rules are replaced, elements
    and chains that belong to numbers stay."""
    lines = [f"add table ip {TABLE}"]
    lines += [f"add map ip {TABLE} {name} {{ type {kind}; }}" for name, kind in MAPS.items()]
    lines += [f"add set ip {TABLE} {name} {{ type {kind}; }}" for name, kind in SETS.items()]
    lines.append(
        f"add map ip {TABLE} affinity {{ type ipv4_addr . mark : {_BACKEND}; flags dynamic, timeout; "
        "timeout 3h; size 262144; }"
    )
    chains = _chains(fixed)
    for name, (hook, _) in chains.items():
        declared = f" {{ type {hook}; policy accept; }}" if hook else ""
        lines += [f"add chain ip {TABLE} {name}{declared}", f"flush chain ip {TABLE} {name}"]
    for name, (_, rules) in chains.items():
        lines += [f"add rule ip {TABLE} {name} {rule}" for rule in rules]
    return "\n".join(lines) + "\n"


def _chains(fixed: Fixed) -> dict[str, tuple[str, list[str]]]:
    ours = f"ct mark & {TAG_MASK:#x} == {TAG:#x}"
    whole_cluster = f"ct mark & {TAG_MASK | 1:#x} == {TAG:#x}"
    addressed = "ip daddr . meta l4proto . th dport"
    local = "fib daddr type local ip daddr != 127.0.0.0/8"
    inside = f"ip saddr {fixed.cluster_network}"
    to_service = f"ip daddr {fixed.service_network} ip daddr != {fixed.cluster_dns}"
    ports_in = "ct mark set meta l4proto . th dport map @ports-in"
    new = "ct state new"
    return {
        "prerouting": (
            "nat hook prerouting priority dstnat",
            [
                f"ct mark set {addressed} map @services",
                f"ip saddr != {fixed.cluster_network} ct mark set {addressed} map @externals",
                f"{local} {inside} {ports_in}",
                f"{local} ip saddr != {fixed.cluster_network} ct mark set meta l4proto . th dport map @ports",
                "ct mark vmap @choose",
            ],
        ),
        "output": (
            "nat hook output priority -100",
            [f"ct mark set {addressed} map @services", f"{local} {ports_in}", "ct mark vmap @choose"],
        ),
        # After translation: the scratch number goes, affinity is learnt, and what led nowhere is refused.
        "translated": (
            "",
            [
                f"{ours} meta mark set 0",
                f"{ours} ct status dnat ct mark vmap @learn",
                f"{ours} ct status dnat return",
                f"{ours} goto refuse",
                f"{to_service} goto refuse",
            ],
        ),
        "after-prerouting": (
            "filter hook prerouting priority dstnat + 10",
            [f"{new} jump translated", _stray(to_service)],
        ),
        "after-output": ("filter hook output priority -90", [f"{new} jump translated", _stray(to_service)]),
        "refuse": ("", ["meta l4proto tcp reject with tcp reset", "reject with icmp port-unreachable"]),
        "postrouting": (
            "nat hook postrouting priority srcnat - 5",
            [
                "ct status dnat ip saddr . ip daddr @hairpin masquerade fully-random",
                f"{ours} ct status dnat ct original ip daddr {fixed.service_network} "
                f"ip saddr != {fixed.cluster_network} masquerade fully-random",
                # Through a node port or external address to anywhere: the reply must come back through this node.
                f"{whole_cluster} ct status dnat ct original ip daddr != {fixed.service_network} "
                "masquerade fully-random",
            ],
        ),
    }


def _stray(to_service: str) -> str:
    """A packet of no connection that is known must not wander off to the outside."""
    return f"ct state invalid {to_service} drop"


def pick(count: int) -> tuple[str, str]:
    """The chain for routes with so many endpoints, and its commands."""
    name = f"pick-{count}"
    return name, "\n".join(
        (
            f"add chain ip {TABLE} {name}",
            f"flush chain ip {TABLE} {name}",
            f"add rule ip {TABLE} {name} meta mark set numgen random mod {count}",
            *(
                f"add rule ip {TABLE} {name} meta l4proto {protocol} dnat ip to ct mark . meta mark map @endpoints"
                for protocol in ("tcp", "udp", "sctp")
            ),
        )
    )


def sticky(count: int) -> tuple[str, str]:
    """The same, where who has been here before goes where it went."""
    name = f"sticky-{count}"
    return name, "\n".join(
        (
            f"add chain ip {TABLE} {name}",
            f"flush chain ip {TABLE} {name}",
            *(
                f"add rule ip {TABLE} {name} meta l4proto {protocol} dnat ip to ip saddr . ct mark map @affinity"
                for protocol in ("tcp", "udp", "sctp")
            ),
            f"add rule ip {TABLE} {name} goto pick-{count}",
        )
    )


def learn(seconds: int) -> tuple[str, str]:
    """Remembers where a client went; of one that is known only the time begins anew."""
    name = f"learn-{seconds}"
    update = f"update @affinity {{ ip saddr . ct mark timeout {seconds}s : ip daddr . th dport }}"
    return name, "\n".join(
        (
            f"add chain ip {TABLE} {name}",
            f"flush chain ip {TABLE} {name}",
            f"add rule ip {TABLE} {name} {update}",
        )
    )
