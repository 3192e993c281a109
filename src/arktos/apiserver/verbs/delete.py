"""DELETE and deletecollection: graceful deletion, finalizers, propagation, preconditions.

An object goes at once when nothing holds it; else it is marked, and goes when its last finalizer and its grace period
have (`writes.finished`). What a delete still has to do is decided on the newest state, inside the retried change.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from arktos.apiserver import represent, versions
from arktos.apiserver.admission import Attempt
from arktos.apiserver.bodies import decode_bytes
from arktos.apiserver.call import Call
from arktos.apiserver.commits import refused
from arktos.apiserver.conflicts import busy
from arktos.apiserver.durability import put_of
from arktos.apiserver.encoding import decode, dumps, stamp
from arktos.apiserver.lifecycle import is_parent
from arktos.apiserver.reader import Reader
from arktos.apiserver.verbs.list import page_of, query_of
from arktos.apiserver.writes import RETRIES, Writer, finished
from arktos.model import dates, strategy, structure
from arktos.model.kinds import Kind, Obj
from arktos.model.status import BadRequest, FieldError, Invalid, NotFound, conflict, forbidden, not_found
from arktos.store.records import AtRevision, Delete, Key, Page, PreconditionFailed, Record, Write
from arktos.wire.http import Response

_FINALIZER = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}
_OURS = frozenset(_FINALIZER.values())
DEFAULT_GRACE = 30

RETURNS_OBJECT = frozenset(
    {
        "pods",
        "services",
        "serviceaccounts",
        "podtemplates",
        "persistentvolumes",
        "persistentvolumeclaims",
        "resourcequotas",
    }
)
"""Resources whose DELETE answers the object that went, as upstream (others answer a Status)."""


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """`propagation` is "" for the default; `grace` None where the client names none."""

    propagation: str = ""
    grace: int | None = None
    uid: str = ""
    revision: str = ""
    dry_run: bool = False

    def as_sent(self) -> Obj:
        """As admission sees them."""
        found: Obj = {"dryRun": ["All"]} if self.dry_run else {}
        if self.propagation:
            found["propagationPolicy"] = self.propagation
        if self.grace is not None:
            found["gracePeriodSeconds"] = self.grace
        wanted = {"uid": self.uid, "resourceVersion": self.revision}
        if any(wanted.values()):
            found["preconditions"] = {name: value for name, value in wanted.items() if value}
        return found


def options_of(call: Call) -> DeleteOptions:
    """From the body (DeleteOptions of any version) or, without one, from the query."""
    params = call.params
    body: Obj = {}
    if call.request.body:
        body = decode_bytes(call)
        if body.get("kind") not in (None, "", "DeleteOptions"):
            raise BadRequest(f"the body of a DELETE must be DeleteOptions, not {body['kind']}")
        found = structure.check_named("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", body)
        if found.type_errors:
            raise BadRequest(f"DeleteOptions: {', '.join(map(str, found.type_errors))}")
    if body.get("propagationPolicy") is None:
        body["propagationPolicy"] = params.get("propagationPolicy", "")
    if body.get("orphanDependents") is None and "orphanDependents" in params:
        body["orphanDependents"] = params.flag("orphanDependents")
    if body.get("gracePeriodSeconds") is None and "gracePeriodSeconds" in params:
        body["gracePeriodSeconds"] = params.number("gracePeriodSeconds")
    return parse_options(body, call.dry_run)


def parse_options(body: Obj, dry_run: bool) -> DeleteOptions:
    """From a DeleteOptions whose structure was checked. Invalid."""
    propagation, orphan = body.get("propagationPolicy") or "", body.get("orphanDependents")
    if orphan is not None:
        if propagation:
            raise _refused("propagationPolicy", "orphanDependents and deletionPropagation cannot be both set")
        propagation = "Orphan" if orphan else "Background"
    if propagation not in {"", "Orphan", "Background", "Foreground"}:
        cause = FieldError(
            "propagationPolicy",
            "FieldValueNotSupported",
            f'Unsupported value: "{propagation}": supported values: "Background", "Foreground", "Orphan"',
        )
        raise Invalid(f"DeleteOptions.meta.k8s.io is invalid: {cause}", causes=[cause])
    wanted = body.get("dryRun") or []
    if any(value != "All" for value in wanted):
        cause = FieldError("dryRun", "FieldValueNotSupported", f'Unsupported value: {wanted}: supported values: "All"')
        raise Invalid(f"DeleteOptions.meta.k8s.io is invalid: {cause}", causes=[cause])
    grace, conditions = body.get("gracePeriodSeconds"), body.get("preconditions") or {}
    return DeleteOptions(
        propagation,
        grace if grace is None else max(int(grace), 0),
        conditions.get("uid") or "",
        conditions.get("resourceVersion") or "",
        dry_run or bool(wanted),
    )


def _refused(field: str, why: str) -> Invalid:
    cause = FieldError(field, "FieldValueForbidden", f"Forbidden: {why}")
    return Invalid(f"DeleteOptions.meta.k8s.io is invalid: {cause}", causes=[cause])


async def delete(call: Call, writer: Writer) -> Response:
    record, gone = await remove(call, writer, call.key, options_of(call))
    if gone and call.kind.resource not in RETURNS_OBJECT:
        return Response(200, dumps(_success(call.kind, record)))
    return represent.one(call, record)


async def delete_collection(call: Call, writer: Writer) -> Response:
    """Deletes what a LIST with the same parameters shows; answers what it deleted or marked."""
    options = options_of(call)
    page = page_of(call, writer.reader, query_of(call))
    touched: list[Record] = []
    for record in page.records:
        if writer.reader.store.get(record.key) is None or record.key.tenant != call.key_named(record.key.name).tenant:
            continue  # built in, or shared by `system`
        try:
            touched.append((await remove(call, writer, record.key, options))[0])
        except NotFound:
            continue
    return await represent.collection(call, Page(touched, writer.reader.revision, page.more, page.remaining))


async def remove(call: Call, writer: Writer, key: Key, options: DeleteOptions) -> tuple[Record, bool]:
    """Deletes one object, or marks it. Returns its last state and whether it is gone."""
    kind = versions.storage_kind(call.kind)
    record = writer.reader.store.get(key)
    for _ in range(RETRIES):
        if record is None:
            return _remove_virtual(writer.reader, key, options), True
        obj = versions.decoded(record, kind)
        check_preconditions(key, obj, options)
        effects = writer.admission.admit(Attempt(call, kind, "delete", obj, obj, ""))
        if writer.dynamic is not None and not call.info.subresource:
            concern = writer.dynamic.about(key.tenant, call, kind, "delete", None, obj, options=options.as_sent())
            if concern is not None:
                await concern.validate()
        marked = mark(kind, obj, options, writer.clock())
        if marked is None:
            return record, False
        gone = finished(kind, marked)
        if options.dry_run:
            return record, gone
        put = put_of(kind, key, marked)
        write: Write = Delete(key, put.header, put.body) if gone else put
        try:
            conditions = [AtRevision(key, record.revision), *effects.preconditions]
            also = [*effects.writes, *(writer.admission.release(key.resource, obj) if gone else ())]
            return await writer.commit(conditions, [write, *also], obj, None if gone else marked), gone
        except PreconditionFailed as failed:
            if failed.precondition.key != key:
                raise refused(failed, key) from failed
            record = failed.current
    raise busy(key)


def _remove_virtual(reader: Reader, key: Key, options: DeleteOptions) -> Record:
    """What is not stored is not there, or built in, or there again at once: then without its uid, for the one that went
    is not the one that stands, and clients wait for its end."""
    record = reader.virtual(key)
    if record is None:
        raise not_found(key.resource, key.name)
    if not reader.renews(key):
        raise forbidden(key.resource, key.name, "it is built in")
    obj = decode(record)
    check_preconditions(key, obj, options)
    obj["metadata"].pop("uid", None)
    header = msgspec.structs.replace(record.header, uid="")
    return msgspec.structs.replace(record, header=header, body=dumps(obj))


def check_preconditions(key: Key, obj: Obj, options: DeleteOptions) -> None:
    """Conflict where uid or revision are not what the options ask for."""
    meta = obj["metadata"]
    if options.uid and options.uid != meta.get("uid"):
        why = f"the UID in the precondition ({options.uid}) does not match the UID in record ({meta.get('uid', '')}). "
        raise conflict(key.resource, key.name, why + "The object might have been deleted and then recreated")
    if options.revision and options.revision != meta.get("resourceVersion"):
        why = f"the ResourceVersion in the precondition ({options.revision}) does not match "
        why += f"the ResourceVersion in record ({meta.get('resourceVersion', '')}). The object might have been modified"
        raise conflict(key.resource, key.name, why)


def mark(kind: Kind, obj: Obj, options: DeleteOptions, now: float) -> Obj | None:
    """The object with what a delete sets: timestamp, grace period, propagation finalizers, phase of a parent.
    None where it is already marked so that this delete changes nothing."""
    meta = dict(obj["metadata"])
    marked = {**obj, "metadata": meta}
    finalizers = [f for f in meta.get("finalizers") or () if f not in _OURS]
    had = [f for f in meta.get("finalizers") or () if f in _OURS]
    ours = [_FINALIZER[options.propagation]] if options.propagation in _FINALIZER else []
    finalizers += ours if options.propagation else had
    meta.pop("finalizers", None)
    if finalizers:
        meta["finalizers"] = finalizers
    grace = grace_of(kind, obj, options)
    already = "deletionTimestamp" in meta
    if not already or grace < int(meta.get("deletionGracePeriodSeconds") or 0):
        meta["deletionTimestamp"] = stamp(now + grace if not already else _earlier(meta, grace))
        meta["deletionGracePeriodSeconds"] = grace
        if kind.has_generation and int(meta.get("generation") or 0) > 0 and not already:
            meta["generation"] = int(meta["generation"]) + 1
    if not already:
        strategy.prepare_delete(kind, marked, stamp(now))
    if is_parent(kind):
        marked["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return None if marked == obj and not finished(kind, marked) else marked


def _earlier(meta: Obj, grace: int) -> float:
    """The new deadline of a shortened grace period, counted from the first delete."""
    return dates.unix(meta["deletionTimestamp"]) - int(meta.get("deletionGracePeriodSeconds") or 0) + grace


def grace_of(kind: Kind, obj: Obj, options: DeleteOptions) -> int:
    """Seconds before removal. Only `graceful` kinds wait, and only for the node that runs them."""
    if not kind.graceful:
        return 0
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in {"Succeeded", "Failed"}:
        return 0
    if options.grace is not None:
        return options.grace
    period = spec.get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE if period is None else max(int(period), 0)


def _success(kind: Kind, record: Record) -> Obj:
    details = {"name": record.key.name, "group": kind.group, "kind": kind.plural, "uid": record.header.uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {name: value for name, value in details.items() if value},
    }
