"""DNS for pods, asked over the wire in a network namespace of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from arktos.hostnet.links import Links
from arktos.network.dns.forward import Forwarder, Unanswered, lifetime, resolvers
from arktos.network.dns.messages import write
from arktos.network.dns.server import DnsServer, zone
from network.service_stage import POD, Mirrors, cached, endpoint, service, slice_

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SERVER = "10.96.0.10"
POD_A, POD_B, STRANGER, NODE = "10.244.0.11", "10.244.0.12", "10.244.9.9", "127.0.0.1"
POD_NEW = "10.244.0.13"
TENANTS = {POD_A: "acme", POD_B: "umbrella", POD_NEW: "new"}
KNOWN = {"acme", "umbrella"}


class Upstream(asyncio.DatagramProtocol):
    """A resolver outside."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ports: set[int] = set()
        self.silent = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def answer(self, wire: bytes) -> dns.message.Message:
        query = dns.message.from_wire(wire)
        name = query.question[0].name.to_text()
        response = dns.message.make_response(query)
        if "arktos-loop" not in name:
            self.asked.append(name)
        if name.startswith("nx"):
            response.set_rcode(dns.rcode.NXDOMAIN)
            soa = "a. b. 1 2 3 4 60"
            response.authority.append(dns.rrset.from_text("example.com.", 60, "IN", "SOA", soa))
        elif name.startswith("big"):
            response.answer.append(
                dns.rrset.from_text(name, 60, "IN", "TXT", *[f'"{each:0>200}"' for each in range(20)])
            )
        else:
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "203.0.113.5"))
        return response

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.ports.add(addr[1])
        if self.silent:
            return
        response = self.answer(data)
        # First something that was not asked for: it must not be believed.
        forged = dns.message.make_response(dns.message.from_wire(data))
        forged.id = (response.id + 1) % 65536
        self.transport.sendto(forged.to_wire(), addr)
        self.transport.sendto(write(response, 1232), addr)

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        wire = write(self.answer(await reader.readexactly(size)), 65535)
        writer.write(len(wire).to_bytes(2, "big") + wire)
        await writer.drain()
        writer.close()


class World:
    def __init__(self, server: DnsServer, mirrors: Mirrors, upstream: Upstream) -> None:
        self.server, self.mirrors, self.upstream = server, mirrors, upstream

    async def ask(self, name: str, kind: str = "A", source: str = POD_A, tcp: bool = False, **more: Any) -> Any:
        query = dns.message.make_query(name, kind, **more)
        ask = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        return await ask(query, SERVER, timeout=5, source=source)

    async def texts(self, name: str, kind: str = "A", source: str = POD_A) -> list[str]:
        response = await self.ask(name, kind, source)
        assert response.rcode() == dns.rcode.NOERROR, response
        return sorted(item.to_text() for rrset in response.answer for item in rrset)

    async def code(self, name: str, kind: str = "A", source: str = POD_A) -> str:
        response = await self.ask(name, kind, source)
        if response.rcode() == dns.rcode.NOERROR and not response.answer:
            assert response.authority[0].rdtype == dns.rdatatype.SOA
            return "NODATA"
        return dns.rcode.to_text(response.rcode())


