"""The path of every write: from a decoded object to a durable commit.

    cast     mould -> admit (what is of the call) -> commit(Absent, Live parents)
    create   prepare -> default -> admit -> validate -> book fields -> encode -> commit(Absent, Live parents)
    change   read -> change -> prepare -> default -> admit -> validate -> book fields -> encode -> commit(AtRevision)

Who is configured (`dynamic`: webhooks, policies) may change the object once it is admitted, which is then prepared and
admitted again, and may refuse it once it is valid.

Everything about a kind comes from `model`; everything a commit depends on is checked inside it, so two writers never
both believe the same thing free. A change without a resourceVersion is retried on the newest state when it loses a
race.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from arktos.apiserver import versions
from arktos.apiserver.admission import Admission, Attempt, Effects
from arktos.apiserver.builtin_roles import REVISION as NEVER_WRITTEN
from arktos.apiserver.call import Call
from arktos.apiserver.commits import commit, refused, seen
from arktos.apiserver.conflicts import busy, check_preconditions, modified
from arktos.apiserver.custom.conversion import Conversion
from arktos.apiserver.custom.judging import judged
from arktos.apiserver.durability import put_of
from arktos.apiserver.dynamic import preparing
from arktos.apiserver.dynamic.stage import Concern, DynamicAdmission
from arktos.apiserver.encoding import decode, dumps, key_of, loads, stamp
from arktos.apiserver.identifiers import new_uid, random_suffix
from arktos.apiserver.moulds import Birth, Moulds
from arktos.apiserver.outcomes import Outcome, at_revision, unrevisioned
from arktos.apiserver.reader import Reader
from arktos.model import defaults, kinds_admission, managed, metadata, schema, strategy, validation
from arktos.model.kinds import Kind, Obj
from arktos.model.status import (
    FieldError,
    RequestEntityTooLarge,
    already_exists,
    conflict,
    forbidden,
    invalid,
    not_found,
)
from arktos.store.records import (
    Absent,
    AtRevision,
    Delete,
    Key,
    Precondition,
    PreconditionFailed,
    Put,
    Record,
    Write,
)

RETRIES = 16
"""How often a change without a resourceVersion starts over when other writers win."""

NAME_ATTEMPTS = 8
"""How often a generated name is drawn anew when it is taken (KEP-4420)."""

MOST_BYTES = 4 << 20
"""Of an object as it is stored: somewhat more than a request may bring."""

Change = Callable[[Obj], Obj]
"""From the object as it stands, in the version that the call speaks (a copy that may be changed), to what it shall
be."""


class Writer:
    """Shared by all writing verbs and subresources of one server. `dynamic` asks the webhooks and policies that
    tenants configured (None: nobody)."""

    def __init__(
        self,
        reader: Reader,
        admission: Admission,
        clock: Callable[[], float] = time.time,
        dynamic: DynamicAdmission | None = None,
        conversion: Conversion | None = None,
    ) -> None:
        self.reader = reader
        self.admission = admission
        self.clock = clock
        self.dynamic = dynamic
        self.conversion = conversion or Conversion()
        self.moulds = Moulds(reader.store)

    async def cast(self, call: Call) -> Outcome | None:
        """Stores a new object that is like others before it, None where it has to be made in full. Errors as of
        `create`."""
        mould = None if self.is_configured(call.tenant) else self.moulds.find(call)
        if mould is None:
            return None
        effects = self.admission.admit_any(Attempt(call, call.kind, "create", mould.obj, None, ""))
        call.warnings += mould.warnings
        for _ in range(NAME_ATTEMPTS):
            name = metadata.generated(mould.stem, random_suffix())
            put = mould.cast(Birth(name, new_uid(), stamp(self.clock())))
            free = Absent(put.key)
            try:
                writes = [put, *effects.writes]
                return Outcome(await self.commit([free, *effects.preconditions], writes, None, mould.obj), created=True)
            except PreconditionFailed as failed:
                lost = refused(failed, put.key)
                if failed.precondition != free:
                    break
                await seen(self.reader.store, failed.current)
        raise lost from None

    async def create(self, call: Call, obj: Obj, *, book: bool = True, alike: bool = False) -> Outcome:
        """Stores a new object; one of many that are `alike`, perhaps, where it is the body of the call. AlreadyExists,
        Invalid, Forbidden, NotFound (of the namespace or tenant)."""
        alike = alike and not obj["metadata"].get("name")
        drawn = not obj["metadata"].get("name") or self.admission.draws(call.kind.resource)
        for _ in range(NAME_ATTEMPTS if drawn else 1):
            try:
                return await self._create_once(call, loads(dumps(obj)) if drawn else obj, book, alike=alike)
            except PreconditionFailed as failed:
                lost = refused(failed, failed.precondition.key)
                if obj["metadata"].get("name") == failed.precondition.key.name:
                    break
                await seen(self.reader.store, failed.current)
        raise lost from None

    async def _create_once(self, call: Call, obj: Obj, book: bool, *, alike: bool = False) -> Outcome:
        kind = versions.working_kind(call.kind)
        self._default(call.kind, obj)
        obj = versions.to_storage(call.kind, obj)
        if kind.group == kinds_admission.GROUP:
            await preparing.prepare(kind, obj)
        now = self.clock()
        key = key_of(kind, call.tenant, call.info.namespace, obj["metadata"].get("name") or "")
        metadata.fill(
            kind,
            obj,
            uid=new_uid(),
            now=stamp(now),
            suffix=random_suffix() if obj["metadata"].get("generateName") else "",
            tenant=key.tenant,
            namespace=key.namespace,
        )
        key = key._replace(name=obj["metadata"].get("name") or "")
        strategy.prepare_create(kind, obj)
        attempt = Attempt(call, kind, "create", obj, None, "")
        effects = self.admission.admit(attempt)
        concern = None if self.dynamic is None else self.dynamic.about(key.tenant, call, kind, "create", obj, None)
        if concern is not None:
            obj, effects = await self._changed_by(concern, attempt, effects, partial(strategy.prepare_create, kind))
        strategy.finish_create(kind, obj)
        if kind.custom is None:
            _raise_invalid(kind, obj, validation.validate_create(kind, obj))
        else:
            _raise_invalid(kind, obj, await judged(partial(validation.validate_create, kind, obj)))
        if concern is not None:
            await concern.validate(obj)
        if book:
            self._book(call, kind, obj, None, now, "")
        put = put_of(kind, key, obj) if kind.custom is None else await self._custom(kind, key, obj)
        _check_size(put, 0)
        if call.dry_run:
            self.admission.charge(key, None, obj)
            if self.reader.store.get(key) is not None:
                raise already_exists(key.resource, key.name)
            self.admission.require_parents(effects.preconditions, key)
            return self._told(kind, Outcome(unrevisioned(put), created=True), obj)
        conditions: list[Precondition] = [Absent(key), *effects.preconditions]
        record = await self.commit(conditions, [put, *effects.writes], None, obj)
        if alike and concern is None:
            self.moulds.learn(call, kind, obj, put, effects)
        return self._told(kind, Outcome(record, created=True), obj)

    async def commit(
        self, preconditions: Sequence[Precondition], writes: Sequence[Write], old: Obj | None, new: Obj | None
    ) -> Record:
        """Commits a write of `new` (None: a removal) in place of `old`, with its charge to quotas; the record of the
        first write. Forbidden where a quota is exceeded, PreconditionFailed for all but the quotas' revisions."""
        for _ in range(RETRIES):
            charge = self.admission.charge(writes[0].key, old, new)
            if charge is None:
                return await commit(self.reader.store, preconditions, writes, raw=True)
            try:
                conditions, also = [*preconditions, *charge.preconditions], [*writes, *charge.writes]
                return await commit(self.reader.store, conditions, also, raw=True)
            except PreconditionFailed as failed:
                if failed.precondition not in charge.preconditions:
                    raise
                await seen(self.reader.store, failed.current)
        raise busy(writes[0].key)

    async def change(
        self,
        call: Call,
        change: Change,
        *,
        subresource: str = "",
        operation: str = "update",
        create: Callable[[], Obj] | None = None,
        book: bool = True,
    ) -> Outcome:
        """Read, change, write. `create` makes the object where none stands (apply, create-on-update), else NotFound.

        A change that alters nothing writes nothing. An object that is being deleted goes when its last finalizer does.
        Conflict where the change names a resourceVersion that is no longer the object's."""
        key = call.key
        # What another writer was found to have written may not be visible yet: then it is what we go on from.
        record = self.reader.get(key)
        newer: Record | None = None
        for _ in range(RETRIES):
            if record is not None and record.key.tenant != key.tenant:
                raise forbidden(key.resource, key.name, f"it belongs to {record.key.tenant}, which shares it")
            try:
                if record is None:
                    return await self._create_changed(call, key, create, book)
                outcome = await self._change_once(call, record, change, subresource, operation, book)
            except PreconditionFailed as failed:
                if failed.precondition.key != key:
                    if not self.admission.draws(key.resource):
                        raise refused(failed, key) from failed
                    await seen(self.reader.store, failed.current)
                    record, newer = self.reader.get(key), None
                else:
                    newer = failed.current
                    record = newer or self.reader.virtual(key)
                continue
            if outcome.record is newer:
                await seen(self.reader.store, newer)
            return outcome
        raise busy(key)

    async def _create_changed(self, call: Call, key: Key, create: Callable[[], Obj] | None, book: bool) -> Outcome:
        """The object of a change to what does not exist. A uid or revision that it names is of one that has gone."""
        if create is None:
            raise not_found(key.resource, key.name)
        call.require("create")
        obj = create()
        meta = obj["metadata"]
        if meta.get("uid"):
            raise conflict(
                key.resource, key.name, f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: "
            )
        if meta.get("resourceVersion") not in (None, "", "0"):
            raise modified(key)
        return await self._create_once(call, obj, book)

    def is_configured(self, tenant: str) -> bool:
        """Whether a tenant has webhooks or policies at all."""
        return self.dynamic is not None and self.dynamic.is_configured(tenant)

    async def admit_body(self, call: Call, kind: Kind, body: Kind, obj: Obj | None, operation: str = "create") -> Obj:
        """Asks who is configured about what is no object of its own: a Binding, an Eviction, the options of a
        connection. The body as they want it. ApiError."""
        found = obj or {}
        if self.dynamic is not None:
            tenant = key_of(kind, call.tenant, call.info.namespace, call.info.name).tenant
            subresource = call.info.subresource
            concern = self.dynamic.about(tenant, call, kind, operation, found, None, subresource, body=body)
            if concern is not None:
                found = await concern.mutate(found) or found
                await concern.validate()
        return found

    async def amend(
        self,
        key: Key,
        kind: Kind,
        change: Change,
        also: Sequence[Write] = (),
        conditions: Sequence[Precondition] = (),
        *,
        dry_run: bool = False,
    ) -> Record:
        """A change of the server's own (a binding, an eviction): `change` knows what it may touch, so neither strategy
        nor admission nor validation looks at it. NotFound, and whatever `change` raises."""
        record = self.reader.store.get(key)
        for _ in range(RETRIES):
            if record is None:
                raise not_found(key.resource, key.name)
            new = change(decode(record))
            if dry_run:
                return record
            put = put_of(kind, key, new)
            try:
                unchanged = AtRevision(key, record.revision)
                return await commit(self.reader.store, [unchanged, *conditions], [put, *also], raw=True)
            except PreconditionFailed as failed:
                if failed.precondition.key != key:
                    raise refused(failed, key) from failed
                record = failed.current
        raise busy(key)

    async def _change_once(
        self, call: Call, record: Record, change: Change, subresource: str, operation: str, book: bool
    ) -> Outcome:
        kind = versions.working_kind(call.kind)
        key = record.key
        old = versions.decoded(record, kind)
        new = change(versions.from_storage(call.kind, versions.decoded(record, kind)))
        self._default(call.kind, new)
        new = versions.to_storage(call.kind, new)
        if kind.group == kinds_admission.GROUP:
            await preparing.prepare(kind, new)
        check_preconditions(kind, key, old, new)
        strategy.prepare_update(kind, new, old, subresource, keep_unknown=operation == "update")
        attempt = Attempt(call, kind, operation, new, old, subresource)
        effects = self.admission.admit(attempt)
        concern = None
        if self.dynamic is not None:
            concern = self.dynamic.about(key.tenant, call, kind, operation, new, old, subresource)
        if concern is not None:
            prepare = partial(strategy.prepare_update, kind, old=old, subresource=subresource, keep_unknown=False)
            new, effects = await self._changed_by(concern, attempt, effects, prepare)
        if kind.custom is None:
            _raise_invalid(kind, new, validation.validate_update(kind, new, old, subresource))
        else:
            _raise_invalid(kind, new, await judged(partial(validation.validate_update, kind, new, old, subresource)))
        if concern is not None:
            await concern.validate(new)
        if book:
            self._book(call, kind, new, old, self.clock(), subresource)
        new["metadata"]["resourceVersion"] = old["metadata"].get("resourceVersion", "")
        if new == old and not kind.ttl and versions.is_stored(record, kind):  # what expires is renewed by any write
            return Outcome(record)
        gone = finished(kind, new)
        put = put_of(kind, key, new, old) if kind.custom is None else await self._custom(kind, key, new)
        _check_size(put, len(record.body))
        if call.dry_run:
            self.admission.charge(key, old, None if gone else new)
            return self._told(kind, Outcome(at_revision(record.revision, put), deleted=gone), new)
        write: Write = Delete(key, put.header, put.body) if gone else put
        conditions: list[Precondition] = [_unchanged(record), *effects.preconditions]
        also = [*effects.writes, *(self.admission.release(key.resource, old) if gone else ())]
        stored = await self.commit(conditions, [write, *also], old, None if gone else new)
        return self._told(kind, Outcome(stored, deleted=gone), new)

    async def _changed_by(
        self, concern: Concern, attempt: Attempt, effects: Effects, prepare: Callable[[Obj], None]
    ) -> tuple[Obj, Effects]:
        """The object as those who are configured want it: prepared and admitted again, if they change it."""
        sent = loads(dumps(attempt.obj)) if concern.plan.mutates else None
        changed = await concern.mutate(attempt.obj)
        if changed is None:
            return attempt.obj, effects
        defaults.apply(attempt.kind, changed)
        prepare(changed)
        return changed, self.admission.admit(replace(attempt, obj=changed, sent=sent))

    async def _custom(self, kind: Kind, key: Key, obj: Obj) -> Put:
        """The write of a custom resource, in the version in which its definition has objects stored."""
        return put_of(versions.storage_kind(kind), key, await self.conversion.stored(kind, obj))

    @staticmethod
    def _told(kind: Kind, outcome: Outcome, obj: Obj) -> Outcome:
        """The outcome of a write, whose answer needs no conversion of what was just converted."""
        if kind.custom is not None and kind.custom.definition.by_webhook:
            revision = outcome.record.revision
            versions.keep(outcome.record, kind, obj, revision)
        return outcome

    @staticmethod
    def _default(kind: Kind, obj: Obj) -> None:
        defaults.apply(kind, obj)

    @staticmethod
    def _book(call: Call, kind: Kind, new: Obj, old: Obj | None, now: float, subresource: str) -> None:
        entries = managed.update(
            schema.of(kind),
            old,
            new,
            manager=call.field_manager,
            api_version=call.kind.api_version,
            now=stamp(now),
            subresource=subresource,
            ignored=unwritable(kind, subresource),
        )
        if entries:
            new["metadata"]["managedFields"] = entries
        else:
            new["metadata"].pop("managedFields", None)


