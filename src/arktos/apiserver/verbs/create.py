"""CREATE."""

from __future__ import annotations

from arktos.apiserver import represent
from arktos.apiserver.bodies import read_object
from arktos.apiserver.call import Call
from arktos.apiserver.writes import Writer
from arktos.model.kinds import Kind, Obj, Scope
from arktos.model.status import BadRequest
from arktos.wire.http import Response


async def create(call: Call, writer: Writer) -> Response:
    outcome = await writer.cast(call)
    if outcome is None:
        obj = read_object(call)
        locate(call, call.kind, obj)
        outcome = await writer.create(call, obj, alike=True)
    return represent.one(call, outcome.record, 201)


def locate(call: Call, kind: Kind, obj: Obj) -> None:
    """Reconciles the body's tenant, namespace and name with the request's: missing ones are filled in, others must
    agree (BadRequest, ARKTOS 1.6). Kinds without a tenant or namespace lose theirs."""
    meta = obj.get("metadata")
    if not isinstance(meta, dict):
        meta = obj["metadata"] = {}
    if kind.scope is Scope.CLUSTER:
        meta.pop("tenant", None)
    else:
        require_tenant(call, meta)
        meta["tenant"] = call.tenant
    if kind.scope is Scope.NAMESPACE:
        if not call.info.namespace:
            raise BadRequest("an empty namespace may not be set during creation")
        if meta.setdefault("namespace", call.info.namespace) != call.info.namespace:
            if meta["namespace"]:
                raise BadRequest(
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
            meta["namespace"] = call.info.namespace
    else:
        meta.pop("namespace", None)
    named = call.info.name
    if named and meta.setdefault("name", named) != named:
        if meta["name"]:
            raise BadRequest(f"the name of the object ({meta['name']}) does not match the name on the URL ({named})")
        meta["name"] = named


def require_tenant(call: Call, meta: Obj) -> None:
    """BadRequest where a body's metadata names another tenant than the request."""
    named = meta.get("tenant")
    if named and named != call.tenant:
        raise BadRequest(
            "the tenant of the provided object does not match the tenant sent on the request "
            f"({named} and {call.tenant})"
        )
