"""Whose names a source address is answered: of pods, and of what shares the node's own address."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from arktos.client import Cached
from arktos.client.informer import Handler
from arktos.model import registry
from arktos.network.dns.askers import NodeAskers

PODS = registry.by_resource("pods")
NODE = ("192.0.2.1", "10.96.0.10")


class Informer:
    """Tells of pods as a test says."""

    def __init__(self) -> None:
        self.handlers: list[Handler] = []

    def add_handler(self, on_change: Handler) -> None:
        self.handlers.append(on_change)

    def tell(self, old: Cached | None, new: Cached | None) -> None:
        for handler in self.handlers:
            handler(old, new)


def pod(uid: str, tenant: str, *, shares: bool = True, phase: str = "Running") -> Cached:
    body: Any = {
        "metadata": {"name": uid, "namespace": "d", "tenant": tenant, "uid": uid, "resourceVersion": "1"},
        "spec": {"hostNetwork": shares},
        "status": {"phase": phase},
    }
    return Cached.from_raw(PODS, msgspec.json.encode(body))


def made() -> tuple[NodeAskers, Informer]:
    pods = Informer()
    return NodeAskers({"10.244.0.2": "acme"}.get, NODE, cast(Any, pods)), pods


def test_pods_have_their_address() -> None:
    askers, pods = made()
    assert (askers("10.244.0.2"), askers("10.244.0.3"), askers("192.0.2.1"), askers("")) == ("acme", None, None, None)
    pods.tell(None, pod("a", "system"))
    assert askers("10.244.0.2") == "acme"


def test_the_node_asks_for_the_only_tenant_that_shares_its_address() -> None:
    askers, pods = made()
    a, b, other = pod("a", "system"), pod("b", "system"), pod("c", "globex")
    pods.tell(None, pod("x", "acme", shares=False))
    pods.tell(None, a)
    pods.tell(None, b)
    for address in (*NODE, "127.0.0.1"):
        assert askers(address) == "system"
    assert askers("192.0.2.2") is None
    pods.tell(None, other)
    assert [askers(address) for address in NODE] == [None, None]
    pods.tell(a, None)
    pods.tell(b, pod("b", "system", phase="Succeeded"))
    assert [askers(address) for address in NODE] == ["globex", "globex"]
    pods.tell(other, None)
    assert askers("192.0.2.1") is None
