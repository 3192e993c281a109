"""`arktos network` against a real API server, called as a container runtime calls it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import dns.message
import pytest

from arktos.hostnet.cni import CniError
from arktos.hostnet.links import Links
from conftest import System, eventually
from network.node_process import NODE_IP, NodeProcess
from network.stage import Space

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def node(apart: None, apiserver: System, tmp_path: Path) -> Iterator[NodeProcess]:
    made = NodeProcess(apiserver, tmp_path)
    for tenant in ("red", "blue"):
        made.tenant(tenant)
    yield made
    made.close()


def shown(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def set_of(name: str) -> str:
    found = re.search(r"elements = \{([^}]*)\}", shown("nft", "list", "set", "inet", "arktos", name))
    return found[1] if found else ""


def asked(space: Space) -> str:
    """What the cluster's DNS server tells a pod."""
    question = dns.message.make_query("kubernetes.default.svc.cluster.local.", "A")
    with space.udp() as asking:
        asking.sendto(question.to_wire(), ("10.96.0.10", 53))
        answer = dns.message.from_wire(asking.recv(4096))
    return str(next(iter(answer.answer[0])))


async def test_from_nothing_to_pods_and_through_a_kill(node: NodeProcess) -> None:
    node.start()
    eventually(lambda: "n1 has no podCIDR" in node.http("/readyz")[1], 30, "waits for the podCIDR")
    assert "no network configuration" in node.cni.ready() or "cannot read" in node.cni.ready()
    red, blue = node.pod("red", "web"), node.pod("blue", "web")
    node.node("n1", "10.244.1.0/24", NODE_IP)
    node.ready()
    assert node.cni.ready() == ""

    sandboxes = []
    for pod in (red, blue, node.pod("red", "db")):
        space, container, args = node.sandbox(pod)
        result = await node.cni.add(container, space.path, "eth0", args, {"portMappings": []})
        assert result.gateway == "10.244.1.1" and result.address.endswith("/24")
        await node.cni.check(container, space.path, "eth0", args)
        sandboxes.append((space, container, args, result.address.partition("/")[0]))
    web, other, db = sandboxes
    assert web[0].pings(db[3]) and not web[0].pings(other[3])
    for space in (web[0], other[0]):
        assert await asyncio.to_thread(asked, space) == "10.96.0.1", "each tenant's own kubernetes"

    before = shown("nft", "--stateless", "list", "ruleset")
    node.kill()
    assert web[0].pings(db[3]), "without the process"
    assert shown("nft", "--stateless", "list", "ruleset") == before
    with pytest.raises(CniError, match="does not answer") as refused:
        await node.cni.check(web[1], web[0].path, "eth0", web[2])
    assert refused.value.code == 11
    node.start()
    node.ready()
    assert web[0].pings(db[3]) and not web[0].pings(other[3])
    for space, container, args, _ in sandboxes:
        await node.cni.check(container, space.path, "eth0", args)
        await node.cni.delete(container, space.path, "eth0", args)
        await node.cni.delete(container, space.path, "eth0", args)
    with Links() as links:
        assert [link.name for link in links.all() if link.name.startswith("ark")] == []
    assert 'arktos_network_cni_calls_total{command="DEL",outcome="ok"} 6.0' in node.http("/metrics")[1]
    node.kill(signal.SIGTERM)
    assert not node.socket.exists()


async def test_other_nodes_and_their_pods_are_followed(node: NodeProcess) -> None:
    node.node("n1", "10.244.1.0/24", NODE_IP)
    node.node("n2", "10.244.2.0/24", "192.168.77.2")
    node.node("n3", "10.244.3.0/24", "172.31.9.9")
    node.node("n4", "192.168.99.0/24", "192.168.77.4")
    node.pod("red", "far", "n2", "10.244.2.5")
    node.start()
    node.ready()
    red = node.pod("red", "near")
    space, container, args = node.sandbox(red)
    await node.cni.add(container, space.path, "eth0", args)
    name = next(line.split()[1] for line in shown("nft", "list", "sets", "inet").splitlines() if "set pods_" in line)
    eventually(lambda: "10.244.2.5" in set_of(name), 20, "the far pod's address")
    node.pod("red", "farther", "n2", "10.244.2.6")
    eventually(lambda: "10.244.2.6" in set_of(name), 20, "a new pod's address")
    node.pod("blue", "stranger", "n2", "10.244.2.7")
    node.system.tenant("red")("delete", "pod", "far", "--force", "--grace-period=0")
    eventually(lambda: "10.244.2.5" not in set_of(name), 20, "a pod that went")
    assert "10.244.2.7" not in set_of(name)
    routes = shown("ip", "route", "show", "proto", "171")
    assert "10.244.2.0/24 via 192.168.77.2" in routes and "10.244.3.0" not in routes
    assert "192.168.99.0" not in routes, "not of the cluster's network"
    assert "node_unreachable" in node.log()
    assert "arktos_network_nodes_unreachable 1.0" in node.http("/metrics")[1]
    node.admin("delete", "node", "n2")
    eventually(lambda: "10.244.2.0" not in shown("ip", "route", "show", "proto", "171"), 20, "the route goes")
    assert f"{NODE_IP} . {node.system.settings.port}" in set_of("api_servers")


async def test_calls_that_are_wrong_say_what_is(node: NodeProcess) -> None:
    node.node("n1", "10.244.1.0/24", NODE_IP)
    node.start()
    node.ready()
    pod = node.pod("red", "web")
    space, container, args = node.sandbox(pod)
    with pytest.raises(CniError, match="K8S_POD_UID") as refused:
        await node.cni.add(container, space.path, "eth0", {"K8S_POD_NAME": "web"})
    assert refused.value.code == 4
    with pytest.raises(CniError, match="is the pod red/default/web, not default/other"):
        await node.cni.add(container, space.path, "eth0", {**args, "K8S_POD_NAME": "other"})
    program = node.bin / "arktos"
    conf = json.loads((node.conf / "10-arktos.conflist").read_text())["plugins"][0]

    def call(command: str, stdin: object) -> tuple[int, dict[str, object]]:
        done = subprocess.run(
            [program], env={"CNI_COMMAND": command}, input=json.dumps(stdin), capture_output=True, text=True
        )
        return done.returncode, json.loads(done.stdout or "{}")

    assert call("VERSION", {"cniVersion": "1.0.0"})[1]["supportedVersions"]
    assert call("ADD", [])[1]["code"] == 6
    assert call("ADD", {})[1]["code"] == 7
    assert call("STATUS", {**conf, "cniVersion": "1.1.0"}) == (0, {})
    assert call("ADD", {**conf, "cniVersion": "9.0.0"})[1]["code"] == 1
    assert call("GC", {**conf, "cniVersion": "1.1.0"})[1]["code"] == 7
    assert call("GC", {**conf, "cniVersion": "1.1.0", "cni.dev/valid-attachments": []}) == (0, {})
    began = time.perf_counter()
    for _ in range(10):
        call("STATUS", {**conf, "cniVersion": "1.1.0"})
    print(f"shim and daemon: {(time.perf_counter() - began) * 100:.1f} ms")


async def test_what_the_host_has_in_the_way_is_said(node: NodeProcess) -> None:
    rules = "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"
    with Links() as links:
        links.sysctl("net/ipv4/ip_forward", "0")
    shown("nft", rules)
    node.node("n1", "10.244.1.0/24", NODE_IP)
    node.start()
    eventually(lambda: "'ip filter FORWARD' drops what is forwarded" in node.http("/readyz")[1], 30, "said")
    assert "sysctl_set" in node.log() and "net/ipv4/ip_forward" in node.log()
