"""UPDATE (PUT): of an object or of one of its subresources."""

from __future__ import annotations

from arktos.apiserver import represent
from arktos.apiserver.bodies import read_object
from arktos.apiserver.call import Call
from arktos.apiserver.encoding import dumps, loads
from arktos.apiserver.verbs.create import locate
from arktos.apiserver.writes import Writer
from arktos.model.kinds import Obj
from arktos.wire.http import Response


async def update(call: Call, writer: Writer) -> Response:
    """Replaces the object (or the subresource's part of it) by the body."""
    obj = read_object(call)
    locate(call, call.kind, obj)
    subresource = call.info.subresource
    creates = call.kind.create_on_update and not subresource

    pristine = dumps(obj)
    given: list[Obj] = [obj]

    def replace(_: Obj) -> Obj:
        # The pipeline works in place: a second try starts from the body again.
        return given.pop() if given else loads(pristine)

    create = (lambda: replace({})) if creates else None
    outcome = await writer.change(call, replace, subresource=subresource, create=create)
    return represent.one(call, outcome.record, 201 if outcome.created else 200)