@contextlib.asynccontextmanager
async def serving(tmp_path: Path, resolv_conf: str = "nameserver 127.0.0.53\n") -> AsyncIterator[World]:
    with Links() as links:
        for address in (POD_A, POD_B, POD_NEW, STRANGER):
            links.address("lo", f"{address}/32")
    file = tmp_path / "resolv.conf"
    file.write_text(resolv_conf)
    mirrors, upstream = Mirrors(), Upstream()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: upstream, local_addr=("127.0.0.53", 53))
    stream = await asyncio.start_server(upstream.stream, "127.0.0.53", 53)
    where = zone("cluster.local", SERVER, "10.244.0.0/16", "10.96.0.0/12")
    server = DnsServer(mirrors, TENANTS.get, where, file, known=KNOWN.__contains__)
    task = asyncio.create_task(server.run())
    try:
        async with asyncio.timeout(20):
            while server.unready() or not (server._servers or "nameserver" not in resolv_conf):
                assert not task.done()
                await asyncio.sleep(0.01)
        yield World(server, mirrors, upstream)
    finally:
        task.cancel()
        await asyncio.wait([task])
        transport.close()
        stream.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving(tmp_path) as made:
        ports = [{"port": 80, "name": "http"}, {"port": 53, "protocol": "UDP", "name": "dns"}]
        made.mirrors.services.put(service("web", "10.96.0.7", ports=ports))
        made.mirrors.services.put(service("web", "10.96.0.8", "umbrella", ports=ports))
        made.mirrors.services.put(service("db", clusterIP="None"))
        hosts = [endpoint("10.244.0.21") | {"hostname": "db-0"}, endpoint("10.244.0.22")]
        down = endpoint("10.244.0.23", ready=False)
        made.mirrors.slices.put(slice_(*hosts, down, name="db"))
        made.mirrors.services.put(service("ext", type="ExternalName", externalName="www.Example.com"))
        made.mirrors.services.put(service("inner", type="ExternalName", externalName="web.default.svc.cluster.local"))
        made.mirrors.pods.put(cached(POD, "p", status={"phase": "Running", "podIP": "10.244.0.21"}))
        yield made


DOMAIN = "default.svc.cluster.local"


async def test_services_by_tenant(world: World) -> None:
    for _ in range(3):  # from memory, too
        assert await world.texts(f"web.{DOMAIN}") == ["10.96.0.7"]
        assert await world.texts(f"web.{DOMAIN}", source=POD_B) == ["10.96.0.8"]
    assert await world.code(f"db.{DOMAIN}", source=POD_B) == "NXDOMAIN"
    assert await world.code(f"web.{DOMAIN}", source=STRANGER) == "REFUSED"
    assert await world.code("www.example.com", source=STRANGER) == "REFUSED"
    assert await world.code(f"web.{DOMAIN}", source=POD_NEW) == "SERVFAIL"  # its services are not known yet
    response = await world.ask(f"WeB.{DOMAIN}")
    assert response.flags & dns.flags.AA and response.answer[0].name.to_text().startswith("WeB.")
    assert response.answer[0].ttl == 5


async def test_what_is_not_there_and_what_has_other_types(world: World) -> None:
    nodata = [(f"web.{DOMAIN}", "AAAA"), (DOMAIN, "A"), ("svc.cluster.local", "A"), ("cluster.local", "A")]
    nodata += [(f"_tcp.web.{DOMAIN}", "A"), (f"_http._tcp.web.{DOMAIN}", "A"), ("default.pod.cluster.local", "A")]
    for name, kind in nodata:
        assert await world.code(name, kind) == "NODATA", name
    gone = ["no." + DOMAIN, "web.other.svc.cluster.local", "other.svc.cluster.local", "x.cluster.local"]
    gone += [f"x.web.{DOMAIN}", f"_no._tcp.web.{DOMAIN}", f"_http._udp.web.{DOMAIN}", f"a.b.c.web.{DOMAIN}"]
    # What search lists make of other names.
    gone += [f"www.example.com.{DOMAIN}", "www.example.com.svc.cluster.local", "www.example.com.cluster.local"]
    for name in gone:
        assert await world.code(name) == "NXDOMAIN", name
    assert world.upstream.asked == []


async def test_headless_services(world: World) -> None:
    assert await world.texts(f"db.{DOMAIN}") == ["10.244.0.21", "10.244.0.22"]
    assert await world.texts(f"db-0.db.{DOMAIN}") == ["10.244.0.21"]
    assert await world.texts(f"10-244-0-22.db.{DOMAIN}") == ["10.244.0.22"]
    assert await world.code(f"10-244-0-23.db.{DOMAIN}") == "NXDOMAIN"
    world.mirrors.slices.remove(slice_(name="db"))
    assert await world.code(f"db.{DOMAIN}") == "NXDOMAIN"


