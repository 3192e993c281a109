"""The scale subresource: a workload's replicas as an autoscaling/v1 Scale, readable and writable."""

from __future__ import annotations

from arktos.apiserver import bodies, versions
from arktos.apiserver.call import Call
from arktos.apiserver.encoding import dumps, loads, stamp
from arktos.apiserver.subresources.kinds import SCALE
from arktos.apiserver.verbs.create import locate
from arktos.apiserver.verbs.patch import configuration, patcher_of
from arktos.apiserver.writes import Writer
from arktos.model import apply as server_side_apply
from arktos.model import scale, schema
from arktos.model.kinds import Kind, Obj
from arktos.model.status import UnsupportedMediaType, not_found
from arktos.wire.http import Response
from arktos.wire.mediatype import content_type


def paths_of(kind: Kind) -> Obj | None:
    """Where a definition says that replicas are; None for built-in kinds."""
    return None if kind.custom is None else kind.custom.scale


async def get_scale(call: Call, writer: Writer) -> Response:
    record = writer.reader.get(call.key)
    if record is None:
        raise not_found(call.kind.resource, call.info.name)
    kind = call.kind
    return Response(200, dumps(scale.of(versions.decoded(record, kind), paths_of(kind))))


async def update_scale(call: Call, writer: Writer) -> Response:
    """PUT: the Scale's spec.replicas becomes the workload's."""
    wanted = bodies.read_object(call, SCALE)
    locate(call, call.kind, wanted)
    return await _write(call, writer, lambda _: wanted)


async def patch_scale(call: Call, writer: Writer) -> Response:
    """PATCH of the Scale in any of the four forms."""
    form = content_type(call.request.headers.get("content-type", ""))
    if form == "apply-patch":
        return await _apply(call, writer)
    if form == "strategic-merge-patch":
        form = "merge-patch"  # a Scale has no lists to merge
    if form not in {"json-patch", "merge-patch"}:
        raise UnsupportedMediaType("a scale takes JSON patches, merge patches and apply patches")
    patcher = patcher_of(call, form)

    def patched(current: Obj) -> Obj:
        wanted = patcher(current)
        bodies.match_kind(wanted, SCALE)
        bodies.check(call, SCALE, wanted, bodies.validation_mode(call))
        return wanted

    return await _write(call, writer, patched)


async def _apply(call: Call, writer: Writer) -> Response:
    """Server-side apply: who owns the Scale's replicas owns the workload's."""
    manager, force, pristine = configuration(call, SCALE)
    paths = paths_of(call.kind)

    def change(workload: Obj) -> Obj:
        live = scale.of(workload, paths)
        live["metadata"]["managedFields"] = scale.managed_fields(workload, paths)
        wanted = server_side_apply.apply(
            schema.named(SCALE.schema),
            live,
            loads(pristine),
            manager=manager,
            api_version=SCALE.api_version,
            force=force,
            now=stamp(writer.clock()),
            subresource=scale.SUBRESOURCE,
            ignored=("status",),
        ).obj
        scaled = scale.applied(workload, wanted, paths)
        managers = wanted["metadata"].get("managedFields") or []
        entries = scale.workload_managed_fields(workload, managers, paths)
        return {**scaled, "metadata": {**scaled["metadata"], "managedFields": entries}}

    outcome = await writer.change(call, change, subresource=scale.SUBRESOURCE, operation="patch", book=False)
    return Response(200, dumps(scale.of(versions.decoded(outcome.record, call.kind), paths_of(call.kind))))


async def _write(call: Call, writer: Writer, wanted_of: scale.Change) -> Response:
    paths = paths_of(call.kind)

    def change(workload: Obj) -> Obj:
        return scale.applied(workload, wanted_of(scale.of(workload, paths)), paths)

    outcome = await writer.change(call, change, subresource=scale.SUBRESOURCE)
    return Response(200, dumps(scale.of(versions.decoded(outcome.record, call.kind), paths_of(call.kind))))
