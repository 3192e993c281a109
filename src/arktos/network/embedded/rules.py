"""The nftables rules, as a function of the state. Pure.

Two tables `arktos`. The chains are written once; what changes are elements of sets and maps, and one small chain and
set for each tenant:

    bridge prerouting    frames from a pod's port -> port: own MAC and address, else drop
    inet forward         from a pod -> from_pod; to a pod -> to_pod; both ask the bridge's tenant: t_<tenant>
    inet input           from a pod to the node: DNS, the API server, echo; else drop
    inet prerouting      host ports
    inet output          host ports, asked for on the node itself
    inet postrouting     masquerade to the outside, and where a reply could not find back

Between pods every packet is judged by its two addresses, after translation; that a connection is established counts
only towards the outside. So what was begun with an address ends when that address is another tenant's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from arktos.network.embedded.records import Record, short

TABLE = "arktos"
BRIDGE_PREFIX = "ark-"
PORT_PREFIX = "arkp"
NODE_PORTS = "30000-32767"

Place = tuple[str, str]
"""Family and name of a set or map."""
Elements = dict[Place, frozenset[str]]
"""The elements of each set or map; a map's are `key : value`."""

SENDERS: Place = ("bridge", "senders")
BRIDGES: Place = ("inet", "bridges")
NODES: Place = ("inet", "nodes")
API_SERVERS: Place = ("inet", "api_servers")
HOST_PORTS: Place = ("inet", "host_ports")
HOST_PORTS_AT: Place = ("inet", "host_ports_at")
HAIRPINS: Place = ("inet", "hairpins")

_MAPS = frozenset({BRIDGES, HOST_PORTS, HOST_PORTS_AT})
_TYPES: dict[Place, str] = {
    SENDERS: "ifname . ether_addr . ipv4_addr",
    BRIDGES: "ifname : verdict",
    NODES: "ipv4_addr",
    API_SERVERS: "ipv4_addr . inet_service",
    HOST_PORTS: "inet_proto . inet_service : ipv4_addr . inet_service",
    HOST_PORTS_AT: "ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service",
    HAIRPINS: "ipv4_addr . ipv4_addr",
}


@dataclass(frozen=True, slots=True)
class Fixed:
    """What a node's rules are built on, known from the start. Networks are in CIDR form."""

    pod_network: str
    cluster_network: str
    service_network: str
    cluster_dns: str
    gateway: str


@dataclass(slots=True)
class State:
    """What changes. `addresses` are those of each tenant's pods, on all nodes; `nodes` those of the other nodes;
    `api_servers` address and port."""

    records: dict[tuple[str, str], Record] = field(default_factory=dict)
    addresses: dict[str, set[str]] = field(default_factory=dict)
    nodes: set[str] = field(default_factory=set)
    api_servers: set[tuple[str, int]] = field(default_factory=set)

    def tenants(self) -> set[str]:
        """Those with a bridge here."""
        return {record.pod.tenant for record in self.records.values()}


def bridge_name(tenant: str) -> str:
    return BRIDGE_PREFIX + short(tenant, length=8)


def tenant_chain(tenant: str) -> str:
    """Name of the tenant's chain; `members` has its set."""
    return f"t_{short(tenant, length=8)}"


def members(tenant: str) -> Place:
    return ("inet", f"pods_{short(tenant, length=8)}")


def elements(state: State) -> Elements:
    """All elements that there shall be."""
    found: dict[Place, set[str]] = {place: set() for place in _TYPES}
    for tenant in state.tenants():
        found[BRIDGES].add(f'"{bridge_name(tenant)}" : jump {tenant_chain(tenant)}')
        found[members(tenant)] = set(state.addresses.get(tenant, ()))
    for record in state.records.values():
        found[members(record.pod.tenant)].add(record.address)
        found[SENDERS].add(f'"{record.host_ifname}" . {record.mac} . {record.address}')
        for port in record.ports:
            target = f"{record.address} . {port.container_port}"
            if port.host_ip:
                found[HOST_PORTS_AT].add(f"{port.host_ip} . {port.protocol} . {port.host_port} : {target}")
            else:
                found[HOST_PORTS].add(f"{port.protocol} . {port.host_port} : {target}")
            found[HAIRPINS].add(f"{record.address} . {record.address}")
    found[NODES] = set(state.nodes)
    found[API_SERVERS] = {f"{address} . {port}" for address, port in state.api_servers}
    return {place: frozenset(values) for place, values in found.items()}


