"""Questions and answers in wire form."""

from __future__ import annotations

import random
from collections.abc import Iterable

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from arktos.network.dns.zone import Answer, Data, Zone

TTL = 5
"""Seconds that an answer about the cluster holds."""
PAYLOAD = 1232
"""Bytes of a UDP answer at most: what crosses any network in one piece (DNS flag day 2020)."""
_PLAIN = 512


def parse(wire: bytes) -> dns.message.Message | None:
    """A query; None for what is none, not even a broken one that could be answered."""
    try:
        query = dns.message.from_wire(wire, ignore_trailing=True, one_rr_per_rrset=False)
    except (dns.exception.DNSException, ValueError, IndexError):
        return None
    return None if query.flags & dns.flags.QR else query


def unanswerable(query: dns.message.Message) -> int | None:
    """The code that refuses a query that is no plain question; None for one that is."""
    if query.opcode() != dns.opcode.QUERY:
        return dns.rcode.NOTIMP
    if len(query.question) != 1:
        return dns.rcode.FORMERR
    if query.edns > 0:
        return dns.rcode.BADVERS
    if query.question[0].rdclass != dns.rdataclass.IN:
        return dns.rcode.REFUSED
    kind = query.question[0].rdtype
    return dns.rcode.NOTIMP if kind in (dns.rdatatype.AXFR, dns.rdatatype.IXFR) else None


def name_of(name: dns.name.Name) -> str:
    """Lower case, without the last dot."""
    return name.to_text(omit_final_dot=True).lower()


def respond(query: dns.message.Message, rcode: int) -> dns.message.Message:
    """An answer without records. A query with EDNS gets EDNS."""
    response = dns.message.make_response(query, recursion_available=True, our_payload=PAYLOAD)
    response.set_rcode(dns.rcode.Rcode(rcode))
    return response


def formerr(wire: bytes) -> bytes | None:
    """What is said to bytes that cannot be read but have a header of a query."""
    if len(wire) < 12 or wire[2] & 0x80:
        return None
    return wire[:2] + bytes((0x80 | wire[2] & 0x79, 0x81)) + bytes(8)


def answered(query: dns.message.Message, zone: Zone, answer: Answer, serial: int) -> dns.message.Message:
    """The answer about a cluster name."""
    response = respond(query, dns.rcode.NOERROR if answer.exists else dns.rcode.NXDOMAIN)
    response.flags |= dns.flags.AA
    asked = query.question[0].name
    records = answer.records
    if len(records) > 1:
        records = random.sample(records, len(records))
    response.answer.extend(_rrsets(records, asked))
    response.additional.extend(_rrsets(answer.extra, asked))
    if not records:
        response.authority.extend(_rrsets([zone.soa(serial)], asked))
    return response


def _rrsets(records: Iterable[Data], asked: dns.name.Name) -> list[dns.rrset.RRset]:
    """Records as sets of equal owner and type. The name that was asked for is written as it was asked."""
    found: dict[tuple[str, str], dns.rrset.RRset] = {}
    for each in records:
        rrset = found.get((each.owner, each.type))
        if rrset is None:
            owner = dns.name.from_text(each.owner)
            kind = dns.rdatatype.from_text(each.type)
            rrset = dns.rrset.RRset(asked if owner == asked else owner, dns.rdataclass.IN, kind)
            found[each.owner, each.type] = rrset
        rrset.add(dns.rdata.from_text(dns.rdataclass.IN, rrset.rdtype, each.text), TTL)
    return list(found.values())


def room(query: dns.message.Message) -> int:
    """How large a UDP answer may be."""
    return max(_PLAIN, min(query.payload, PAYLOAD)) if query.edns >= 0 else _PLAIN


def write(response: dns.message.Message, size: int) -> bytes:
    """In wire form. Where it is too large it says so, and has no records: who wants them asks over TCP."""
    try:
        return response.to_wire(max_size=size)
    except dns.exception.TooBig:
        for section in response.sections[1:]:
            section.clear()
        response.flags |= dns.flags.TC
        return response.to_wire(max_size=size)
