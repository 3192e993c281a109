"""Answers in the representation that a client asked for: the object itself, a Table, PartialObjectMetadata.

The object itself is the stored bytes, untouched, where the served version is the stored one.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Sequence

import msgspec

from arktos.apiserver import binary, console_view, tables, versions
from arktos.apiserver.call import Call
from arktos.apiserver.encoding import dumps, loads
from arktos.apiserver.watching import Encoding
from arktos.model.kinds import ALL_TENANTS, Kind, Obj
from arktos.model.status import BadRequest
from arktos.store.records import Key, Page, Record
from arktos.wire import protobuf
from arktos.wire.http import Response, chunk
from arktos.wire.mediatype import PROTOBUF

PART = 16
"""Items of a list that are written in one piece."""

_PARTIAL = frozenset({"PartialObjectMetadata", "PartialObjectMetadataList"})
FORMS = _PARTIAL | {"Table"}
"""What objects can be served as, besides themselves."""
META_VERSIONS = frozenset({"", "v1", "v1beta1"})
"""Versions of `meta.k8s.io` that a form can have; none is v1."""


class ContinueToken(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a chunked list goes on: after this key, in the state at this revision. Opaque to clients."""

    revision: int
    tenant: str
    namespace: str
    name: str

    def encode(self) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> ContinueToken:
        try:
            return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=cls)
        except (ValueError, msgspec.MsgspecError) as error:
            raise BadRequest("continue key is not valid: it was not issued by this server") from error


_WARNINGS, _WARNING = 4096, 256
"""Characters of all warnings of an answer, and of one where that is too little."""


def headers(call: Call) -> list[tuple[str, str]]:
    """`Warning` headers (RFC 7234 5.5, code 299) for what the call was warned of, cut where they would be too many."""
    if sum(map(len, call.warnings)) <= _WARNINGS:
        return [("Warning", f'299 - "{_quoted(text)}"') for text in call.warnings]
    told, left = [], _WARNINGS
    for text in call.warnings:
        left -= min(len(text), _WARNING)
        if left < 0:
            break
        told.append(("Warning", f'299 - "{_quoted(text[:_WARNING])}"'))
    return told


def _quoted(text: str) -> str:
    printable = "".join(c if c.isprintable() else " " for c in text)
    return printable.replace("\\", "\\\\").replace('"', '\\"')


def body(call: Call, record: Record) -> bytes:
    """The object's JSON in the version that the call speaks."""
    return record.body if not call.kind.storage else versions.body(record, call.kind)


def one(call: Call, record: Record, status: int = 200) -> Response:
    wanted = call.accept.as_
    if call.accept.encoding == PROTOBUF:
        return _binary(call).one(record, status, headers(call))
    if not wanted:
        told = body(call, record)
        if console_view.wanted(call):
            told = console_view.seen(told)
        return Response(status, told, headers=headers(call) if call.warnings else ())
    if wanted == "Table":
        return Response(status, _table(call, [record], record.revision), headers=headers(call))
    return Response(status, tables.partial_object(record), headers=headers(call))


def _binary(call: Call) -> binary.Form:
    """What a call that wants protobuf is answered with."""
    kind = call.kind
    if call.accept.as_:
        return binary.Form(
            "meta.k8s.io/v1", "PartialObjectMetadata", "PartialObjectMetadataList", tables.partial_object
        )
    if console_view.wanted(call):
        return binary.Form(
            kind.api_version, kind.kind, kind.list_kind, lambda r: console_view.seen(body(call, r)), cached=False
        )
    return binary.Form(kind.api_version, kind.kind, kind.list_kind, lambda record: body(call, record))


def many(call: Call, page: Page) -> Response | Awaitable[Response]:
    token = ""
    if page.more:
        last = page.records[-1].key
        token = ContinueToken(page.revision, last.tenant, last.namespace, last.name).encode()
    wanted = call.accept.as_
    if call.accept.encoding == PROTOBUF:
        return _binary(call).many(page.records, _list_meta(page, token))
    if wanted == "Table":
        return Response(200, _table(call, page.records, page.revision, token, page.remaining))
    if wanted in _PARTIAL:
        bodies = [tables.partial_object(record) for record in page.records]
        head = _list_head("PartialObjectMetadataList", "meta.k8s.io/v1", page, token)
        return Response(200, _items(head, bodies))
    bodies = [r.body for r in page.records] if not call.kind.storage else [body(call, r) for r in page.records]
    if console_view.wanted(call):
        bodies = list(map(console_view.seen, bodies))
    head = _list_head(call.kind.list_kind, call.kind.api_version, page, token)
    return Response(200, _items(head, bodies))


async def collection(call: Call, page: Page) -> Response:
    """As `many`, for those who wait anyway."""
    answered = many(call, page)
    return answered if isinstance(answered, Response) else await answered


