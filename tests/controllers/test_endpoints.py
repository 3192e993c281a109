"""What Endpoints list."""

from __future__ import annotations

from typing import Any

from arktos.controllers.backends import PodView, ServicePort, ServiceView, _TargetPort
from arktos.controllers.endpoints.subsets import subsets, truncated
from arktos.controllers.endpoints.wiring import differs, endpoints_of

Obj = dict[str, Any]


def service(**facts: Any) -> ServiceView:
    base: Obj = {
        "key": ("acme", "default", "web"),
        "uid": "s",
        "labels": {"team": "a"},
        "selector": {"app": "web"},
        "headless": False,
        "families": ("IPv4",),
        "ports": (ServicePort(80, "", "TCP", "http"),),
        "publish_not_ready": False,
        "distribution": "",
    }
    return ServiceView(**base | facts)


def pod(name: str, ip: str, port: int = 8080, **facts: Any) -> PodView:
    base: Obj = {"node": "n1", "hostname": "", "subdomain": "", "ready": True, "deleting": False, "ended": False}
    return PodView(
        ("acme", "default", name), f"u-{name}", {}, addresses=(ip,), ports=(_TargetPort("http", port),), **base | facts
    )


def test_ready_and_not_ready_in_order() -> None:
    found = subsets(service(), [pod("b", "10.0.0.2"), pod("a", "10.0.0.1"), pod("c", "10.0.0.3", ready=False)])
    (only,) = found
    assert [each["ip"] for each in only["addresses"]] == ["10.0.0.1", "10.0.0.2"]
    assert [each["ip"] for each in only["notReadyAddresses"]] == ["10.0.0.3"]
    assert only["ports"] == [{"port": 8080, "protocol": "TCP"}]
    assert only["addresses"][0] == {
        "ip": "10.0.0.1",
        "nodeName": "n1",
        "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": "u-a"},
    }


def test_other_ports_are_another_subset() -> None:
    found = subsets(service(), [pod("a", "10.0.0.1"), pod("b", "10.0.0.2", 9090), pod("c", "10.0.0.3")])
    assert [[each["ip"] for each in subset["addresses"]] for subset in found] == [
        ["10.0.0.1", "10.0.0.3"],
        ["10.0.0.2"],
    ]
    assert subsets(service(), [pod("a", "10.0.0.1", ready=True)])[0]["ports"][0]["port"] == 8080
    lacking = PodView(("acme", "default", "x"), "u", {}, "n1", "", "", ("10.0.0.9",), True, False, False, ())
    assert subsets(service(), [lacking]) == []


def test_pods_on_their_way_out_are_listed_only_where_asked_for() -> None:
    going = pod("a", "10.0.0.1", deleting=True)
    assert subsets(service(), [going]) == []
    assert subsets(service(publish_not_ready=True), [going])[0]["addresses"][0]["ip"] == "10.0.0.1"


def test_a_headless_service_without_ports() -> None:
    found = subsets(service(headless=True, ports=()), [pod("a", "10.0.0.1", hostname="h", subdomain="web")])
    assert found[0]["addresses"][0]["hostname"] == "h" and "ports" not in found[0]


def test_a_thousand_at_most_ready_ones_first() -> None:
    def many(count: int, name: str) -> list[Obj]:
        return [{"ip": f"{name}{i}", "targetRef": {"uid": str(i)}} for i in range(count)]

    found = [
        {"addresses": many(900, "a"), "notReadyAddresses": many(300, "b"), "ports": [{"port": 1}]},
        {"notReadyAddresses": many(100, "c"), "ports": [{"port": 2}]},
    ]
    kept, cut = truncated(found)
    assert cut and [len(each.get("addresses", [])) for each in kept] == [900, 0]
    assert [len(each["notReadyAddresses"]) for each in kept] == [75, 25]
    kept, cut = truncated(
        [{"addresses": many(1500, "a"), "notReadyAddresses": many(1, "b")}, {"addresses": many(500, "c")}]
    )
    assert cut and [len(each["addresses"]) for each in kept] == [750, 250]
    assert "notReadyAddresses" not in kept[0]
    assert truncated([{"addresses": many(1000, "a")}])[1] is False


def test_the_object() -> None:
    made = endpoints_of(service(headless=True), [], None)
    assert made["metadata"]["labels"] == {
        "team": "a",
        "service.kubernetes.io/headless": "",
        "endpoints.kubernetes.io/managed-by": "endpoint-controller",
    }
    assert not differs(made, endpoints_of(service(headless=True), [], made))
    assert differs(made, endpoints_of(service(), [], made))
    over = endpoints_of(service(), [{"addresses": [{"ip": str(i)} for i in range(1001)]}], made)
    assert over["metadata"]["annotations"] == {"endpoints.kubernetes.io/over-capacity": "truncated"}
    assert "annotations" not in endpoints_of(service(), [], over)["metadata"]
