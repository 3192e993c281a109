"""The store's vocabulary: keys, records, writes, preconditions, events. Data only.

An object is bytes. Its JSON carries `metadata.resourceVersion` as the first field of `metadata`, which stands right
after `kind` and `apiVersion`; the value is a slot that the store fills with the revision of the commit, so that an
object is encoded once, before its revision is known, and never decoded again. Beside the bytes stands a header with
everything that the server selects, sorts or filters by.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from arktos.model.selectors import Selector

SLOT = b'"resourceVersion":"'
"""What precedes the revision in a stored body; its first occurrence is the slot."""


class Key(NamedTuple):
    """Identity of a stored object. `resource` is the group-resource (`deployments.apps`); `tenant` is never empty
    (`system` for cluster-scoped kinds); `namespace` is empty for kinds that have none."""

    resource: str
    tenant: str
    namespace: str
    name: str


class Owner(NamedTuple):
    """The part of an ownerReference that is selected by."""

    kind: str
    uid: str
    hash_key: int


class Header(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What is selected by. `fields` are the kind's selectable fields, values as strings, by label;
    `deleting` is whether deletionTimestamp is set."""

    uid: str
    hash_key: int = 0
    labels: dict[str, str] = {}
    fields: dict[str, str] = {}
    owners: tuple[Owner, ...] = ()
    deleting: bool = False


class Record(msgspec.Struct, frozen=True, gc=False):
    """One version of one object, immutable. `body` is complete JSON, revision spliced in. `expires` is the unix time
    in seconds at which it goes by itself (0 = never)."""

    key: Key
    revision: int
    header: Header
    body: bytes
    expires: float = 0.0


class Put(msgspec.Struct, frozen=True):
    """Create or replace. `body` has an empty slot (`"resourceVersion":""`). A `lazy` put is acknowledged from memory
    and persisted soon after (DESIGN 5). `ttl` seconds from now bound its life (0 = forever)."""

    key: Key
    header: Header
    body: bytes
    lazy: bool = False
    ttl: float = 0.0


class Delete(msgspec.Struct, frozen=True):
    """Remove. `body` and `header`, where given, are the object's last state as watchers shall see it."""

    key: Key
    header: Header | None = None
    body: bytes | None = None


Write = Put | Delete


class Absent(NamedTuple):
    """Holds when no object has this key."""

    key: Key


class AtRevision(NamedTuple):
    """Holds when the object exists at exactly this revision."""

    key: Key
    revision: int


class Live(NamedTuple):
    """Holds when the object exists and is not being deleted."""

    key: Key


class FieldIs(NamedTuple):
    """Holds when the object exists, is the one of this uid, and its selectable field `label` has this value."""

    key: Key
    uid: str
    label: str
    value: str


Precondition = Absent | AtRevision | Live | FieldIs


class PreconditionFailed(Exception):
    """A commit did nothing, because `precondition` does not hold; `current` is what stands there (None: nothing)."""

    def __init__(self, precondition: Precondition, current: Record | None) -> None:
        super().__init__(f"{precondition} does not hold")
        self.precondition = precondition
        self.current = current


class StoreUnavailable(Exception):
    """The store cannot take writes now (disk full, I/O error, stopping); nothing of the commit was applied."""


class RevisionCompacted(Exception):
    """The revision asked for has left the history window; `oldest` is the first one still answerable."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"revisions before {oldest} have been compacted")
        self.oldest = oldest


class RevisionAhead(Exception):
    """The revision asked for has not happened yet; `current` is the newest."""

    def __init__(self, current: int) -> None:
        super().__init__(f"revision is ahead of the store's, {current}")
        self.current = current


class Committed(NamedTuple):
    """`records` has an entry for each write, in order: the new record of a Put, the last one of a Delete."""

    revision: int
    records: tuple[Record, ...]


class Query(msgspec.Struct, frozen=True):
    """Which objects: of one resource, in one tenant or all (None), in one namespace or all (None), matching."""

    resource: str
    tenant: str | None
    namespace: str | None = None
    selector: Selector | None = None


class Page(NamedTuple):
    """A consistent cut at `revision`, in key order (tenant, namespace, name). `more` tells that a limit cut it;
    `remaining` is the number left out, or -1 where counting would cost a scan."""

    records: list[Record]
    revision: int
    more: bool
    remaining: int


class Event(NamedTuple):
    """One change at `revision`: created (`previous` None), deleted (`record` None), else changed.
    `last` is the final state of a deleted object as watchers shall see it, its slot already at `revision`."""

    revision: int
    record: Record | None
    previous: Record | None
    last: Record | None


class WatchEvent(NamedTuple):
    """A change as seen through a query: an object that leaves the selection is DELETED, one that enters it ADDED.
    `record` of a DELETED carries the last state with the slot at the event's revision."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    record: Record


class Subscription(Protocol):
    """A live query. `close` is idempotent; no delivery happens after it."""

    def close(self) -> None: ...


class Store(Protocol):
    """What every engine guarantees: linearizable reads from memory, atomic durable commits, ordered events.

    All methods but `commit` are synchronous and do no I/O; all run on the event loop that opened the store.
    """

    @property
    def revision(self) -> int:
        """The newest revision that readers may see."""
        ...

    @property
    def oldest(self) -> int:
        """The oldest revision from which `changes` can still answer."""
        ...

    def get(self, key: Key) -> Record | None: ...

    def accepted(self, key: Key) -> Record | None:
        """What preconditions are checked against: the newest accepted state, which may not be durable yet. For who
        commits in the same turn, and so loses no race; never for an answer."""
        ...

    def touched(self, resource: str) -> int:
        """Changes whenever an object of a resource does, as readers see it: the revision of the newest change, 0 if
        there was none since the store was opened."""
        ...

    def list(self, query: Query, *, limit: int = 0, after: Key | None = None, revision: int = 0) -> Page:
        """Objects in key order after `after`. `revision` > 0 asks for the exact state at that revision
        (RevisionCompacted, RevisionAhead)."""
        ...

    def changes(self, query: Query, since: int, *, limit: int = 0) -> builtins.list[WatchEvent]:
        """What happened after revision `since`, oldest first, at most `limit`."""
        ...

    def subscribe(self, query: Query, deliver: Callable[[Sequence[WatchEvent], int], None]) -> Subscription:
        """Calls `deliver(events, revision)` for each committed batch that holds matching events, from now on, in order.
        `deliver` must not block; it runs on the loop, in its own turn, never in the path of a commit."""
        ...

    async def commit(self, preconditions: Sequence[Precondition], writes: Sequence[Write]) -> Committed:
        """All or nothing, durable when it returns (lazy puts excepted). Preconditions see every commit accepted before
        this one, also those not yet durable. PreconditionFailed, StoreUnavailable."""
        ...