def _items(head: bytes, bodies: Sequence[bytes]) -> list[bytes]:
    """A list in parts of a few dozen KB: the whole is never in one piece."""
    parts = [head]
    for start in range(0, len(bodies), PART):
        if start:
            parts.append(b",")
        parts.append(b",".join(bodies[start : start + PART]))
    parts.append(b"]}")
    return parts


def _list_head(kind: str, api_version: str, page: Page, token: str) -> bytes:
    head = dumps({"kind": kind, "apiVersion": api_version, "metadata": _list_meta(page, token)})
    return head[:-1] + b',"items":['


def _list_meta(page: Page, token: str) -> Obj:
    meta: Obj = {"resourceVersion": str(page.revision)}
    if token:
        meta["continue"] = token
        if page.remaining > 0:
            meta["remainingItemCount"] = page.remaining
    return meta


def _table(call: Call, records: Sequence[Record], revision: int, token: str = "", remaining: int = -1) -> bytes:
    return tables.table(
        call.kind,
        records,
        revision,
        continue_token=token,
        remaining=remaining,
        include_object=_included(call),
        with_tenant=call.tenant == ALL_TENANTS,
        now=time.time(),
        version=call.accept.version or "v1",
    )


def _included(call: Call) -> str:
    """What a Table's rows hold of their objects. BadRequest."""
    include = call.params.get("includeObject", "") or "Metadata"
    if include not in {"None", "Metadata", "Object"}:
        raise BadRequest(f"unrecognized includeObject value: {include!r}")
    return include


def watch_encoding(call: Call) -> Encoding:
    """How a watch's events are written, shared by all streams that ask for the same."""
    kind, wanted = call.kind, call.accept.as_
    if call.accept.encoding == PROTOBUF:
        return _binary_watch(call)
    if not wanted:
        identity: tuple[object, ...] = ("object", kind.api_version)
        encode = (lambda record, first: record.body) if not kind.storage else (lambda record, first: body(call, record))
        return Encoding(identity, encode, lambda rv, ends: _bookmark(kind, rv, ends), first_differs=False)
    if wanted in _PARTIAL:
        return Encoding(
            ("partial",),
            lambda record, first: tables.partial_object(record),
            lambda rv, ends: _bookmark(kind, rv, ends, "PartialObjectMetadata", "meta.k8s.io/v1"),
            first_differs=False,
        )
    include = _included(call)
    with_tenant, version = call.tenant == ALL_TENANTS, call.accept.version or "v1"

    def row(record: Record, first: bool) -> bytes:
        return tables.table(
            kind,
            [record],
            record.revision,
            include_object=include,
            with_tenant=with_tenant,
            now=time.time(),
            version=version,
            columns_header=first,
        )

    return Encoding(
        ("table", kind.api_version, include, with_tenant, version),
        row,
        lambda rv, ends: _table_bookmark(kind, rv, ends, version),
        first_differs=True,
    )


def _binary_watch(call: Call) -> Encoding:
    """Frames of protobuf, each object in an envelope of its own."""
    form, kind = _binary(call), call.kind
    name, version = (form.kind, form.api_version) if call.accept.as_ else ("", "")

    def status(obj: Obj) -> bytes:
        return binary.enveloped("v1", "Status", (binary.encoded(obj),))

    return Encoding(
        ("protobuf", form.api_version, form.kind),
        lambda record, first: form.event(record),
        lambda rv, ends: binary.enveloped(
            form.api_version, form.kind, (binary.encoded(loads(_bookmark(kind, rv, ends, name, version))),)
        ),
        first_differs=False,
        frame=lambda type, body: chunk(protobuf.watch_event(type, body)),
        status=status,
        content_type=binary.STREAM_TYPE,
    )


_INITIAL_END = {"k8s.io/initial-events-end": "true"}


def _bookmark(kind: Kind, revision: int, ends: bool, name: str = "", api_version: str = "") -> bytes:
    meta: Obj = {"resourceVersion": str(revision), "creationTimestamp": None}
    if ends:
        meta["annotations"] = _INITIAL_END
    bookmark: Obj = {"kind": name or kind.kind, "apiVersion": api_version or kind.api_version, "metadata": meta}
    if kind.resource == "pods" and not name:
        # Typed clients refuse a pod without containers, even this one.
        bookmark["spec"] = {"containers": []}
    return dumps(bookmark)


def _table_bookmark(kind: Kind, revision: int, ends: bool, version: str) -> bytes:
    row = {
        "cells": [],
        "object": msgspec.Raw(_bookmark(kind, revision, ends, "PartialObjectMetadata", "meta.k8s.io/v1")),
    }
    table = {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": {"resourceVersion": str(revision)},
        "columnDefinitions": [],
        "rows": [row],
    }
    return dumps(table)


def continue_key(call: Call, token: ContinueToken) -> Key:
    return Key(versions.storage_kind(call.kind).resource, token.tenant, token.namespace, token.name)