def difference(before: Elements, after: Elements) -> list[str]:
    """The commands that lead from one to the other, in an order in which nothing is named that is not there."""
    made, grown, shrunk, ended = [], [], [], []
    for place in sorted(before.keys() | after.keys()):
        old, new = before.get(place, frozenset()), after.get(place, frozenset())
        if place not in before:
            made += _tenant_made(place)
        if place not in after:
            ended += _tenant_ended(place)
            continue
        if gone := old - new:
            shrunk.append(_elements("delete", place, _keys(place, gone)))
        if come := new - old:
            grown.append(_elements("add", place, come))
    # What goes, goes first: a map cannot take a key twice.
    return [*made, *shrunk, *grown, *ended]


def base(fixed: Fixed) -> str:
    """The tables, sets and chains, written so that they can be applied over themselves at any time, in one
    transaction: rules are replaced, elements stay."""
    sets = "\n".join(_declared(place) for place in _TYPES)
    return f"""\
add table bridge {TABLE}
add table inet {TABLE}
{sets}
{_bridge_rules()}
{_filter_rules(fixed)}
{_nat_rules(fixed)}
"""


def is_ours(place: Place) -> bool:
    """Whether a set or map of the tables is one that we make."""
    return place in _TYPES or _is_tenants(place)


def _is_tenants(place: Place) -> bool:
    return place[1].startswith("pods_")


def _bridge_rules() -> str:
    own = "@senders"
    return f"""\
add chain bridge {TABLE} prerouting {{ type filter hook prerouting priority -300; policy accept; }}
add chain bridge {TABLE} port
flush chain bridge {TABLE} prerouting
flush chain bridge {TABLE} port
add rule bridge {TABLE} prerouting iifname "{PORT_PREFIX}*" jump port
add rule bridge {TABLE} port iifname . ether saddr . ip saddr {own} accept
add rule bridge {TABLE} port iifname . ether saddr . arp saddr ip {own} iifname . arp saddr ether . arp saddr ip {own} \
accept
add rule bridge {TABLE} port counter drop
"""


def _filter_rules(fixed: Fixed) -> str:
    pods = f'"{BRIDGE_PREFIX}*"'
    chains = ("from_pod", "to_pod", "to_node")
    declared = "\n".join(f"add chain inet {TABLE} {name}\nflush chain inet {TABLE} {name}" for name in chains)
    return f"""\
{declared}
add chain inet {TABLE} forward {{ type filter hook forward priority filter; policy accept; }}
flush chain inet {TABLE} forward
add rule inet {TABLE} forward iifname != {pods} oifname != {pods} accept
add rule inet {TABLE} forward meta nfproto ipv6 drop
add rule inet {TABLE} forward iifname {pods} jump from_pod
add rule inet {TABLE} forward oifname {pods} jump to_pod
add rule inet {TABLE} forward counter drop
add rule inet {TABLE} from_pod ip daddr 169.254.0.0/16 counter reject with icmp type admin-prohibited
add rule inet {TABLE} from_pod ip daddr {fixed.cluster_network} iifname vmap @bridges
add rule inet {TABLE} from_pod ip daddr {fixed.cluster_network} counter drop
add rule inet {TABLE} from_pod ct state established,related accept
add rule inet {TABLE} from_pod oifname {pods} counter drop
add rule inet {TABLE} from_pod ip daddr {fixed.service_network} counter reject with icmp type port-unreachable
add rule inet {TABLE} from_pod ip daddr . tcp dport @api_servers accept
add rule inet {TABLE} from_pod ip daddr @nodes icmp type echo-request accept
add rule inet {TABLE} from_pod ip daddr @nodes meta l4proto {{ tcp, udp, sctp }} th dport {NODE_PORTS} accept
add rule inet {TABLE} from_pod ip daddr @nodes counter reject with icmp type admin-prohibited
add rule inet {TABLE} from_pod accept
add rule inet {TABLE} to_pod ip saddr {fixed.cluster_network} oifname vmap @bridges
add rule inet {TABLE} to_pod ip saddr {fixed.cluster_network} counter drop
add rule inet {TABLE} to_pod accept
add chain inet {TABLE} input {{ type filter hook input priority filter; policy accept; }}
flush chain inet {TABLE} input
add rule inet {TABLE} input iifname {pods} jump to_node
add rule inet {TABLE} to_node meta nfproto ipv6 drop
add rule inet {TABLE} to_node ct state established,related accept
add rule inet {TABLE} to_node ip daddr {{ 127.0.0.0/8, 169.254.0.0/16 }} counter drop
add rule inet {TABLE} to_node icmp type echo-request accept
add rule inet {TABLE} to_node ip daddr {{ {fixed.cluster_dns}, {fixed.gateway} }} meta l4proto {{ tcp, udp }} \
th dport 53 accept
add rule inet {TABLE} to_node meta l4proto {{ tcp, udp }} ct original ip daddr {fixed.cluster_dns} \
ct original proto-dst 53 accept
add rule inet {TABLE} to_node ip daddr . tcp dport @api_servers accept
add rule inet {TABLE} to_node counter drop
"""


