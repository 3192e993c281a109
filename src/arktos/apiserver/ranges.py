"""Tenures on the hash ring: who may hold one, and that no write outlives the one it was decided under.

A write may say under which tenure it was decided (`Arktos-Range`, see `model.hashranges`). Then it is accepted only
while that tenure lasts: the instance's epoch is checked inside the commit. Instances of one type that hold overlapping
ranges are never accepted: whoever gains something also writes the type's own record, `controllerranges.internal`, at
the revision that was seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from arktos.apiserver.admission import Attempt, Effects
from arktos.apiserver.audit.trail import Trail
from arktos.apiserver.call import Call
from arktos.apiserver.encoding import decode
from arktos.apiserver.identity import User
from arktos.model import hashranges
from arktos.model.hashranges import RangeTaken, Tenure
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import FieldError, Forbidden, conflict, stale_range
from arktos.store.records import (
    SLOT,
    Absent,
    AtRevision,
    FieldIs,
    Header,
    Key,
    Precondition,
    Put,
    Query,
    Record,
    Store,
    Write,
)
from arktos.wire.http import Request

INSTANCES = "controllerinstances"
TAKEN = "controllerranges.internal"
EPOCH = "epoch"
ANNOTATION = "arktos.io/range"
"""Annotation of a write's audit event: the tenure that it was decided under."""
_HEADER = hashranges.HEADER.lower()
_MOST = 1024
"""Tenures whose checks are remembered."""


class Ranges:
    """Steps for the admission chain."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[Record | None, Precondition]] = {}

    def fence(self, attempt: Attempt, effects: Effects) -> None:
        """For every write of every kind: what it says of its tenure must hold when it is committed."""
        text = attempt.call.request.headers.get(_HEADER)
        if text is not None:
            effects.preconditions.append(self._condition(attempt.call, text))

    def _condition(self, call: Call, text: str) -> Precondition:
        """Controllers write many objects under one tenure, between two renewals of the instance."""
        known = self._known.get(text)
        if known is not None and call.user.is_system and known[0] is self._store.get(known[1].key):
            _note(call.request, text)
            return known[1]
        [condition] = conditions(call, self._store)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[text] = (self._store.get(condition.key), condition)
        return condition

    def instances(self, attempt: Attempt, effects: Effects) -> None:
        """For controllerinstances: counts epochs, keeps ranges apart."""
        if attempt.operation == "delete":
            return
        name, kind = attempt.obj["metadata"].get("name", ""), attempt.obj.get("controllerType") or ""
        try:
            # Renewals, by far the most of all writes, never look at the others.
            gains = hashranges.settle(attempt.old, attempt.obj, self._others(kind, name))
        except RangeTaken as taken:
            error = conflict(INSTANCES, name, str(taken))
            error.causes = (FieldError("controllerKey", "RangeTaken", str(taken)),)
            raise error from taken
        if gains:
            key = Key(TAKEN, SYSTEM_TENANT, "", kind)
            record = self._store.get(key)
            effects.preconditions.append(Absent(key) if record is None else AtRevision(key, record.revision))
            effects.writes.append(Put(key, Header(""), b'{"metadata":{' + SLOT + b'"}}'))

    @staticmethod
    def release(_instance: Obj) -> Sequence[Write]:
        """What an instance leaves behind: nothing. That there is a release lets a lost race be run again."""
        return ()

    def _others(self, kind: str, name: str) -> Iterator[Obj]:
        """The other instances of a type, read when they are asked for."""
        for record in self._store.list(Query(INSTANCES, SYSTEM_TENANT)).records:
            if record.key.name != name and record.header.fields.get("controllerType") == kind:
                yield decode(record)


def conditions(call: Call, store: Store) -> list[Precondition]:
    """What a commit must check for the tenure that a call names, none if it names none. StaleRange where it is over
    already; Forbidden for a tenant's user, whom the ring is no business of."""
    return standing(call.request, call.user, store)


def standing(request: Request, user: User, store: Store) -> list[Precondition]:
    """As `conditions`, for a request that is no call of this server's own: what is passed on is committed elsewhere, so
    its tenure can be checked only as it goes."""
    text = request.headers.get(_HEADER)
    if text is None:
        return []
    if user.tenant != SYSTEM_TENANT:
        raise Forbidden(f"only users of the tenant {SYSTEM_TENANT} may write under the header {hashranges.HEADER}")
    tenure = hashranges.parse(text)
    key = Key(INSTANCES, SYSTEM_TENANT, "", tenure.name)
    record = store.get(key)
    if record is None or record.header.uid != tenure.uid or record.header.fields.get(EPOCH) != str(tenure.epoch):
        raise stale_range(tenure.name)
    _check_range(tenure, decode(record))
    _note(request, text)
    return [FieldIs(key, tenure.uid, EPOCH, str(tenure.epoch))]


def _note(request: Request, text: str) -> None:
    if isinstance(request.about, Trail):
        request.about.annotate(ANNOTATION, text)


def _check_range(tenure: Tenure, instance: Obj) -> None:
    """Whoever loses a part of a range loses the epoch; so what holds now holds at the commit, if the epoch does."""
    place = hashranges.held(instance)
    if place is None or not place.covers(tenure.range) or instance.get("controllerType") != tenure.type:
        raise stale_range(tenure.name)
