"""PATCH in its four forms: JSON patch, merge patch, strategic merge patch, server-side apply."""

from __future__ import annotations

from collections.abc import Callable

from arktos.apiserver import bodies, represent
from arktos.apiserver.call import Call
from arktos.apiserver.encoding import dumps, loads, stamp
from arktos.apiserver.outcomes import Outcome
from arktos.apiserver.verbs.create import locate
from arktos.apiserver.writes import Change, Writer, unwritable
from arktos.model import apply as server_side_apply
from arktos.model import patch_json, patch_merge, patch_strategic, schema
from arktos.model.kinds import Kind, Obj
from arktos.model.status import BadRequest, FieldError, Invalid, UnsupportedMediaType
from arktos.wire import json as wire_json
from arktos.wire.http import Response
from arktos.wire.mediatype import content_type

_STRATEGIC = "strategic-merge-patch"
_FORMS = ("json-patch", "merge-patch", _STRATEGIC, "apply-patch")


async def patch(call: Call, writer: Writer) -> Response:
    form = content_type(call.request.headers.get("content-type", ""))
    if form not in _FORMS or (form == _STRATEGIC and call.kind.custom is not None):
        # How lists of custom resources merge, nobody says: they have no strategic merge, as upstream.
        strategic = "" if call.kind.custom is not None else "application/strategic-merge-patch+json, "
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            f"application/json-patch+json, application/merge-patch+json, {strategic}application/apply-patch+yaml"
        )
    subresource = call.info.subresource
    if form == "apply-patch":
        outcome = await _apply(call, writer, subresource)
    else:
        outcome = await writer.change(call, change_of(call, form), subresource=subresource, operation="patch")
    return represent.one(call, outcome.record, 201 if outcome.created else 200)


def change_of(call: Call, form: str) -> Change:
    """The body as a change to an object of the call's kind. BadRequest for a body that is no patch of this form."""
    patcher = patcher_of(call, form)
    mode = bodies.validation_mode(call)
    repeated = bodies.duplicates(call, mode)

    def change(obj: Obj) -> Obj:
        patched = patcher(obj)
        bodies.match_kind(patched, call.kind)
        bodies.check(call, call.kind, patched, mode, repeated, obj)
        locate(call, call.kind, patched)
        return patched

    return change


def patcher_of(call: Call, form: str) -> Callable[[Obj], Obj]:
    try:
        body = wire_json.decode(call.request.body)
    except wire_json.DecodeError as error:
        raise BadRequest(f"error decoding patch: {error}") from error
    if form == "json-patch":
        if not isinstance(body, list):
            raise BadRequest("error decoding patch: a JSON patch is a list of operations")
        return lambda obj: patch_json.apply(obj, body)
    if not isinstance(body, dict):
        raise BadRequest(f"error decoding patch: a {form} is an object")
    if form == "merge-patch":
        return lambda obj: patch_merge.apply(obj, body)
    return lambda obj: patch_strategic.apply(schema.named(call.kind.schema), obj, body)


def configuration(call: Call, kind: Kind) -> tuple[str, bool, bytes]:
    """Who applies, whether by force, and the configuration: an encoded object of `kind`. BadRequest, Invalid."""
    manager = call.params.get("fieldManager", "") and call.field_manager
    if not manager:
        cause = FieldError("fieldManager", "FieldValueRequired", "Required value: is required for apply patch")
        raise Invalid(f"PatchOptions.meta.k8s.io is invalid: {cause}", causes=[cause])
    force = call.params.flag("force")
    try:
        applied = wire_json.decode_yaml(call.request.body)
    except wire_json.DecodeError as error:
        raise BadRequest(f"error decoding YAML: {error}") from error
    if not isinstance(applied, dict):
        raise BadRequest("error decoding YAML: an apply patch is an object")
    bodies.match_kind(applied, kind)
    mode = bodies.validation_mode(call)
    bodies.check(call, kind, applied, mode, bodies.duplicates(call, mode))
    locate(call, call.kind, applied)
    return manager, force, dumps(applied)


async def _apply(call: Call, writer: Writer, subresource: str) -> Outcome:
    """Server-side apply (KEP-555). Creates the object where none stands."""
    kind = call.kind
    manager, force, pristine = configuration(call, kind)

    def merged(live: Obj | None) -> Obj:
        return server_side_apply.apply(
            schema.of(kind),
            live,
            loads(pristine),
            manager=manager,
            api_version=kind.api_version,
            force=force,
            now=stamp(writer.clock()),
            subresource=subresource,
            ignored=unwritable(kind, subresource),
        ).obj

    create = None if subresource else (lambda: merged(None))
    return await writer.change(call, merged, subresource=subresource, operation="patch", create=create, book=False)
