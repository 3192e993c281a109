"""Attaching, detaching, restarts: that nothing is lost and nothing left over."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from arktos.hostnet import netns
from arktos.hostnet.links import LinkError
from arktos.network.embedded.plumbing import ROUTES
from arktos.network.provider import NetworkFailure, PortMapping
from network.stage import Node, Stage

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def kernel(node: Node) -> tuple[object, ...]:
    """What the kernel has for pods: links, routes, elements of the tables."""
    routes = node.command("ip", "route", "show", "proto", str(ROUTES)).stdout.splitlines()
    elements = []
    for family in ("bridge", "inet"):
        shown = json.loads(node.command("nft", "-j", "list", "table", family, "arktos").stdout)["nftables"]
        for entry in shown:
            found = entry.get("set") or entry.get("map")
            if found:
                elements.append((found["name"], sorted(map(str, found.get("elem", ())))))
        elements += [("chain", entry["chain"]["name"]) for entry in shown if "chain" in entry]
    return sorted(node.links()), sorted(route.strip() for route in routes), sorted(elements, key=str)


def files(node: Node) -> list[str]:
    return sorted(path.name for path in (node.folder / "interfaces").iterdir())


def test_what_was_made_is_gone_after_detach(stage: Stage) -> None:
    node = stage.node()
    empty = kernel(node)
    pods = [node.pod(tenant, "a", (PortMapping(port, 80),)) for port, tenant in ((8081, "red"), (8082, "blue"))]
    assert len(node.links()) == 4 and len(node.network.pool) == 2 and len(files(node)) == 2
    for pod in pods:
        node.detach(pod)
        node.detach(pod)
    assert kernel(node) == empty
    assert (len(node.network.pool), files(node)) == (0, [])


def test_attach_again_gives_the_same_and_check_sees_what_is_broken(stage: Stage) -> None:
    node = stage.node()
    pod = node.pod("red", "a")
    before = kernel(node)
    assert node.call(node.network.attach(pod.wish)) == pod.attached
    assert kernel(node) == before
    check = (pod.wish.container_id, "eth0", pod.wish.netns)
    node.call(node.network.check(*check))
    pod.space.command("ip", "route", "del", "default")
    with pytest.raises(NetworkFailure, match="no route by"):
        node.call(node.network.check(*check))
    pod.space.command("ip", "addr", "flush", "dev", "eth0")
    with pytest.raises(NetworkFailure, match="does not have"):
        node.call(node.network.check(*check))
    with pytest.raises(NetworkFailure, match="there is no interface eth1"):
        node.call(node.network.check(check[0], "eth1", check[2]))
    # Broken as it is, a repeated ADD makes it whole.
    again = node.call(node.network.attach(pod.wish))
    assert pod.space.pings(again.gateway)


def test_a_failed_attach_leaves_nothing(stage: Stage) -> None:
    node = stage.node()
    empty = kernel(node)
    wish = node.wish("red", "a")
    netns.remove(wish.netns)
    with pytest.raises(NetworkFailure, match="cannot attach red/default/a"):
        node.call(node.network.attach(wish))
    assert kernel(node) == empty and files(node) == [] and len(node.network.pool) == 0


def test_detach_after_the_sandbox_is_gone(stage: Stage) -> None:
    node = stage.node()
    empty = kernel(node)
    pod = node.pod("red", "a")
    pod.space.close()
    node.detach(pod)
    assert kernel(node) == empty


def test_a_restart_touches_nothing_and_connections_stay(stage: Stage) -> None:
    one, two = stage.node(), stage.node()
    red, far, mate = one.pod("red", "a"), two.pod("red", "b"), one.pod("red", "c")
    stage.acquaint()
    with far.space.listen(far.address, 80) as listener, stage.outside.listen("192.168.50.99", 80) as outside:
        listener.settimeout(5)
        outside.settimeout(5)
        streams = []
        for server, address in ((listener, far.address), (outside, "192.168.50.99")):
            client = red.space.inside(lambda: __import__("socket").socket())
            client.settimeout(5)
            client.connect((address, 80))
            streams.append((client, server.accept()[0]))
        before, waited = kernel(one), [pod.attached for pod in (red, mate)]
        one.restart()
        assert kernel(one) == before
        for client, server in streams:
            with client, server:
                client.sendall(b"still here")
                assert server.recv(100) == b"still here"
    assert [one.call(one.network.attach(pod.wish)) for pod in (red, mate)] == waited
    assert len(one.network.pool) == 2


def test_kill_in_the_middle_of_attach_is_cleared_away(stage: Stage) -> None:
    node = stage.node()
    empty = kernel(node)

    async def never() -> None:
        raise KeyboardInterrupt

    for name in ("attach", "apply", "write"):
        wish = node.wish("red", name)
        network = node.network
        if name == "attach":
            _broken(network.plumbing, "attach")
        elif name == "apply":
            _broken(network.nft, "apply")
        else:
            # The record is complete, but its sandbox died with the machine.
            node.call(network.attach(wish))
            netns.remove(wish.netns)
        network._remove = _nothing  # type: ignore[method-assign,assignment]
        if name != "write":
            with pytest.raises((NetworkFailure, LinkError)):
                node.call(network.attach(wish))
        assert files(node) != []
        node.restart()
        assert kernel(node) == empty and files(node) == [] and len(node.network.pool) == 0
        netns.remove(wish.netns)


async def _nothing(*_: object) -> None:
    """A process that was killed cleans nothing up."""


def _broken(owner: object, method: str) -> None:
    real = getattr(owner, method)

    def then_dies(*arguments: object) -> None:
        real(*arguments)
        raise LinkError(5, "killed here")

    async def dies() -> None:
        raise LinkError(5, "killed here")

    setattr(owner, method, dies if method == "apply" else then_dies)


def test_a_restart_repairs_what_others_broke(stage: Stage) -> None:
    node = stage.node()
    red, mate = node.pod("red", "a"), node.pod("red", "b")
    before = kernel(node)
    node.command("nft", "delete table inet arktos; delete table bridge arktos")
    node.command("ip", "route", "flush", "proto", str(ROUTES))
    node.command("ip", "link", "add", "ark-01234567", "type", "bridge")
    node.command("ip", "link", "add", "arkpabcdef", "type", "veth", "peer", "name", "arkpother")
    node.command("ip", "link", "set", red.attached.host_ifname, "nomaster")
    node.restart()
    assert kernel(node) == before
    assert red.space.pings(mate.address)


def test_rules_that_others_changed_do_not_stop_the_next_pod(stage: Stage) -> None:
    node = stage.node()
    node.pod("red", "a")
    node.command("nft", "flush", "map", "inet", "arktos", "bridges")
    node.command("nft", "flush", "set", "bridge", "arktos", "senders")
    red, other = node.pod("red", "b"), node.pod("blue", "b")
    node.detach(other)
    assert red.space.pings(red.attached.gateway)


def test_sandboxes_that_went_without_a_word_are_collected(stage: Stage) -> None:
    node = stage.node()
    empty = kernel(node)
    pod, stays = node.pod("red", "a"), node.pod("red", "b")
    pod.space.close()
    assert node.call(node.network.collect()) == 1
    assert len(files(node)) == 1
    node.call(node.network.keep_only(frozenset({(stays.wish.container_id, "eth0")})))
    assert len(files(node)) == 1
    node.call(node.network.keep_only(frozenset()))
    assert kernel(node) == empty


def test_many_at_once_and_how_long_each_takes(stage: Stage) -> None:
    node = stage.node()
    empty = kernel(node)
    for _ in range(3):
        node.detach(node.pod("warm", "up"))
    took = []
    for number in range(20):
        wish = node.wish("red", f"one-{number}")
        began = time.perf_counter()
        node.call(node.network.attach(wish))
        took.append(time.perf_counter() - began)
        node.call(node.network.detach(wish.container_id, "eth0"))
        netns.remove(wish.netns)
    wishes = [node.wish(f"t{number % 5}", f"p{number}") for number in range(40)]

    async def all_at_once() -> float:
        began = time.perf_counter()
        await asyncio.gather(*(node.network.attach(wish) for wish in wishes))
        took_all = time.perf_counter() - began
        await asyncio.gather(*(node.network.detach(wish.container_id, "eth0") for wish in wishes))
        return took_all

    together = node.call(all_at_once())
    for wish in wishes:
        netns.remove(wish.netns)
    print(f"attach: median {sorted(took)[10] * 1e3:.1f} ms; 40 at once {together * 1e3:.0f} ms")
    assert kernel(node) == empty
    assert sorted(took)[10] < 0.5


def test_the_pool_ends_and_goes_on(stage: Stage, tmp_path: Path) -> None:
    node = stage.node()
    node.network.pool = type(node.network.pool)(__import__("ipaddress").IPv4Network("10.244.1.0/29"))
    pods = [node.pod("red", f"p{number}") for number in range(5)]
    with pytest.raises(NetworkFailure, match=r"all 5 addresses of 10.244.1.0/29 are in use") as full:
        node.pod("red", "more")
    assert full.value.again
    node.detach(pods[3])
    node.detach(pods[1])
    assert node.pod("red", "next").address == pods[3].address
