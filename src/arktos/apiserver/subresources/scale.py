"""The scale subresource: a workload's replicas as an autoscaling/v1 Scale, readable and writable."""

from __future__ import annotations

from arktos.apiserver import bodies
from arktos.apiserver.call import Call
from arktos.apiserver.encoding import decode, dumps, loads
from arktos.apiserver.subresources.kinds import SCALE
from arktos.apiserver.verbs.create import locate
from arktos.apiserver.verbs.patch import patcher_of
from arktos.apiserver.writes import Writer
from arktos.model import scale
from arktos.model.kinds import Obj
from arktos.model.status import UnsupportedMediaType, not_found
from arktos.wire.http import Response
from arktos.wire.mediatype import content_type


async def get_scale(call: Call, writer: Writer) -> Response:
    record = writer.reader.get(call.key)
    if record is None:
        raise not_found(call.kind.resource, call.info.name)
    return Response(200, dumps(scale.of(decode(record))))


async def update_scale(call: Call, writer: Writer) -> Response:
    """PUT: the Scale's spec.replicas becomes the workload's."""
    wanted = bodies.read_object(call, SCALE)
    locate(call, call.kind, wanted)
    return await _write(call, writer, lambda _: wanted)


async def patch_scale(call: Call, writer: Writer) -> Response:
    """PATCH of the Scale in JSON, merge or strategic form."""
    form = content_type(call.request.headers.get("content-type", ""))
    if form == "strategic-merge-patch":
        form = "merge-patch"  # a Scale has no lists to merge
    if form not in {"json-patch", "merge-patch"}:
        raise UnsupportedMediaType("a scale takes JSON patches and merge patches")
    patcher = patcher_of(call, form)

    def patched(current: Obj) -> Obj:
        wanted = patcher(current)
        bodies.match_kind(wanted, SCALE)
        bodies.check(call, SCALE, wanted, bodies.validation_mode(call))
        return wanted

    return await _write(call, writer, patched)


async def _write(call: Call, writer: Writer, wanted_of: scale.Change) -> Response:
    def change(workload: Obj) -> Obj:
        return scale.applied(workload, wanted_of(scale.of(workload)))

    outcome = await writer.change(call, change, operation="update")
    return Response(200, dumps(scale.of(loads(outcome.record.body))))
