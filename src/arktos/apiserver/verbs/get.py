"""GET of one object: the stored bytes, never decoded."""

from __future__ import annotations

from arktos.apiserver import represent
from arktos.apiserver.call import Call
from arktos.apiserver.reader import Reader
from arktos.apiserver.verbs.freshness import require_reached
from arktos.model.status import not_found
from arktos.wire.http import Response


def get(call: Call, reader: Reader) -> Response:
    """The object as of now (reads are linearizable, so every `resourceVersion` not in the future is satisfied)."""
    if call.params:
        require_reached(reader, call.params.get("resourceVersion", ""))
    record = reader.get(call.key)
    if record is None:
        raise not_found(call.kind.resource, call.info.name)
    return represent.one(call, record)
