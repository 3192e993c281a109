"""Namespaces and links, in namespaces of the tests' own."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from arktos.hostnet import netns
from arktos.hostnet.links import LinkError, Links
from hostnet.private import private_network

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(autouse=True)
def apart() -> Iterator[None]:
    """The test's thread is in a namespace of its own, so that a mistake cannot touch the machine's."""
    with private_network():
        yield


@pytest.fixture
def spaces() -> Iterator[tuple[Path, Path]]:
    made = [netns.create(f"arkt-{secrets.token_hex(4)}") for _ in range(2)]
    yield made[0], made[1]
    for path in made:
        netns.remove(path)


def test_namespace_lives_until_removed() -> None:
    path = netns.create(f"arkt-{secrets.token_hex(4)}")
    try:
        assert netns.exists(path)
        assert netns.create(path.name) == path
        with Links(path) as links:
            assert next((link.name, link.up) for link in links.all()) == ("lo", True)
        assert netns.identity(path) != netns.identity("/proc/self/ns/net")
    finally:
        netns.remove(path)
    assert not path.exists()
    netns.remove(path)
    assert not netns.exists(path)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_names_that_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(ValueError):
        netns.create(name)


def test_a_left_over_file_is_no_namespace(tmp_path: Path) -> None:
    plain = tmp_path / "file"
    plain.touch()
    assert not netns.exists(plain)
    with pytest.raises(netns.NoNamespace):
        netns.run_in(plain, os.getpid)
    with pytest.raises(netns.NoNamespace):
        netns.run_in(tmp_path / "none", os.getpid)


def test_run_in_gives_results_and_errors_and_leaves_the_caller_where_it_was(spaces: tuple[Path, Path]) -> None:
    before = os.stat("/proc/thread-self/ns/net").st_ino
    inside = netns.run_in(spaces[0], lambda: os.stat("/proc/thread-self/ns/net").st_ino)
    assert (inside, before) == (netns.identity(spaces[0])[1], os.stat("/proc/thread-self/ns/net").st_ino)
    with pytest.raises(ZeroDivisionError):
        netns.run_in(spaces[0], lambda: 1 // 0)


def test_links_stay_in_their_namespace_whichever_thread_asks(spaces: tuple[Path, Path]) -> None:
    with Links(spaces[0]) as here, Links(spaces[1]) as there, ThreadPoolExecutor(2) as threads:
        here.bridge("only-here")
        for links, found in ((here, True), (there, False)):
            assert (links.get("only-here") is not None) is found
            assert (threads.submit(links.get, "only-here").result() is not None) is found
    with pytest.raises(netns.NoNamespace):
        Links("/run/netns/none-of-this-name")


def test_a_bridge_with_a_pod_carries_packets(spaces: tuple[Path, Path]) -> None:
    host, pod = spaces
    with Links(host) as here, Links(pod) as there:
        bridge = here.bridge("br0", "10.9.0.1/24")
        assert here.bridge("br0", "10.9.0.1/24") == bridge
        here.veth("p0", "eth0", pod, mtu=1400, peer_mac="02:00:00:00:00:09", master=bridge)
        here.port("p0", hairpin=True)
        here.up("p0")
        there.address("eth0", "10.9.0.9/24")
        there.address("eth0", "10.9.0.9/24")
        there.up("eth0")
        there.route("0.0.0.0/0", gateway="10.9.0.1")
        assert there.addresses("eth0") == ["10.9.0.9/24"]
        inside, outside = there.get("eth0"), here.get("p0")
        assert inside is not None and outside is not None
        assert (inside.mac, inside.mtu, inside.kind, outside.master) == ("02:00:00:00:00:09", 1400, "veth", bridge)
        assert [route.gateway for route in there.routes() if route.destination == "0.0.0.0/0"] == ["10.9.0.1"]

    listener = netns.run_in(pod, lambda: socket.create_server(("10.9.0.9", 8080)))
    with listener:
        netns.run_in(host, lambda: socket.create_connection(("10.9.0.9", 8080), 5)).close()

    with Links(host) as here:
        assert here.remove("p0") and not here.remove("p0")
        with Links(pod) as there:
            assert there.get("eth0") is None


def test_routes_are_marked_replaced_and_removed(spaces: tuple[Path, Path]) -> None:
    with Links(spaces[0]) as links:
        links.bridge("br0", "10.9.0.1/24")
        links.route("10.7.0.0/24", gateway="10.9.0.7", protocol=77)
        links.route("10.7.0.0/24", gateway="10.9.0.8", protocol=77)
        links.route("10.9.9.9/32", device="br0", source="10.9.0.1", protocol=77)
        found = {(route.destination, route.gateway, route.device, route.source) for route in links.routes(77)}
        assert found == {("10.7.0.0/24", "10.9.0.8", "br0", ""), ("10.9.9.9/32", "", "br0", "10.9.0.1")}
        with pytest.raises(LinkError) as refused:
            links.route("10.6.0.0/24", gateway="172.30.0.1")
        assert "10.6.0.0/24" in str(refused.value)
        assert links.remove_route("10.7.0.0/24") and not links.remove_route("10.7.0.0/24")
        assert links.remove_route("10.9.9.9/32", device="br0") and not links.remove_route("10.1.1.1/32", device="none")
        assert links.routes(77) == []


def test_moving_a_link_and_neighbours(spaces: tuple[Path, Path]) -> None:
    host, pod = spaces
    with Links(host) as here, Links(pod) as there:
        here.veth("a0", "b0", host, mtu=1500, peer_mac="02:00:00:00:00:01")
        here.move("b0", pod, "eth9")
        assert here.get("b0") is None and there.get("eth9") is not None
        here.up("a0")
        here.neighbour("a0", "10.9.0.9", "02:00:00:00:00:01")
        assert here.remove_neighbour("a0", "10.9.0.9") and not here.remove_neighbour("a0", "10.9.0.9")
        with pytest.raises(LinkError, match="no link nowhere"):
            here.up("nowhere")


@pytest.mark.skipif(shutil.which("tc") is None, reason="needs tc")
def test_a_link_is_shaped(spaces: tuple[Path, Path]) -> None:
    with Links(spaces[0]) as links:
        links.bridge("br0")
        links.shape("br0", 8_000_000, 64_000)
    shown = subprocess.run(
        ["nsenter", f"--net={spaces[0]}", "tc", "qdisc", "show", "dev", "br0"], capture_output=True, text=True
    ).stdout
    assert "tbf" in shown and "rate 8Mbit" in shown