def _unchanged(record: Record) -> Precondition:
    """That nobody has written since `record` was; a virtual object must not have been stored meanwhile."""
    return Absent(record.key) if record.revision == NEVER_WRITTEN else AtRevision(record.key, record.revision)


def unwritable(kind: Kind, subresource: str) -> Sequence[str]:
    """The parts of an object that a write to this subresource leaves alone, and so never owns."""
    if not kind.has_status:
        return ()
    return ("spec",) if subresource == "status" else ("status",)


def finished(kind: Kind, obj: Obj) -> bool:
    """Whether an object that is being deleted has nothing left to wait for."""
    meta = obj["metadata"]
    if "deletionTimestamp" not in meta or meta.get("finalizers"):
        return False
    if "finalize" in kind.subresources:
        return not (obj.get("spec") or {}).get("finalizers")
    return not meta.get("deletionGracePeriodSeconds")


def _raise_invalid(kind: Kind, obj: Obj, causes: Sequence[FieldError]) -> None:
    if causes:
        meta = obj["metadata"]
        raise invalid(kind.group, kind.kind, meta.get("name") or meta.get("generateName") or "", causes)


def _check_size(put: Put, before: int) -> None:
    """RequestEntityTooLarge for an object that has become too large, patch by patch or by what webhooks put in."""
    if len(put.body) > MOST_BYTES and len(put.body) > before:
        raise RequestEntityTooLarge(f"the object is too large: it may have {MOST_BYTES} bytes")
