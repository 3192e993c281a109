"""Services in the kernel: real nftables, real connections, in namespaces of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest

from arktos.network.services import kernel
from network.service_stage import (
    NODE,
    NODE_IP,
    OUTSIDE,
    POD,
    Mirrors,
    Stage,
    cached,
    endpoint,
    routed,
    say,
    service,
    settled,
    slice_,
)

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("nft") or not shutil.which("conntrack"),
    reason="needs root, nft and conntrack",
)
A, B, C = "10.244.0.11", "10.244.0.12", "10.244.0.13"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    made = Stage()
    try:
        for name, address in (("a", A), ("b", B), ("c", C)):
            made.pod(name, address)
        yield made
    finally:
        made.close()


@pytest.fixture
def mirrors() -> Mirrors:
    made = Mirrors()
    addresses = [{"type": "InternalIP", "address": NODE_IP}]
    made.nodes.put(cached(NODE, "n1", "", {"topology.kubernetes.io/zone": "z1"}, status={"addresses": addresses}))
    return made


def test_connections_are_spread_and_reach_from_pods_and_node(stage: Stage, mirrors: Mirrors) -> None:
    async def body() -> None:
        mirrors.services.put(service())
        mirrors.slices.put(slice_(endpoint(A), endpoint(B)))
        async with routed(mirrors) as routing:
            answers = Counter(stage.ask("c", "10.96.0.7") for _ in range(60))
            assert set(answers) == {f"a {C}", f"b {C}"} and min(answers.values()) > 8
            assert stage.ask("node", "10.96.0.7").split()[0] in "ab"
            with stage.opened("c") as asking:
                assert say(asking, "10.96.0.7") in (f"a {C}", f"b {C}")
            # One endpoint goes, another comes: the next connection knows.
            mirrors.slices.put(slice_(endpoint(B)))
            await settled(routing)
            assert {stage.ask("c", "10.96.0.7") for _ in range(10)} == {f"b {C}"}
            mirrors.services.remove(service())
            await settled(routing)
            assert stage.ask("c", "10.96.0.7") == "ConnectionRefusedError"

    stage.on_node(body)


def test_without_endpoints_it_is_refused_at_once(stage: Stage, mirrors: Mirrors) -> None:
    async def body() -> None:
        mirrors.services.put(service(ports=[{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]))
        async with routed(mirrors):
            for space in ("c", "node"):
                assert stage.ask(space, "10.96.0.7") == "ConnectionRefusedError"
            assert stage.ask("out", NODE_IP, 30080) == "ConnectionRefusedError"
            assert stage.ask("c", "10.96.0.99") == "ConnectionRefusedError"  # no such service
            with stage.opened("c") as asking:
                asking.connect(("10.96.0.7", 53))
                asking.send(b"?")
                asking.settimeout(2)
                with pytest.raises(ConnectionRefusedError):
                    asking.recv(10)

    stage.on_node(body)


def test_a_pod_reaches_itself_through_its_service(stage: Stage, mirrors: Mirrors) -> None:
    async def body() -> None:
        mirrors.services.put(service())
        mirrors.slices.put(slice_(endpoint(A)))
        async with routed(mirrors):
            name, seen = stage.ask("a", "10.96.0.7").split()
            assert name == "a" and seen != A

    stage.on_node(body)


def test_node_ports_and_their_traffic_policy(stage: Stage, mirrors: Mirrors) -> None:
    async def body() -> None:
        ports = [{"port": 80, "nodePort": 30080}]
        mirrors.services.put(service(ports=ports))
        mirrors.slices.put(slice_(endpoint(A), endpoint(B, "n2")))
        async with routed(mirrors) as routing:
            answers = {stage.ask("out", NODE_IP, 30080) for _ in range(30)}
            assert {each.split()[0] for each in answers} == {"a", "b"}
            assert OUTSIDE not in " ".join(answers)  # the reply has to come back through this node
            assert {stage.ask("c", NODE_IP, 30080).split()[0] for _ in range(30)} == {"a", "b"}
            assert stage.ask("node", NODE_IP, 30080).split()[0] in "ab"
            mirrors.services.put(service(ports=ports, externalTrafficPolicy="Local"))
            await settled(routing)
            # From outside: only to endpoints here, and they see who it is. From inside: to all.
            assert {stage.ask("out", NODE_IP, 30080) for _ in range(20)} == {f"a {OUTSIDE}"}
            assert {stage.ask("c", NODE_IP, 30080).split()[0] for _ in range(30)} == {"a", "b"}
            mirrors.slices.put(slice_(endpoint(B, "n2")))
            await settled(routing)
            assert stage.ask("out", NODE_IP, 30080) == "TimeoutError"  # dropped, so that a balancer looks elsewhere
            assert stage.ask("c", "10.96.0.7").split()[0] == "b"

    stage.on_node(body)


def test_internal_traffic_policy(stage: Stage, mirrors: Mirrors) -> None:
    async def body() -> None:
        mirrors.services.put(service(internalTrafficPolicy="Local"))
        mirrors.slices.put(slice_(endpoint(A), endpoint(B, "n2")))
        async with routed(mirrors) as routing:
            assert {stage.ask("c", "10.96.0.7") for _ in range(20)} == {f"a {C}"}
            mirrors.slices.put(slice_(endpoint(B, "n2")))
            await settled(routing)
            assert stage.ask("c", "10.96.0.7") == "TimeoutError"

    stage.on_node(body)


def test_external_addresses_and_what_may_not_be_claimed(stage: Stage, mirrors: Mirrors) -> None:
    async def body() -> None:
        wanted = ["203.0.113.5", NODE_IP, "10.96.0.1", "10.244.0.13"]
        mirrors.services.put(service(externalIPs=wanted))
        mirrors.slices.put(slice_(endpoint(A)))
        async with routed(mirrors) as routing:
            assert stage.ask("out", "203.0.113.5").startswith("a ")
            assert stage.ask("out", NODE_IP) == "ConnectionRefusedError"
            assert stage.ask("out", C) == "ConnectionRefusedError"
            mirrors.services.put(service("sys", "10.96.0.8", "system", externalIPs=[NODE_IP]))
            mirrors.slices.put(slice_(endpoint(B), name="sys", tenant="system"))
            await settled(routing)
            assert stage.ask("out", NODE_IP).startswith("b ")

    stage.on_node(body)


def test_session_affinity_holds_until_the_endpoint_goes(stage: Stage, mirrors: Mirrors) -> None:
    async def body() -> None:
        config = {"clientIP": {"timeoutSeconds": 60}}
        mirrors.services.put(service(sessionAffinity="ClientIP", sessionAffinityConfig=config))
        mirrors.slices.put(slice_(endpoint(A), endpoint(B)))
        async with routed(mirrors) as routing:
            (first,) = {stage.ask("c", "10.96.0.7") for _ in range(20)}
            # A third one comes: who was here stays where it was.
            mirrors.slices.put(slice_(endpoint(A), endpoint(B), endpoint(C)))
            await settled(routing)
            assert {stage.ask("c", "10.96.0.7") for _ in range(20)} == {first}
            left = B if first.startswith("a") else A
            mirrors.slices.put(slice_(endpoint(left)))
            await settled(routing)
            other = {"a": "b", "b": "a"}[first[0]]
            assert {stage.ask("c", "10.96.0.7") for _ in range(5)} == {f"{other} {C}"}

    stage.on_node(body)


def test_udp_flows_leave_an_endpoint_that_went(stage: Stage, mirrors: Mirrors) -> None:
    async def body() -> None:
        mirrors.services.put(service())
        mirrors.slices.put(slice_(endpoint(A)))
        async with routed(mirrors) as routing:
            with stage.opened("c") as asking:
                assert say(asking, "10.96.0.7") == f"a {C}"
                mirrors.slices.put(slice_(endpoint(B)))
                await settled(routing)
                assert say(asking, "10.96.0.7") == f"b {C}"

    stage.on_node(body)


def test_terminating_endpoints_serve_when_there_is_no_other(stage: Stage, mirrors: Mirrors) -> None:
    async def body() -> None:
        going = endpoint(A, ready=False, serving=True, terminating=True)
        mirrors.services.put(service())
        mirrors.slices.put(slice_(going, endpoint(B)))
        async with routed(mirrors) as routing:
            assert {stage.ask("c", "10.96.0.7") for _ in range(10)} == {f"b {C}"}
            mirrors.slices.put(slice_(going))
            await settled(routing)
            assert stage.ask("c", "10.96.0.7") == f"a {C}"

    stage.on_node(body)


def test_an_address_of_another_tenants_pod_is_no_endpoint(stage: Stage, mirrors: Mirrors) -> None:
    async def body() -> None:
        mirrors.services.put(service(ports=[{"port": 80, "nodePort": 30080}]))
        mirrors.slices.put(slice_(endpoint(A), endpoint(B), endpoint("169.254.169.254"), endpoint("127.0.0.1")))
        async with routed(mirrors) as routing:
            mirrors.pods.put(cached(POD, "theirs", "umbrella", status={"phase": "Running", "podIP": B}))
            mirrors.pods.put(cached(POD, "ours", "acme", status={"phase": "Running", "podIP": A}))
            await settled(routing)
            assert {stage.ask("out", NODE_IP, 30080).split()[0] for _ in range(20)} == {"a"}

    stage.on_node(body)


def test_equal_addresses_of_many_tenants_are_one_entry(stage: Stage, mirrors: Mirrors) -> None:
    async def body() -> None:
        tenants = {"acme": A, "umbrella": B}
        for tenant, address in tenants.items():
            mirrors.services.put(service("kubernetes", "10.96.0.1", tenant))
            mirrors.slices.put(slice_(endpoint(address), name="kubernetes", tenant=tenant))
        async with routed(mirrors) as routing:
            for tenant, name in zip(tenants, "ab", strict=True):
                assert stage.ask("c", "10.96.0.1") == f"{name} {C}"
                mirrors.services.remove(service("kubernetes", "10.96.0.1", tenant))
                await settled(routing)
            assert stage.ask("c", "10.96.0.1") == "ConnectionRefusedError"

    stage.on_node(body)


def test_a_restart_changes_only_what_differs(stage: Stage, mirrors: Mirrors) -> None:
    def listed() -> str:
        return subprocess.check_output(["nft", "list", "table", "ip", "arktos-services"], text=True)

    async def body() -> None:
        mirrors.services.put(service())
        mirrors.services.put(service("old", "10.96.0.8"))
        mirrors.slices.put(slice_(endpoint(A), endpoint(B), endpoint(C)))
        mirrors.slices.put(slice_(endpoint(C), name="old"))
        async with routed(mirrors):
            before = listed()
        mirrors.slices.put(slice_(endpoint(C), endpoint(A), endpoint(B)))
        async with routed(mirrors) as again:
            assert again.applied == 0
            assert listed() == before
        mirrors.services.remove(service("old", "10.96.0.8"))
        async with routed(mirrors) as again:
            assert again.applied == 1
            assert stage.ask("a", "10.96.0.8") == "ConnectionRefusedError"
            assert stage.ask("a", "10.96.0.7") != "ConnectionRefusedError"

    stage.on_node(body)


def test_who_meddles_with_the_table_is_put_right_with_the_next_change(stage: Stage, mirrors: Mirrors) -> None:
    async def body() -> None:
        mirrors.services.put(service())
        mirrors.slices.put(slice_(endpoint(A)))
        async with routed(mirrors) as routing:
            await kernel.apply("delete table ip arktos-services\n")
            mirrors.slices.put(slice_(endpoint(B)))
            await settled(routing)
            assert stage.ask("c", "10.96.0.7") == f"b {C}"

    stage.on_node(body)
