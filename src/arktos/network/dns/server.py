"""The server: UDP and TCP on the cluster's DNS address."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from arktos.client.ratelimit import Backoff
from arktos.network.dns import messages
from arktos.network.dns.forward import Forwarder, Unanswered, resolvers
from arktos.network.dns.records import Askers, Records, Sources
from arktos.network.dns.zone import Zone
from arktos.wire import logs

_log = logs.get_logger(__name__)
MEMORY = 8192
"""Answers about cluster names that are remembered in wire form."""
WAITING = 1024
"""UDP questions that wait for a resolver; more are dropped."""
CONNECTIONS = 256
IDLE = 10.0
"""Seconds that a connection may be silent."""
RELOAD = 30.0
"""Seconds between two looks at resolv.conf, and for a loop."""
_ALIASES = 8


class DnsServer:
    """Answers the pods of this node. `askers` says whose tenant a source address is; `known` whether that tenant's
    services are all here: until then its questions are answered SERVFAIL, so that they are asked again."""

    def __init__(
        self,
        sources: Sources,
        askers: Askers,
        zone: Zone,
        resolv_conf: Path,
        *,
        known: Callable[[str], bool] = lambda tenant: True,
        port: int = 53,
    ) -> None:
        self.failure = "the DNS server has not been started"
        self.questions = 0
        self._zone = zone
        self._askers = askers
        self._known = known
        self._records = Records(sources)
        self._resolv_conf = resolv_conf
        self._port = port
        self._servers: list[tuple[str, int]] = []
        self.forwarder = Forwarder(lambda: self._servers)
        self._memory: OrderedDict[tuple[str, bytes], tuple[int, bytes]] = OrderedDict()
        self._waiting: set[asyncio.Task[None]] = set()
        self._connections = 0

    def unready(self) -> str:
        """Why pods get no answers, "" if they do."""
        return self.failure

    async def run(self) -> None:
        """Until cancelled. An address that cannot be had is tried again."""
        backoff = Backoff(0.2, 10.0)
        while True:
            try:
                await asyncio.to_thread(_hold, self._zone.server)
                async with self._listening():
                    self.failure = ""
                    backoff.reset()
                    await self._keep_resolvers()
            except OSError as error:
                wait = backoff.next()
                self.failure = f"cannot listen on {self._zone.server}:{self._port}: {error.strerror}"
                _log.error("dns_not_served", reason=self.failure, again_in=wait)
                await asyncio.sleep(wait)

    async def _keep_resolvers(self) -> None:
        while True:
            found = await asyncio.to_thread(resolvers, self._resolv_conf, self._zone.server)
            if found != self._servers or self.forwarder.looping:
                self._servers = found
                _log.info("dns_resolvers", resolvers=[address for address, _ in found])
                await self.forwarder.find_loop()
            await asyncio.sleep(RELOAD)

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        address = (self._zone.server, self._port)
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=address)
        try:
            server = await asyncio.start_server(self._connected, *address)
            async with server:
                yield
        finally:
            transport.close()
            for task in list(self._waiting):
                task.cancel()
            await self.forwarder.close()

    # --- answers ------------------------------------------------------------------------------------------------------

    def datagram(self, wire: bytes, source: str, send: Callable[[bytes], None]) -> None:
        """Answers a datagram, now or when a resolver has."""
        self.questions += 1
        tenant = self._askers(source)
        if tenant is not None and (known := self._recall(tenant, wire)) is not None:
            send(known)
            return
        query = messages.parse(wire)
        if query is None:
            if reply := messages.formerr(wire):
                send(reply)
            return
        answer = self._at_once(query, tenant)
        if answer is not None:
            reply = messages.write(answer, messages.room(query))
            if tenant is not None and answer.flags & dns.flags.AA and len(answer.answer) <= 1:
                self._remember(tenant, wire, answer, reply)
            send(reply)
        elif len(self._waiting) < WAITING:
            task = asyncio.create_task(self._later(query, tenant or "", send))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _later(self, query: dns.message.Message, tenant: str, send: Callable[[bytes], None]) -> None:
        send(messages.write(await self._elsewhere(query, tenant), messages.room(query)))

    def _at_once(self, query: dns.message.Message, tenant: str | None) -> dns.message.Message | None:
        """The answer that needs nobody else; None where a resolver has to be asked."""
        refusal = messages.unanswerable(query)
        if refusal is not None:
            return messages.respond(query, refusal)
        name = messages.name_of(query.question[0].name)
        if tenant is None or self.forwarder.is_ours(name):
            return messages.respond(query, dns.rcode.REFUSED)
        if not self._zone.holds(name):
            return None
        if not self._known(tenant):
            return messages.respond(query, dns.rcode.SERVFAIL)
        records = self._records.of(tenant)
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        answer = self._zone.lookup(records, name, kind)
        if answer.alias and kind not in ("CNAME", "ANY"):
            return None
        return messages.answered(query, self._zone, answer, records.generation)

    async def _elsewhere(self, query: dns.message.Message, tenant: str) -> dns.message.Message:
        """The answer that takes a resolver: of another name, or of what an ExternalName stands for."""
        question = query.question[0]
        name, records = question.name, self._records.of(tenant)
        response = messages.respond(query, dns.rcode.NOERROR)
        for _ in range(_ALIASES):
            text = messages.name_of(name)
            if not self._zone.holds(text):
                break
            found = self._zone.lookup(records, text, dns.rdatatype.to_text(question.rdtype))
            part = messages.answered(query, self._zone, found, records.generation)
            response.answer += part.answer
            if not found.alias:
                response.authority += part.authority
                response.set_rcode(part.rcode())
                return response
            name = dns.name.from_text(found.alias)
        signed = bool(query.ednsflags & dns.flags.DO)
        try:
            told = await self.forwarder.ask(name, question.rdtype, signed)
        except Unanswered as failure:
            _log.debug("dns_unanswered", name=messages.name_of(name), reason=str(failure))
            response.set_rcode(dns.rcode.SERVFAIL)
            return response
        response.set_rcode(told.rcode())
        response.answer += told.answer
        response.authority += told.authority
        return response

    def _recall(self, tenant: str, wire: bytes) -> bytes | None:
        """What was said to the same bytes, if nothing of the tenant's has changed since."""
        known = self._memory.get((tenant, wire[2:]))
        if known is None or known[0] != self._records.of(tenant).generation:
            return None
        return wire[:2] + known[1]

    def _remember(self, tenant: str, wire: bytes, answer: dns.message.Message, reply: bytes) -> None:
        # Several addresses are told in another order each time.
        if answer.answer and len(answer.answer[0]) > 1:
            return
        self._memory[tenant, wire[2:]] = (self._records.of(tenant).generation, reply[2:])
        if len(self._memory) > MEMORY:
            self._memory.popitem(last=False)

    # --- TCP ----------------------------------------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= CONNECTIONS:
            writer.close()
            return
        self._connections += 1
        try:
            await self._converse(reader, writer)
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            self._connections -= 1
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Questions one after another (RFC 7766)."""
        source = writer.get_extra_info("peername")[0]
        while True:
            async with asyncio.timeout(IDLE):
                size = int.from_bytes(await reader.readexactly(2), "big")
                wire = await reader.readexactly(size)
            self.questions += 1
            query = messages.parse(wire)
            if query is None:
                reply = messages.formerr(wire)
                if reply is None:
                    return
            else:
                tenant = self._askers(source)
                answer = self._at_once(query, tenant) or await self._elsewhere(query, tenant or "")
                reply = messages.write(answer, 65535)
            writer.write(len(reply).to_bytes(2, "big") + reply)
            await writer.drain()


def _hold(address: str) -> None:
    """Puts an address on `lo`: every node has it, so pods reach their own node's server. Raises OSError."""
    # pyroute2 takes a fifth of a second to import.
    from arktos.hostnet.links import Links

    if not IPv4Address(address).is_loopback:
        with Links() as links:
            links.address("lo", f"{address}/32")


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The event loop's own class need not derive from asyncio's.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.datagram(data, addr[0], lambda reply: self._transport.sendto(reply, addr))


def zone(domain: str, server: str, *networks: str) -> Zone:
    """The zone of a cluster; `networks` in CIDR form. ValueError for one that is none."""
    return Zone(domain.strip(".").lower(), server, tuple(IPv4Network(each) for each in networks))