def _nat_rules(fixed: Fixed) -> str:
    inside = f"{{ {fixed.cluster_network}, {fixed.service_network} }}"
    host_port = "fib daddr type local dnat ip to"
    return f"""\
add chain inet {TABLE} host_port
flush chain inet {TABLE} host_port
add rule inet {TABLE} host_port {host_port} ip daddr . meta l4proto . th dport map @host_ports_at
add rule inet {TABLE} host_port {host_port} meta l4proto . th dport map @host_ports
add chain inet {TABLE} prerouting {{ type nat hook prerouting priority dstnat + 5; policy accept; }}
flush chain inet {TABLE} prerouting
add rule inet {TABLE} prerouting meta l4proto {{ tcp, udp, sctp }} jump host_port
add chain inet {TABLE} output {{ type nat hook output priority -95; policy accept; }}
flush chain inet {TABLE} output
add rule inet {TABLE} output meta l4proto {{ tcp, udp, sctp }} jump host_port
add chain inet {TABLE} postrouting {{ type nat hook postrouting priority srcnat; policy accept; }}
flush chain inet {TABLE} postrouting
add rule inet {TABLE} postrouting ip saddr 127.0.0.0/8 oifname "{BRIDGE_PREFIX}*" masquerade
add rule inet {TABLE} postrouting ip saddr . ip daddr @hairpins masquerade
add rule inet {TABLE} postrouting ip saddr {fixed.pod_network} ip daddr != {inside} oifname != "{BRIDGE_PREFIX}*" \
masquerade fully-random
"""


def _declared(place: Place) -> str:
    family, name = place
    kind = "map" if place in _MAPS else "set"
    return f"add {kind} {family} {TABLE} {name} {{ type {_TYPES[place]}; }}"


def _tenant_made(place: Place) -> list[str]:
    if not _is_tenants(place):
        return []
    family, name = place
    chain, bridge = name.replace("pods_", "t_"), name.replace("pods_", BRIDGE_PREFIX)
    # The set is made of what pods say of themselves. So an address in it must not lead to another's bridge here, and
    # on another node that node's rules judge, too.
    ways = (
        f'iifname "{bridge}" oifname "{bridge}"',
        f'iifname "{bridge}" oifname != "{BRIDGE_PREFIX}*"',
        f'iifname != "{BRIDGE_PREFIX}*" oifname "{bridge}"',
    )
    return [
        f"add set {family} {TABLE} {name} {{ type ipv4_addr; }}",
        f"add chain {family} {TABLE} {chain}",
        f"flush chain {family} {TABLE} {chain}",
        *(f"add rule {family} {TABLE} {chain} {way} ip saddr @{name} ip daddr @{name} accept" for way in ways),
    ]


def _tenant_ended(place: Place) -> list[str]:
    family, name = place
    chain = name.replace("pods_", "t_")
    return [
        f"flush chain {family} {TABLE} {chain}",
        f"delete chain {family} {TABLE} {chain}",
        f"delete set {family} {TABLE} {name}",
    ]


def _elements(verb: str, place: Place, values: Iterable[str]) -> str:
    family, name = place
    return f"{verb} element {family} {TABLE} {name} {{ {', '.join(sorted(values))} }}"


def _keys(place: Place, values: Iterable[str]) -> list[str]:
    """What names elements that shall go: a map's without their values."""
    return [value.partition(" : ")[0] for value in values] if place in _MAPS else list(values)
