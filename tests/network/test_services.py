"""Services as elements: what leads where, and that the table follows any history of changes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from arktos.network.services import rules
from arktos.network.services.routes import NOTHING, Place, RouteId, best, may_claim, may_lead, nearest, routing
from arktos.network.services.table import Elements, Table, placed
from arktos.network.services.view import EndpointView, view_service, view_slice
from network.service_stage import SERVICE, cached, endpoint, service, slice_

PLACE = Place("n1", "z1", IPv4Network("10.244.0.0/16"), IPv4Network("10.96.0.0/12"), frozenset({"192.0.2.1"}))
KEY = ("acme", "default", "web")


def acme(address: str) -> set[str]:
    return {"acme"} if address.startswith("10.244.") else set()


def at(
    address: str, node: str = "n1", ready: bool = True, serving: bool = True, ending: bool = False, **hints: Any
) -> Any:
    return EndpointView(address, node, ready, serving, ending, **hints), 80


def test_what_counts_as_a_service() -> None:
    assert view_service(service(clusterIP="None")) is None
    assert view_service(service(clusterIP="")) is None
    assert view_service(service(clusterIP="fd00::1")) is None
    assert view_service(service(type="ExternalName")) is None
    seen = view_service(service(sessionAffinity="ClientIP", externalIPs=["203.0.113.1", "fd00::1"]))
    assert seen is not None and (seen.affinity, seen.external) == (10800, ("203.0.113.1",))


def test_a_load_balancers_address_unless_ranges_would_be_lost() -> None:
    def balanced(**spec: Any) -> tuple[str, ...]:
        body = service().obj()["spec"] | {"type": "LoadBalancer"} | spec
        ingress = [{"ip": "203.0.113.7"}, {"ip": "203.0.113.8", "ipMode": "Proxy"}, {"hostname": "x"}]
        seen = view_service(cached(SERVICE, "web", spec=body, status={"loadBalancer": {"ingress": ingress}}))
        assert seen is not None
        return seen.external

    assert balanced() == ("203.0.113.7",)
    assert balanced(loadBalancerSourceRanges=["192.0.2.0/24"]) == ()


def test_conditions_that_are_not_said() -> None:
    seen = view_slice(
        slice_({"addresses": ["10.244.0.1"]}, {"addresses": ["10.244.0.2"], "conditions": {"ready": False}})
    )
    assert seen is not None
    assert [(each.ready, each.serving) for each in seen.endpoints] == [(True, True), (False, False)]


def test_ready_ones_else_those_on_their_way_out() -> None:
    ready, going, down = at("a"), at("b", ready=False, ending=True), at("c", ready=False, serving=False)
    assert best([ready, going, down]) == [ready]
    assert best([going, down]) == [going]
    assert best([down]) == []


def test_hints() -> None:
    here = at("a", zones=("z1",), nodes=("n1",))
    there = at("b", "n2", zones=("z2",), nodes=("n2",))
    assert nearest([here, there], PLACE) == [here]
    mine, other = at("a", zones=("z1",)), at("b", zones=("z2",))
    assert nearest([mine, other], PLACE) == [mine]
    assert nearest([mine, at("b")], PLACE) == [mine, at("b")]
    assert nearest([other], PLACE) == [other]


def test_what_may_be_claimed() -> None:
    assert may_claim("acme", "203.0.113.1", PLACE)
    for address in ("10.244.1.1", "10.96.0.1", "127.0.0.1", "169.254.169.254", "192.0.2.1", "224.0.0.1"):
        assert not may_claim("acme", address, PLACE)
    assert may_claim("system", "192.0.2.1", PLACE)


def test_where_a_service_may_lead() -> None:
    """Slices, and the addresses in them, are what anybody in the tenant wrote."""
    owned = {
        "10.244.0.1": {"acme"},
        "10.244.0.2": {"globex"},
        "10.244.0.3": {"acme", "globex"},
        "192.0.2.1": {"system"},
        "192.0.2.2": {"acme", "system"},
    }
    place = replace(PLACE, nodes=frozenset({"192.0.2.1", "192.0.2.2"}))

    def leads(tenant: str, address: str, **way: bool) -> bool:
        return may_lead(tenant, address, place, lambda address: owned.get(address, set()), **way)

    assert [each for each in owned if leads("acme", each)] == ["10.244.0.1", "192.0.2.2"]
    assert leads("acme", "203.0.113.9")
    for address in ("10.244.0.9", "10.96.0.1", "127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1"):
        assert not leads("acme", address), address
    assert leads("acme", "192.0.2.1", inward=True) and not leads("acme", "10.244.0.2", inward=True)
    assert leads("system", "192.0.2.1") and leads("system", "10.244.0.9") and not leads("system", "10.244.0.2")


def test_the_api_servers_service_leads_to_a_node_but_not_from_outside() -> None:
    seen = view_slice(slice_(endpoint("192.0.2.1"), name="kubernetes"))
    outside = {"externalIPs": ["203.0.113.1"]}, {"ports": [{"port": 80, "nodePort": 30080}]}
    for spec, count in (({}, 1), *((each, 0) for each in outside)):
        found = routing(view_service(service("kubernetes", **spec)), [seen] if seen else [], PLACE, acme)
        assert len(found.routes[0].backends) == count


def test_routes_for_each_policy() -> None:
    seen = view_slice(slice_(endpoint("10.244.0.1"), endpoint("10.244.1.1", "n2")))
    spec = {"ports": [{"port": 80, "nodePort": 30080}], "externalTrafficPolicy": "Local"}
    found = routing(view_service(service(**spec)), [seen] if seen else [], PLACE, acme)
    wide, near = RouteId(KEY, "", "tcp"), RouteId(KEY, "", "tcp", True)
    assert dict(found.entries) == {
        ("services", "10.96.0.7 . tcp . 80"): wide,
        ("ports", "tcp . 30080"): near,
        ("ports-in", "tcp . 30080"): wide,
    }
    assert {route.id: len(route.backends) for route in found.routes} == {wide: 2, near: 1}
    assert found.own == {"10.244.0.1"}


backends = st.sets(
    st.tuples(st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]), st.sampled_from([1, 2]))
)


@settings(deadline=None)
@given(st.lists(st.none() | st.tuples(st.sampled_from(["10.0.0.1", "10.0.0.9"]), st.just(1)), max_size=6), backends)
def test_places_have_no_holes_and_nobody_moves_without_need(before: list[Any], wanted: set[Any]) -> None:
    after = placed(before, frozenset(wanted))
    assert sorted(after) == sorted(wanted)
    stayed = [each for each in set(before) & wanted if before.index(each) < len(after)]
    assert all(after[before.index(each)] == each for each in stayed)


class Kernel:
    """Elements as nftables keeps them: an add of a key that is there with another value, or a delete of one that is
    not, fails."""

    def __init__(self) -> None:
        self.elements: Elements = {}
        self.chains: set[str] = set()

    def take(self, table: Table, limit: int) -> None:
        while True:
            change = table.change(limit)
            for command in change.commands:
                self._run(command)
            table.done(change)
            if not change.commands and not table.waiting:
                return

    def _run(self, command: str) -> None:
        if command.startswith("add chain"):
            self.chains |= {line.split()[4] for line in command.splitlines() if line.startswith("add chain")}
            return
        verb, _, _, _, name, rest = command.split(" ", 5)
        for text in rest.strip("{} ").split(", "):
            key, _, value = text.partition(" : ")
            if verb == "delete":
                del self.elements[name, key]
            else:
                assert (name, key) not in self.elements, command
                assert not value.startswith("goto") or value.removeprefix("goto ") in self.chains
                self.elements[name, key] = value

    def lead(self, name: str, key: str) -> set[str] | str | None:
        """Where packets to a key of a map of routes go."""
        mark = self.elements.get((name, key))
        if mark is None:
            return None
        verdict = self.elements.get(("choose", mark), "refused")
        if not verdict.startswith("goto"):
            return verdict
        count = int(verdict.rpartition("-")[2])
        return {self.elements["endpoints", f"{mark} . {index}"] for index in range(count)}


services = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.tuples(
        st.sampled_from(["10.96.0.1", "10.96.0.2"]),
        st.sets(st.integers(1, 6), max_size=5),
        st.booleans(),
        st.sampled_from([{}, {"internalTrafficPolicy": "Local"}, {"sessionAffinity": "ClientIP"}]),
    ),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(services, st.booleans()), min_size=1, max_size=8), st.integers(1, 3))
def test_the_table_follows_any_history(steps: list[Any], limit: int) -> None:
    table, kernel = Table(), Kernel()
    table.adopt({}, [])
    for world, restarts in steps:
        if restarts:
            table = Table()
            table.adopt(kernel.elements, kernel.chains)
        expected: dict[str, Any] = {}
        for name in ("a", "b", "c"):
            if name not in world:
                table.put(("acme", "default", name), NOTHING)
                continue
            address, numbers, exposed, spec = world[name]
            listed = [endpoint(f"10.244.0.{each}", f"n{each % 2}") for each in sorted(numbers)]
            ports = [{"port": 80, "nodePort": 30000 + ord(name) if exposed else 0}]
            view, seen = (
                view_service(service(name, address, ports=ports, **spec)),
                view_slice(slice_(*listed, name=name)),
            )
            table.put(("acme", "default", name), routing(view, [seen] if seen else [], PLACE, acme))
            everywhere = {f"10.244.0.{each} . 8080" for each in numbers}
            here = {f"10.244.0.{each} . 8080" for each in numbers if each % 2}
            inside = here or ("drop" if numbers else "refused") if "internalTrafficPolicy" in spec else everywhere
            expected.setdefault(address, inside or "refused")
            if exposed:
                expected[f"tcp . {30000 + ord(name)}"] = everywhere or "refused"
        kernel.take(table, limit)
        for address in ("10.96.0.1", "10.96.0.2"):
            assert kernel.lead("services", f"{address} . tcp . 80") == expected.get(address)
        for name in ("a", "b", "c"):
            assert kernel.lead("ports", f"tcp . {30000 + ord(name)}") == expected.get(f"tcp . {30000 + ord(name)}")
        _no_litter(kernel)


def _no_litter(kernel: Kernel) -> None:
    marks = {value for (name, _), value in kernel.elements.items() if name in rules.ROUTE_MAPS}
    for name, key in kernel.elements:
        if name in ("choose", "endpoints", "learn"):
            assert key.partition(" . ")[0] in marks


def test_one_endpoint_more_is_three_elements() -> None:
    table = Table()
    table.adopt({}, [])
    view = view_service(service(ports=[{"port": 80}]))

    def put(count: int) -> list[str]:
        seen = view_slice(slice_(*(endpoint(f"10.244.1.{each}", "n2") for each in range(count))))
        table.put(KEY, routing(view, [seen] if seen else [], PLACE, acme))
        change = table.change()
        table.done(change)
        return [command.partition("{")[0].strip() for command in change.commands if " element " in command]

    put(5)
    assert put(6) == [f"{what} ip arktos-services {where}" for what, where in _EXPECTED]
    assert put(6) == []


_EXPECTED = (("delete element", "choose"), ("add element", "choose"), ("add element", "endpoints"))
