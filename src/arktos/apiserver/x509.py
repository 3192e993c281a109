"""Who a client certificate stands for: its subject, read once per connection. Pure.

TLS has verified the chain, the purpose and the time before a certificate gets here (RFC 5280); what is left is to read
subject and expiry, which takes a hundred lines of DER and no library of many megabytes. Whatever is not well-formed DER
is refused.

A subject names its tenant by exactly one `O=tenant:NAME`; its groups are then the `OU` values. A subject without it
belongs to `system`, where `O` values are groups as in Kubernetes. `CN` is the user.

Names that start with `system:` are Kubernetes' own and count in `system` only: a tenant's certificate with such a user
name is refused (it could pass for a service account), such groups are left out. The `arktos:` groups are given by the
server to whom they belong, never by a certificate.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from arktos.apiserver.identity import User
from arktos.apiserver.membership import authenticated, is_tenant_name
from arktos.model.kinds import SYSTEM_TENANT
from arktos.model.status import Unauthorized

TENANT_PREFIX = "tenant:"

_SEQUENCE, _SET, _OID, _VERSION = 0x30, 0x31, 0x06, 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_ENCODINGS = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii", 0x1E: "utf-16-be"}
_COMMON_NAME, _ORGANIZATION, _UNIT = b"\x55\x04\x03", b"\x55\x04\x0a", b"\x55\x04\x0b"
_MAX_NAMES = 256


class Malformed(ValueError):
    """The bytes are not a certificate as DER has it."""


class Subject(NamedTuple):
    """The parts of a certificate that identify. `not_before` and `not_after` are in unix seconds."""

    common_names: tuple[str, ...]
    organizations: tuple[str, ...]
    units: tuple[str, ...]
    not_after: float
    not_before: float


def subject(der: bytes) -> Subject:
    """Reads a certificate's subject and expiry. Raises `Malformed`."""
    certificate = _only(der, _SEQUENCE)
    fields = list(_elements(_first(certificate, _SEQUENCE)))
    if fields and fields[0][0] == _VERSION:
        del fields[0]
    if len(fields) < 6:
        raise Malformed("a certificate has more fields")
    validity, name = _expect(fields[3], _SEQUENCE), _expect(fields[4], _SEQUENCE)
    times = list(_elements(validity))
    if len(times) != 2:
        raise Malformed("a validity has two times")
    values: dict[bytes, list[str]] = {_COMMON_NAME: [], _ORGANIZATION: [], _UNIT: []}
    for oid, value in _attributes(name):
        if oid in values:
            values[oid].append(value)
    return Subject(
        tuple(values[_COMMON_NAME]),
        tuple(values[_ORGANIZATION]),
        tuple(values[_UNIT]),
        not_after=_unix_time(*times[1]),
        not_before=_unix_time(*times[0]),
    )


def identify(der: bytes) -> tuple[User, float, float]:
    """The user that a verified client certificate stands for, until when and since when (unix seconds).
    Raises `Unauthorized`."""
    try:
        read = subject(der)
    except Malformed as error:
        raise Unauthorized(f"the client certificate cannot be read: {error}") from error
    return _user(read), read.not_after, read.not_before


def _user(read: Subject) -> User:
    if len(read.common_names) != 1 or not read.common_names[0]:
        raise Unauthorized("the client certificate must have one common name")
    name = read.common_names[0]
    tenants = [o.removeprefix(TENANT_PREFIX) for o in read.organizations if o.startswith(TENANT_PREFIX)]
    if not tenants:
        return _member(name, SYSTEM_TENANT, read.organizations)
    if len(tenants) > 1 or not is_tenant_name(tenants[0]):
        raise Unauthorized("the client certificate must name exactly one tenant")
    return _member(name, tenants[0], read.units)


def _member(name: str, tenant: str, groups: Sequence[str]) -> User:
    if tenant != SYSTEM_TENANT and name.startswith("system:"):
        raise Unauthorized("a tenant's user cannot have a name that starts with system:")
    return User(name, tenant, authenticated(tenant, groups))


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The (tag, content) pairs of concatenated DER elements (X.690, 8.1 and 10.1)."""
    at, end = 0, len(data)
    while at < end:
        if end - at < 2:
            raise Malformed("an element is cut off")
        tag, length = data[at], data[at + 1]
        at += 2
        if tag & 0x1F == 0x1F:
            raise Malformed("a tag has several bytes")
        if length & 0x80:
            octets = length & 0x7F
            if not 1 <= octets <= 4 or end - at < octets:
                raise Malformed("a length is not DER")
            length = int.from_bytes(data[at : at + octets], "big")
            at += octets
            if length < 0x80:
                raise Malformed("a length is longer than it need be")
        if length > end - at:
            raise Malformed("an element is cut off")
        yield tag, data[at : at + length]
        at += length


def _expect(element: tuple[int, bytes], tag: int) -> bytes:
    if element[0] != tag:
        raise Malformed(f"found tag {element[0]:#x} where {tag:#x} belongs")
    return element[1]


def _first(data: bytes, tag: int) -> bytes:
    for element in _elements(data):
        return _expect(element, tag)
    raise Malformed("an element is missing")


def _only(data: bytes, tag: int) -> bytes:
    elements = list(_elements(data))
    if len(elements) != 1:
        raise Malformed("found more or less than one certificate")
    return _expect(elements[0], tag)


def _attributes(name: bytes) -> Iterator[tuple[bytes, str]]:
    """The (type, value) pairs of an X.501 name, those of multi-valued parts included."""
    count = 0
    for part in _elements(name):
        for pair in _elements(_expect(part, _SET)):
            count += 1
            both = list(_elements(_expect(pair, _SEQUENCE)))
            if count > _MAX_NAMES or len(both) != 2:
                raise Malformed("a name has parts that cannot be")
            oid = _expect(both[0], _OID)
            if oid in (_COMMON_NAME, _ORGANIZATION, _UNIT):
                yield oid, _text(*both[1])


def _text(tag: int, content: bytes) -> str:
    encoding = _ENCODINGS.get(tag)
    if encoding is None:
        raise Malformed(f"a name is of string type {tag:#x}")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise Malformed("a name is not text") from error
    if not text.isprintable():
        raise Malformed("a name has characters that cannot be printed")
    return text


def _unix_time(tag: int, content: bytes) -> float:
    if tag not in (_UTC_TIME, _GENERALIZED_TIME):
        raise Malformed(f"a time is of type {tag:#x}")
    try:
        text = content.decode("ascii")
        if tag == _UTC_TIME:
            text = ("19" if text[:2] >= "50" else "20") + text
        return float(calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ")))
    except ValueError as error:
        raise Malformed("a time cannot be read") from error
