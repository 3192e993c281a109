"""Objects in Kubernetes protobuf: encoded once per version of an object, and spliced into lists and watch events.

The first one to ask for a version pays for it; what was made stays in a cache of two generations, each bounded in
bytes, from which what was used since the last turn survives the next one. A list of what nobody has asked for yet is
encoded in slices, so that it holds nobody up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from arktos.apiserver.encoding import loads
from arktos.model.kinds import Kind, Obj
from arktos.model.status import NotAcceptable
from arktos.store.records import Record
from arktos.wire import logs, protobuf
from arktos.wire.http import Response

log = logs.get_logger(__name__)

STREAM_TYPE = protobuf.CONTENT_TYPE + ";stream=watch"
GENERATION = 16 << 20
"""Bytes in one generation of the cache; a pod takes about 1 KiB."""

_TURN = 0.002
"""Seconds of encoding before others have their turn."""

ToJson = Callable[[Record], bytes]
"""An object's JSON in the version that was asked for, or what is shown of it."""


class _Messages:
    """The messages that were asked for of late. A mark names the version of the object, and its form."""

    def __init__(self) -> None:
        self._young: dict[tuple[object, ...], bytes] = {}
        self._old: dict[tuple[object, ...], bytes] = {}
        self._size = 0

    def get(self, form: str, record: Record, to_json: ToJson) -> bytes:
        mark = (form, record.key, record.revision, record.header.uid)
        found = self._young.get(mark)
        if found is not None:
            return found
        found = self._old.get(mark) or encoded(loads(to_json(record)))
        if self._size >= GENERATION:
            self._old, self._young, self._size = self._young, {}, 0
        self._young[mark] = found
        self._size += len(found)
        return found


_messages = _Messages()


def encodable(kind: Kind) -> bool:
    """Whether stored objects of this kind have a protobuf form: those that Kubernetes has."""
    if kind.measured or kind.custom is not None:
        return False
    return protobuf.encodable(kind.api_version, kind.kind)


def encoded(obj: Obj) -> bytes:
    """The message of an object, without its envelope. NotAcceptable for one that does not fit."""
    try:
        return protobuf.encode_bare(obj)
    except protobuf.EncodeError as error:
        raise NotAcceptable(f"the object has no protobuf form: {error}") from error


def enveloped(api_version: str, kind: str, parts: Sequence[bytes]) -> bytes:
    return b"".join(protobuf.envelope(api_version, kind, parts))


class Form:
    """What objects are served as: themselves in one version, or PartialObjectMetadata."""

    def __init__(self, api_version: str, kind: str, list_kind: str, to_json: ToJson, *, cached: bool = True) -> None:
        self.api_version = api_version
        self.kind = kind
        self._list_kind = list_kind
        self._to_json = to_json
        self._form = f"{api_version}/{kind}" if cached else ""

    def message(self, record: Record) -> bytes:
        """An object's message. NotAcceptable."""
        if not self._form or not record.header.uid:
            return encoded(loads(self._to_json(record)))
        return _messages.get(self._form, record, self._to_json)

    def body(self, record: Record) -> bytes:
        """An object's enveloped form. NotAcceptable."""
        return enveloped(self.api_version, self.kind, (self.message(record),))

    def event(self, record: Record) -> bytes:
        """As `body`, for a watch, which must go on: of an object that does not fit, its metadata."""
        try:
            return self.body(record)
        except NotAcceptable as error:
            log.error("no protobuf", resource=record.key.resource, name=record.key.name, error=str(error))
            obj = loads(self._to_json(record))
            found = {name: obj[name] for name in ("apiVersion", "kind", "metadata")}
            return enveloped(self.api_version, self.kind, (encoded(found),))

    def one(self, record: Record, status: int, headers: Sequence[tuple[str, str]]) -> Response:
        return Response(status, self.body(record), protobuf.CONTENT_TYPE, headers)

    def many(self, records: Sequence[Record], metadata: Obj) -> Response | Awaitable[Response]:
        """A list, at once where its first turn suffices. NotAcceptable."""
        made: list[bytes] = []
        if self._some(records, made):
            return self._list(made, metadata)
        return self._rest(records, made, metadata)

    def _some(self, records: Sequence[Record], made: list[bytes]) -> bool:
        """Goes on encoding for one turn; whether that was all."""
        until = time.perf_counter() + _TURN
        for index in range(len(made), len(records)):
            made.append(self.message(records[index]))
            if not index & 15 and time.perf_counter() > until:
                break
        return len(made) == len(records)

    async def _rest(self, records: Sequence[Record], made: list[bytes], metadata: Obj) -> Response:
        while True:
            await asyncio.sleep(0)
            if self._some(records, made):
                return self._list(made, metadata)

    def _list(self, made: Sequence[bytes], metadata: Obj) -> Response:
        parts = protobuf.envelope(self.api_version, self._list_kind, protobuf.list_of(metadata, made))
        return Response(200, parts, protobuf.CONTENT_TYPE)
