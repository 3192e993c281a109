"""Resource quotas: what an object counts for is charged inside the commit that writes it, and given back inside the
commit that removes it.

A charge reads the quota as it stands among accepted commits, in the same turn of the loop in which its own commit is
accepted: however many write at once, each sees what those before it have charged, none loses a race, and no total is
ever beyond its limit. The quota's status is the ledger, written with the object or not at all.

A quota is in force as far as its `status.hard` goes. What its spec limits besides is being counted, by the controller
`resourcequota`; until then charges gather in `status.used`, unlimited. The controller counts the namespace as of one
revision, exactly, and says which (`model.quota.COUNTED_AT`); the server brings its total forward by what was charged
since: so a count neither waits for writers nor overwrites them.

A write in a namespace without quotas costs one look into a dict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from arktos.apiserver.admission import Attempt, Effects
from arktos.apiserver.encoding import decode, encode
from arktos.model import quota as quotas
from arktos.model import registry, selectors
from arktos.model.kinds import Obj
from arktos.model.quota import COUNTED_AT, Quota
from arktos.model.status import conflict, forbidden
from arktos.store.records import (
    SLOT,
    AtRevision,
    Key,
    Put,
    Query,
    Record,
    RevisionAhead,
    RevisionCompacted,
    Store,
    WatchEvent,
)

RESOURCE = "resourcequotas"
KIND = registry.by_resource(RESOURCE)


class _Ledger(NamedTuple):
    """A version of a quota. `tail` is its encoded form behind the revision, which tells it from others."""

    tail: bytes
    quota: Quota
    obj: Obj


def _after_slot(body: bytes) -> bytes:
    return body[body.index(b'"', body.index(SLOT) + len(SLOT)) :]


class QuotaCharges:
    """The charge of every write (`charge`) and the step for quotas themselves (`step`)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: dict[tuple[str, str], set[str]] = {}
        self._ledgers: dict[Key, _Ledger] = {}
        query = Query(RESOURCE, None)
        for record in store.list(query).records:
            self._note(record.key)
        store.subscribe(query, self._changed)

    def charge(self, key: Key, old: Obj | None, new: Obj | None) -> Effects | None:
        """What a write of `new` (None: a removal) in place of `old` adds to its commit. Must be committed before
        anything else is. Forbidden with Kubernetes' text where a quota is exceeded."""
        space = key[1:3]
        if old is None and key.resource == RESOURCE:
            # Commits that are accepted after this one are charged, also before readers see it.
            names = self._names.get(space) or set()
            self._names[space] = names | {key.name}
        else:
            found = self._names.get(space)
            if found is None:
                return None
            names = found
        if old is not None and new is not None and quotas.same_usage(key.resource, old, new):
            return None
        effects = Effects()
        for name in sorted(names):
            if key.resource != RESOURCE or key.name != name:
                self._charge_one(Key(RESOURCE, key.tenant, key.namespace, name), key, old, new, effects)
        return effects if effects.writes else None

    def _charge_one(self, at: Key, key: Key, old: Obj | None, new: Obj | None, effects: Effects) -> None:
        record = self._store.accepted(at)
        if record is None:
            if self._store.get(at) is None:
                self._forget(at)
            return
        ledger = self._ledger(record)
        quota = ledger.quota
        added = quotas.change(quota, key.resource, old, new)
        if new is not None:
            why = quotas.refusal(quota, added)
            if key.resource == "pods" and old is None and quotas.selects(quota.scopes, key.resource, new):
                why = quotas.unstated(quota, new) or why
            if why:
                raise forbidden(key.resource, key.name, why)
        if added:
            used = quotas.charged(quota, added)
            status = {**(ledger.obj.get("status") or {}), "used": quotas.written(used)}
            obj = {**ledger.obj, "status": status}
            body = encode(KIND, obj)
            self._ledgers[at] = _Ledger(_after_slot(body), replace(quota, used=used), obj)
            effects.preconditions.append(AtRevision(at, record.revision))
            effects.writes.append(Put(at, record.header, body))

    def _ledger(self, record: Record) -> _Ledger:
        """A quota, decoded; most often it is what the last charge wrote."""
        known = self._ledgers.get(record.key)
        if known is None or not record.body.endswith(known.tail):
            obj = decode(record)
            known = self._ledgers[record.key] = _Ledger(_after_slot(record.body), quotas.parse(obj), obj)
        return known

    def step(self, attempt: Attempt, effects: Effects) -> None:
        """The status of a quota follows its spec, and a count is brought forward. Conflict for a count of what is no
        longer."""
        if attempt.operation == "delete":
            return
        new, old = attempt.obj, attempt.old
        annotations = new["metadata"].get("annotations") or {}
        counted_at = annotations.pop(COUNTED_AT, None)
        if not annotations:
            new["metadata"].pop("annotations", None)
        if old is None:
            return
        if attempt.subresource == "":
            status = quotas.respecified(new, old)
            if status or "status" in new:
                new["status"] = status
        elif counted_at is not None:
            new["status"] = quotas.brought_forward(new.get("status") or {}, self._as_of(attempt, counted_at), old)

    def _as_of(self, attempt: Attempt, counted_at: str) -> Obj:
        """The quota as it was at the revision of a count."""
        now = attempt.old or {}
        meta = now["metadata"]
        before: Obj | None = None
        if counted_at.isascii() and counted_at.isdecimal() and len(counted_at) < 20:
            before = now if int(meta["resourceVersion"]) <= int(counted_at) else self._version(attempt, int(counted_at))
        if before is None or before["metadata"]["uid"] != meta["uid"] or before.get("spec") != now.get("spec"):
            name = meta["name"]
            raise conflict(RESOURCE, name, f"it was counted as of {counted_at}, and is another since; count again")
        return before

    def _version(self, attempt: Attempt, revision: int) -> Obj | None:
        call = attempt.call
        selector = selectors.parse("", f"metadata.name={attempt.obj['metadata']['name']}", KIND)
        query = Query(RESOURCE, call.tenant, call.info.namespace, selector)
        try:
            records = self._store.list(query, revision=revision).records
        except (RevisionCompacted, RevisionAhead):
            return None
        return decode(records[0]) if records else None

    # -- which namespaces have quotas

    def _changed(self, events: Sequence[WatchEvent], revision: int) -> None:
        for event in events:
            if event.type != "DELETED":
                self._note(event.record.key)
            elif self._store.accepted(event.record.key) is None:
                self._forget(event.record.key)

    def _note(self, key: Key) -> None:
        self._names.setdefault((key.tenant, key.namespace), set()).add(key.name)

    def _forget(self, key: Key) -> None:
        space = (key.tenant, key.namespace)
        names = self._names.get(space)
        if names is not None:
            self._names[space] = names = names - {key.name}
            if not names:
                del self._names[space]
        self._ledgers.pop(key, None)
