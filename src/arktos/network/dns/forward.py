"""Names that are not the cluster's: asked of the node's own resolvers."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from arktos.network.dns.messages import PAYLOAD, name_of
from arktos.wire import logs

_log = logs.get_logger(__name__)
AT_ONCE = 256
"""Questions under way; more are refused with SERVFAIL until some are done."""
SECONDS = 2.0
"""Waited for one resolver's answer."""
ROUNDS = 2
CACHED = 4096
LONGEST, LONGEST_NEGATIVE = 300, 30
"""Seconds that an answer is remembered at most."""
_LOOP = dns.name.from_text("arktos-loop.invalid.")
_LOOP_SECONDS = 3.0

Server = tuple[str, int]
Question = tuple[str, int, bool]
"""Name, type, whether signatures are wanted."""


class Unanswered(Exception):
    """No resolver gave an answer."""


def resolvers(path: Path, own: str) -> list[Server]:
    """The name servers of a resolv.conf, but for ourselves; empty for a file that is not there."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    found = [each[1] for each in words if len(each) > 1 and each[0] == "nameserver"]
    return [(address, 53) for address in dict.fromkeys(found) if address != own]


class Forwarder:
    """Asks resolvers in turn, remembers what they said, and asks one question once at a time."""

    def __init__(self, servers: Callable[[], Sequence[Server]], clock: Callable[[], float] = time.monotonic) -> None:
        self.looping = False
        self._servers = servers
        self._clock = clock
        self._cache: OrderedDict[Question, tuple[float, float, dns.message.Message]] = OrderedDict()
        self._under_way: dict[Question, asyncio.Task[dns.message.Message]] = {}
        self._nonces: set[str] = set()

    async def ask(self, name: dns.name.Name, kind: dns.rdatatype.RdataType, signed: bool) -> dns.message.Message:
        """An answer, its TTLs reduced by the time that it was remembered: not to be changed. Raises Unanswered."""
        question = (name_of(name), int(kind), signed)
        known = self._remembered(question)
        if known is not None:
            return known
        task = self._under_way.get(question)
        if task is None:
            if self.looping:
                raise Unanswered("the node's resolvers lead back to this server")
            if len(self._under_way) >= AT_ONCE:
                raise Unanswered(f"{AT_ONCE} questions are under way")
            task = self._under_way[question] = asyncio.create_task(self._fetch(question, name, kind))
            task.add_done_callback(lambda _: self._under_way.pop(question, None))
        # Who asked may go away; others may wait for the same.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Ends what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- loops --------------------------------------------------------------------------------------------------------

    def is_ours(self, name: str) -> bool:
        """Whether a question that came in is one that we sent to find a loop; notes it."""
        if name in self._nonces:
            self.looping = True
            return True
        return False

    async def find_loop(self) -> bool:
        """Asks the resolvers for a name that nobody else asks for, and waits whether we are asked for it ourselves."""
        self.looping = False
        name = dns.name.Name((secrets.token_hex(16).encode(), *_LOOP.labels))
        self._nonces.add(name_of(name))
        try:
            async with asyncio.timeout(_LOOP_SECONDS):
                await asyncio.gather(
                    *(_exchange(each, name, dns.rdatatype.HINFO, False, _LOOP_SECONDS) for each in self._servers()),
                    return_exceptions=True,
                )
        except TimeoutError:
            pass
        finally:
            self._nonces.discard(name_of(name))
        if self.looping:
            _log.error("dns_loop", reason="the node's resolvers lead back to this server: other names are not answered")
        return self.looping

    # --- memory -------------------------------------------------------------------------------------------------------

    def _remembered(self, question: Question) -> dns.message.Message | None:
        known = self._cache.get(question)
        if known is None:
            return None
        since, until, message = known
        now = self._clock()
        if now >= until:
            del self._cache[question]
            return None
        self._cache.move_to_end(question)
        return _aged(message, int(now - since))

    def _remember(self, question: Question, message: dns.message.Message) -> None:
        seconds = lifetime(message)
        if seconds <= 0:
            return
        now = self._clock()
        self._cache[question] = (now, now + seconds, message)
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)

    async def _fetch(
        self, question: Question, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> dns.message.Message:
        servers = list(self._servers())
        if not servers:
            raise Unanswered("the node has no resolvers")
        refused: dns.message.Message | None = None
        for server in servers * ROUNDS:
            try:
                message = await _exchange(server, name, kind, question[2], SECONDS)
            except (OSError, TimeoutError, EOFError, dns.exception.DNSException):
                continue
            if message.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                self._remember(question, message)
                return message
            refused = message
        if refused is not None:
            return refused
        raise Unanswered("no resolver answered")


def lifetime(message: dns.message.Message) -> float:
    """Seconds that an answer may be remembered (RFC 2181, RFC 2308)."""
    if message.rcode() == dns.rcode.NOERROR and message.answer:
        return min(LONGEST, *(rrset.ttl for rrset in message.answer), LONGEST)
    for rrset in message.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return min(LONGEST_NEGATIVE, rrset.ttl, int(rrset[0].minimum))
    return 0


def _aged(message: dns.message.Message, seconds: int) -> dns.message.Message:
    aged = dns.message.Message(id=message.id)
    aged.flags = message.flags
    aged.set_rcode(message.rcode())
    for source, target in ((message.answer, aged.answer), (message.authority, aged.authority)):
        for rrset in source:
            copy = rrset.copy()  # type: ignore[no-untyped-call]
            copy.ttl = max(rrset.ttl - seconds, 0)
            target.append(copy)
    return aged


async def _exchange(
    server: Server, name: dns.name.Name, kind: dns.rdatatype.RdataType, signed: bool, within: float
) -> dns.message.Message:
    """One question to one resolver, from a port and with a number that cannot be guessed; over TCP where the answer
    does not fit. Raises OSError, TimeoutError, EOFError, DNSException."""
    query = dns.message.make_query(name, kind, use_edns=0, payload=PAYLOAD, want_dnssec=signed)
    query.id = secrets.randbelow(1 << 16)
    async with asyncio.timeout(within):
        message = await _datagram(server, query)
        if message.flags & dns.flags.TC:
            message = await _stream(server, query)
    return message


class _Asking(asyncio.DatagramProtocol):
    def __init__(self, query: dns.message.Message) -> None:
        self.query = query
        self.answer: asyncio.Future[dns.message.Message] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        try:
            message = dns.message.from_wire(data, ignore_trailing=True)
        except dns.message.Truncated as cut:
            message = cut.message()  # type: ignore[no-untyped-call]
        except (dns.exception.DNSException, ValueError):
            return
        # What does not answer this very question was not sent by whom we asked, or is late.
        if not self.answer.done() and self.query.is_response(message):
            self.answer.set_result(message)

    def error_received(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


async def _datagram(server: Server, query: dns.message.Message) -> dns.message.Message:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Asking(query), remote_addr=server)
    try:
        transport.sendto(query.to_wire())
        return await protocol.answer
    finally:
        transport.close()


async def _stream(server: Server, query: dns.message.Message) -> dns.message.Message:
    reader, writer = await asyncio.open_connection(*server)
    try:
        wire = query.to_wire()
        writer.write(len(wire).to_bytes(2, "big") + wire)
        size = int.from_bytes(await reader.readexactly(2), "big")
        message = dns.message.from_wire(await reader.readexactly(size))
    finally:
        writer.close()
    if not query.is_response(message):
        raise EOFError("an answer to another question")
    return message
