"""Rules as a function of the state: differences lead from any state to any other, without naming what is not there."""

from __future__ import annotations

import re
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from arktos.network.embedded import rules
from arktos.network.embedded.nft import read_elements
from arktos.network.embedded.records import Record
from arktos.network.embedded.rules import State, bridge_name, difference, elements, members
from arktos.network.provider import PodIdentity, PortMapping


def record(tenant: str, number: int, ports: tuple[PortMapping, ...] = ()) -> Record:
    return Record(
        container_id=f"c{number}",
        ifname="eth0",
        netns="/run/netns/x",
        pod=PodIdentity(f"u{number}", tenant, "default", "web"),
        address=f"10.244.1.{number}",
        mac=f"02:00:00:00:00:{number:02x}",
        host_ifname=f"arkp{number}",
        ports=ports,
    )


def state(*records: Record, addresses: dict[str, set[str]] | None = None) -> State:
    return State({found.key: found for found in records}, addresses or {}, {"192.168.0.2"}, {("192.168.0.1", 6443)})


def test_the_elements_of_a_state() -> None:
    web = record("red", 2, (PortMapping(80, 8080), PortMapping(53, 53, "udp", "192.168.0.1")))
    found = elements(state(web, record("blue", 3), addresses={"red": {"10.244.2.9"}, "green": {"10.244.2.8"}}))
    assert found[members("red")] == {"10.244.1.2", "10.244.2.9"} and found[members("blue")] == {"10.244.1.3"}
    assert members("green") not in found, "no pod of theirs is here"
    assert found[rules.SENDERS] == {
        '"arkp2" . 02:00:00:00:00:02 . 10.244.1.2',
        '"arkp3" . 02:00:00:00:00:03 . 10.244.1.3',
    }
    assert found[rules.HOST_PORTS] == {"tcp . 80 : 10.244.1.2 . 8080"}
    assert found[rules.HOST_PORTS_AT] == {"192.168.0.1 . udp . 53 : 10.244.1.2 . 53"}
    assert found[rules.API_SERVERS] == {"192.168.0.1 . 6443"}
    assert {entry.split()[0] for entry in found[rules.BRIDGES]} == {f'"{bridge_name(t)}"' for t in ("red", "blue")}


class Kernel:
    """As much of nftables as the commands need: refuses what the real one refuses."""

    def __init__(self) -> None:
        self.sets: dict[str, set[str]] = defaultdict(set)
        self.tenant_sets: set[str] = set()
        self.chains: set[str] = set()

    def apply(self, commands: list[str]) -> None:
        for command in commands:
            verb, what, _, _, name, *rest = command.split(maxsplit=5)
            if what == "element":
                self._element(verb, name, rest[0])
            elif what == "set":
                (self.tenant_sets.add if verb == "add" else self._drop_set)(name)
            elif what == "chain":
                if verb != "add":
                    assert name in self.chains
                if verb == "delete":
                    assert not any(f"jump {name}" in entry for entry in self.sets["bridges"])
                    self.chains.remove(name)
                elif verb == "add":
                    self.chains.add(name)
            else:
                assert (verb, what) == ("add", "rule") and name in self.chains

    def _drop_set(self, name: str) -> None:
        assert name.replace("pods_", "t_") not in self.chains, "a rule still names the set"
        self.tenant_sets.remove(name)
        self.sets.pop(name, None)

    def _element(self, verb: str, name: str, text: str) -> None:
        if name.startswith("pods_"):
            assert name in self.tenant_sets
        for entry in text.strip("{ }").split(", "):
            key = entry.partition(" : ")[0]
            matching = {found for found in self.sets[name] if found.partition(" : ")[0] == key}
            if verb == "delete":
                assert matching
                self.sets[name] -= matching
            else:
                assert not matching
                if target := re.search(r"jump (\S+)", entry):
                    assert target[1] in self.chains
                self.sets[name].add(entry)


@st.composite
def states(draw: st.DrawFn) -> State:
    tenants = st.sampled_from(["red", "blue", "green"])
    numbers = draw(st.sets(st.integers(2, 9), max_size=5))
    made = []
    for count, number in enumerate(sorted(numbers)):
        ports = (PortMapping(8000 + count, draw(st.integers(1, 3))),) if draw(st.booleans()) else ()
        made.append(record(draw(tenants), number, ports))
    remote = st.sets(st.integers(2, 9).map(lambda number: f"10.244.2.{number}"), max_size=3)
    return state(*made, addresses=draw(st.dictionaries(tenants, remote)))


@given(st.lists(states(), max_size=6))
def test_differences_lead_to_every_next_state(sequence: list[State]) -> None:
    kernel, before = Kernel(), elements(State())
    for wanted in sequence:
        after = elements(wanted)
        kernel.apply(difference(before, after))
        assert {name: found for name, found in kernel.sets.items() if found} == {
            name: set(found) for (_, name), found in after.items() if found
        }
        assert kernel.tenant_sets == {name for _, name in after if name.startswith("pods_")}
        assert difference(after, after) == []
        before = after


def test_what_nft_prints_is_read_as_it_was_written() -> None:
    text = """{"nftables": [{"metainfo": {}}, {"set": {"family": "bridge", "name": "senders", "table": "arktos",
      "type": ["ifname", "ether_addr", "ipv4_addr"],
        "elem": [{"concat": ["arkp2", "02:00:00:00:00:02", "10.244.1.2"]}]}},
      {"set": {"family": "inet", "name": "somebody_elses", "type": "ipv4_addr", "elem": ["1.2.3.4"]}},
      {"set": {"family": "inet", "name": "nodes", "type": "ipv4_addr", "elem": ["192.168.0.2"]}},
      {"map": {"family": "inet", "name": "bridges", "type": "ifname", "map": "verdict",
        "elem": [["ark-1", {"jump": {"target": "t_1"}}]]}},
      {"map": {"family": "inet", "name": "host_ports", "type": ["inet_proto", "inet_service"],
        "map": "ipv4_addr . inet_service", "elem": [[{"concat": ["tcp", 80]}, {"concat": ["10.244.1.2", 8080]}]]}}]}"""
    assert read_elements(text) == {
        rules.SENDERS: {'"arkp2" . 02:00:00:00:00:02 . 10.244.1.2'},
        rules.NODES: {"192.168.0.2"},
        rules.BRIDGES: {'"ark-1" : jump t_1'},
        rules.HOST_PORTS: {"tcp . 80 : 10.244.1.2 . 8080"},
    }