async def test_ports(world: World) -> None:
    response = await world.ask(f"_http._tcp.web.{DOMAIN}", "SRV")
    assert [each.to_text() for each in response.answer[0]] == [f"0 100 80 web.{DOMAIN}."]
    assert response.additional[0].to_text().endswith("A 10.96.0.7")
    assert await world.texts(f"_dns._udp.web.{DOMAIN}", "SRV") == [f"0 100 53 web.{DOMAIN}."]
    assert len(await world.texts(f"web.{DOMAIN}", "SRV")) == 2
    assert await world.texts(f"_udp._udp.db.{DOMAIN}", "SRV") == [
        f"0 50 8080 10-244-0-22.db.{DOMAIN}.",
        f"0 50 8080 db-0.db.{DOMAIN}.",
    ]


async def test_reverse_names(world: World) -> None:
    assert await world.texts("7.0.96.10.in-addr.arpa", "PTR") == [f"web.{DOMAIN}."]
    assert await world.texts("21.0.244.10.in-addr.arpa", "PTR") == [f"db-0.db.{DOMAIN}."]
    assert await world.code("8.0.96.10.in-addr.arpa", "PTR") == "NXDOMAIN"
    assert world.upstream.asked == []
    await world.texts("1.2.0.192.in-addr.arpa", "PTR")
    assert world.upstream.asked == ["1.2.0.192.in-addr.arpa."]


async def test_pods_are_verified(world: World) -> None:
    assert await world.texts("10-244-0-21.default.pod.cluster.local") == ["10.244.0.21"]
    for name in ("10-244-0-99.default.pod", "10-244-0-21.other.pod", "x.default.pod"):
        assert await world.code(f"{name}.cluster.local") == "NXDOMAIN"
    assert await world.code("10-244-0-21.default.pod.cluster.local", source=POD_B) == "NXDOMAIN"


async def test_external_names(world: World) -> None:
    assert await world.texts(f"ext.{DOMAIN}") == ["203.0.113.5", "www.example.com."]
    assert await world.texts(f"ext.{DOMAIN}", "CNAME") == ["www.example.com."]
    assert await world.texts(f"inner.{DOMAIN}") == ["10.96.0.7", f"web.{DOMAIN}."]


async def test_changes_are_seen_at_once(world: World) -> None:
    assert await world.texts(f"web.{DOMAIN}") == ["10.96.0.7"]
    world.mirrors.services.put(service("web", "10.96.0.77"))
    assert await world.texts(f"web.{DOMAIN}") == ["10.96.0.77"]
    world.mirrors.services.remove(service("web"))
    assert await world.code(f"web.{DOMAIN}") == "NXDOMAIN"
    assert await world.texts(f"web.{DOMAIN}", source=POD_B) == ["10.96.0.8"]


async def test_about_the_zone(world: World) -> None:
    assert await world.texts("dns-version.cluster.local", "TXT") == ['"1.1.0"']
    assert await world.texts("cluster.local", "NS") == ["ns.dns.cluster.local."]
    assert await world.texts("ns.dns.cluster.local") == [SERVER]


async def test_other_names_are_forwarded_and_remembered(world: World) -> None:
    for _ in range(3):
        assert await world.texts("www.example.com") == ["203.0.113.5"]
        assert await world.texts("www.example.com", source=POD_B) == ["203.0.113.5"]
        assert await world.code("nx.example.com") == "NXDOMAIN"
    assert world.upstream.asked == ["www.example.com.", "nx.example.com."]
    names = [f"n{each}.example.com" for each in range(20)]
    await asyncio.gather(*(world.texts(name) for name in names))
    assert len(world.upstream.ports) > 15


