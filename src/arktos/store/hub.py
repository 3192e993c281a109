"""Live subscriptions: each event finds those whom it concerns without looking at the others.

Subscriptions stand in groups by resource, tenant and namespace; within a group those without selector share one list
of events, as do those with equal selectors; those whose selector fixes an indexed field (a kubelet's `spec.nodeName`)
or a name stand under that value, and only the rest are asked one by one. Deliveries run in loop turns of their own,
bounded in time; what happens meanwhile is coalesced into the next delivery. So fan-out never stands in the path of a
commit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import NamedTuple

from arktos.model.selectors import Selector
from arktos.store.records import Event, Query, WatchEvent
from arktos.store.views import Change

Deliver = Callable[[Sequence[WatchEvent], int], None]

_NAME = "metadata.name"
_SLICE = 0.002
"""Seconds of delivering after which other callbacks of the loop get their turn."""
_STRIDE = 32


class LiveQuery:
    """A subscription. Once closed nothing is delivered any more, not even what was under way."""

    __slots__ = ("_hub", "deliver", "query")

    def __init__(self, hub: Hub, query: Query, deliver: Deliver) -> None:
        self._hub = hub
        self.query = query
        self.deliver: Deliver | None = deliver

    def close(self) -> None:
        if self.deliver is not None:
            self.deliver = None
            self._hub.drop(self)


class _Party:
    """Those who watch one scope through equal selectors: each event is looked at once for all of them."""

    __slots__ = ("fixed", "members", "selector")

    def __init__(self, selector: Selector | None, fixed: tuple[str, str] | None) -> None:
        self.selector = selector
        self.fixed = fixed
        """The indexed label that the selector fixes, and its value."""
        self.members: dict[LiveQuery, None] = {}


class _Group:
    """Those who watch one scope of one resource."""

    __slots__ = ("_asked", "_fixed", "_parties")

    def __init__(self) -> None:
        self._parties: dict[Selector | None, _Party] = {}
        self._asked: dict[_Party, None] = {}
        self._fixed: dict[str, dict[str, dict[_Party, None]]] = {}

    def add(self, live: LiveQuery, fixed: Callable[[Selector], tuple[str, str] | None]) -> None:
        selector = live.query.selector
        party = self._parties.get(selector)
        if party is None:
            party = self._parties[selector] = _Party(selector, None if selector is None else fixed(selector))
            if party.fixed is None:
                self._asked[party] = None
            else:
                label, value = party.fixed
                self._fixed.setdefault(label, {}).setdefault(value, {})[party] = None
        party.members[live] = None

    def remove(self, live: LiveQuery) -> bool:
        """Whether nobody is left."""
        party = self._parties.get(live.query.selector)
        if party is not None:
            party.members.pop(live, None)
            if not party.members:
                self._dissolve(party)
        return not self._parties

    def candidates(self, event: Event, name: str) -> Iterator[_Party]:
        """Those whom the event may concern, each once."""
        yield from self._asked
        for label, by_value in self._fixed.items():
            if label == _NAME:
                yield from by_value.get(name, ())
                continue
            now = None if event.record is None else event.record.header.fields.get(label, "")
            before = None if event.previous is None else event.previous.header.fields.get(label, "")
            if now is not None:
                yield from by_value.get(now, ())
            if before is not None and before != now:
                yield from by_value.get(before, ())

    def _dissolve(self, party: _Party) -> None:
        del self._parties[party.selector]
        self._asked.pop(party, None)
        if party.fixed is not None:
            label, value = party.fixed
            by_value = self._fixed[label]
            del by_value[value][party]
            if not by_value[value]:
                del by_value[value]
            if not by_value:
                del self._fixed[label]


class _Delivery(NamedTuple):
    """The same events for each of `members`."""

    members: list[LiveQuery]
    events: list[WatchEvent]


class Hub:
    """See the module. `schedule` runs a callback in a later turn of the loop (`loop.call_soon`)."""

    def __init__(
        self,
        labels: Callable[[str], Sequence[str]],
        schedule: Callable[[Callable[[], None]], object],
    ) -> None:
        """`labels` answers which field labels of a resource are indexed."""
        self.delivered = 0
        """Up to here every subscription has been delivered everything."""
        self._labels = labels
        self._schedule = schedule
        self._groups: dict[str, dict[tuple[str | None, str | None], _Group]] = {}
        self._size = 0
        self._queue: list[Event] = []
        self._joining: list[tuple[int, LiveQuery]] = []
        self._revision = 0
        self._plan: deque[_Delivery] = deque()
        self._plan_revision = 0
        self._at = 0
        self._scheduled = False

    def __len__(self) -> int:
        return self._size

    def start(self, revision: int) -> None:
        """Begins at `revision`, before the first subscription."""
        self.delivered = self._revision = self._plan_revision = revision

    def subscribe(self, query: Query, deliver: Deliver) -> LiveQuery:
        """Sees what is published from now on."""
        live = LiveQuery(self, query, deliver)
        self._size += 1
        if self._queue:
            self._joining.append((len(self._queue), live))
        else:
            self._join(live)
        return live

    def publish(self, events: Sequence[Event], revision: int) -> None:
        """Queues what became visible, `revision` being the newest that readers see now."""
        self._revision = revision
        if self._groups or self._joining:
            self._queue += events
        if self._queue or self._plan:
            self._wake()
        else:
            self.delivered = revision

    def drop(self, live: LiveQuery) -> None:
        self._size -= 1
        scope = (live.query.tenant, live.query.namespace)
        scopes = self._groups.get(live.query.resource, {})
        group = scopes.get(scope)
        if group is not None and group.remove(live):
            del scopes[scope]
            if not scopes:
                del self._groups[live.query.resource]

    # -- delivering

    def _wake(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._schedule(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        try:
            if not self._plan:
                self._dispatch()
            self._deliver()
        finally:
            # Also when a callback raised: the loop reports that, the others get theirs.
            if self._plan or self._queue:
                self._wake()
            if not self._plan:
                self.delivered = self._plan_revision if self._queue else self._revision

    def _deliver(self) -> None:
        deadline = perf_counter() + _SLICE
        revision = self._plan_revision
        while self._plan:
            members, events = self._plan[0]
            while self._at < len(members):
                stop = min(self._at + _STRIDE, len(members))
                for live in members[self._at : stop]:
                    self._at += 1
                    deliver = live.deliver
                    if deliver is not None:
                        deliver(events, revision)
                if perf_counter() > deadline:
                    return
            self._plan.popleft()
            self._at = 0

    def _dispatch(self) -> None:
        """Turns the queue into deliveries; those who subscribed midway only see what came after."""
        queue, joining = self._queue, self._joining
        self._queue, self._joining = [], []
        self._plan_revision = self._revision
        start = 0
        for position, live in joining:
            self._sort_out(queue[start:position])
            start = position
            if live.deliver is not None:
                self._join(live)
        self._sort_out(queue[start:])

    def _sort_out(self, events: Sequence[Event]) -> None:
        seen: dict[_Party, list[WatchEvent]] = {}
        for event in events:
            change = Change(event)
            resource, tenant, namespace, name = change.record.key
            scopes = self._groups.get(resource)
            if scopes is None:
                continue
            for scope in ((tenant, namespace), (tenant, None), (None, None), (None, namespace)):
                group = scopes.get(scope)
                if group is None:
                    continue
                for party in group.candidates(event, name):
                    face = change.whole() if party.selector is None else change.through(party.selector)
                    if face is not None:
                        seen.setdefault(party, []).append(face)
        self._plan.extend(_Delivery(list(party.members), faces) for party, faces in seen.items())

    # -- membership

    def _join(self, live: LiveQuery) -> None:
        scopes = self._groups.setdefault(live.query.resource, {})
        scope = (live.query.tenant, live.query.namespace)
        group = scopes.get(scope)
        if group is None:
            group = scopes[scope] = _Group()
        group.add(live, lambda selector: self._fixed(live.query.resource, selector))

    def _fixed(self, resource: str, selector: Selector) -> tuple[str, str] | None:
        for label in (_NAME, *self._labels(resource)):
            value = selector.exact(label)
            if value is not None:
                return label, value
        return None