async def test_large_answers(world: World) -> None:
    small = await world.ask("big.example.com", "TXT")
    assert small.flags & dns.flags.TC and not small.answer
    whole = await world.ask("big.example.com", "TXT", tcp=True)
    assert len(whole.answer[0]) == 20
    many = [endpoint(f"10.244.7.{each}") for each in range(1, 100)]
    world.mirrors.slices.put(slice_(*many, name="db"))
    assert (await world.ask(f"db.{DOMAIN}")).flags & dns.flags.TC
    assert (await world.ask(f"db.{DOMAIN}", use_edns=0, payload=4096)).flags & dns.flags.TC  # 1232 at most
    assert len((await world.ask(f"db.{DOMAIN}", tcp=True)).answer[0]) == 99


async def test_bad_questions(world: World) -> None:
    response = await world.ask(f"web.{DOMAIN}", use_edns=1)
    assert response.rcode() == dns.rcode.BADVERS
    response = await world.ask(f"web.{DOMAIN}", use_edns=0)
    assert response.edns == 0 and response.payload == 1232
    chaos = dns.message.make_query("version.bind", "TXT", "CH")
    assert (await dns.asyncquery.udp(chaos, SERVER, source=POD_A)).rcode() == dns.rcode.REFUSED
    status = dns.message.make_query("x.", "A")
    status.set_opcode(dns.opcode.STATUS)
    assert (await dns.asyncquery.udp(status, SERVER, source=POD_A)).rcode() == dns.rcode.NOTIMP
    reader, writer = await asyncio.open_connection(SERVER, 53, local_addr=(POD_A, 0))
    writer.write(b"\x00\x0e\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c")
    size = int.from_bytes(await reader.readexactly(2), "big")
    wire = await reader.readexactly(size)
    assert wire[:2] == b"\x12\x34" and wire[3] & 15 == dns.rcode.FORMERR
    writer.close()


async def test_a_resolver_that_is_silent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arktos.network.dns.forward.SECONDS", 0.1)
    world.upstream.silent = True
    assert await world.code("slow.example.com") == "SERVFAIL"
    world.upstream.silent = False
    assert await world.texts("slow.example.com") == ["203.0.113.5"]


async def test_a_loop_is_found(tmp_path: Path) -> None:
    # The node's resolver sends all it is asked to us.
    async with serving(tmp_path, "nameserver 127.0.0.77\n") as world:
        loop = asyncio.get_running_loop()

        class Back(asyncio.DatagramProtocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, addr: Any) -> None:
                world.server.datagram(data, POD_A, lambda reply: self.transport.sendto(reply, addr))

        transport, _ = await loop.create_datagram_endpoint(Back, local_addr=("127.0.0.77", 53))
        try:
            assert await world.server.forwarder.find_loop()
            assert await world.code("www.example.com") == "SERVFAIL"
        finally:
            transport.close()


def test_resolv_conf(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# x\nnameserver 192.0.2.1\nsearch a\nnameserver 10.96.0.10\nnameserver 192.0.2.1\n")
    assert resolvers(file, "10.96.0.10") == [("192.0.2.1", 53)]
    assert resolvers(tmp_path / "none", "") == []


async def test_without_resolvers() -> None:
    forwarder = Forwarder(list)
    with pytest.raises(Unanswered, match="no resolvers"):
        await forwarder.ask(dns.name.from_text("a.example."), dns.rdatatype.A, False)


def test_how_long_an_answer_is_remembered() -> None:
    def message(ttl: int) -> dns.message.Message:
        made = dns.message.make_response(dns.message.make_query("a.example.", "A"))
        made.answer.append(dns.rrset.from_text("a.example.", ttl, "IN", "A", "192.0.2.1"))
        return made

    assert [lifetime(message(ttl)) for ttl in (0, 60, 86400)] == [0, 60, 300]
    assert lifetime(dns.message.make_response(dns.message.make_query("a.example.", "A"))) == 0
