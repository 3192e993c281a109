"""Which event to write when something is said about an object: a new one, a higher count, a summary, or none. Pure.

After client-go's correlator. Equal events (same object, reason and message) are one object with a count. From the
tenth different message about one object, type and reason within ten minutes on, they are combined into one. A
source may say 25 things about an object at once, and one more every five minutes; what is beyond that is not said.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

from arktos.client.ratelimit import TokenBucket
from arktos.model.kinds import Obj

COMBINED = "(combined from similar events): "
_MESSAGES = 10
_WINDOW = 600.0
_BURST, _REFILL = 25, 1 / 300
_REMEMBERED = 4096

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Reference:
    """The object that an event is about."""

    tenant: str = ""
    namespace: str = ""
    kind: str = ""
    api_version: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    field_path: str = ""

    def obj(self) -> Obj:
        """As an ObjectReference."""
        named = {
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "apiVersion": self.api_version,
            "resourceVersion": self.resource_version,
            "fieldPath": self.field_path,
        }
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, slots=True)
class Said:
    """What a component says about an object."""

    about: Reference
    type: str
    reason: str
    message: str
    action: str = ""
    related: Reference | None = None


@dataclass(slots=True)
class _Similar:
    """Messages of one object, type and reason."""

    messages: set[str] = field(default_factory=set)
    at: float = 0.0


@dataclass(slots=True)
class _Written:
    """An event that was written before."""

    name: str
    count: int
    first: str


class _Recent(OrderedDict[K, V], Generic[K, V]):
    """Holds the most recently used entries."""

    def recall(self, key: K) -> V | None:
        value = self.get(key)
        if value is not None:
            self.move_to_end(key)
        return value

    def keep(self, key: K, value: V) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > _REMEMBERED:
            self.popitem(last=False)


class Correlator:
    """The memory of one component's events. Bounded; forgetting costs a second event object, no more."""

    def __init__(self, component: str, instance: str) -> None:
        self._component = component
        self._instance = instance
        self._similar: _Recent[tuple[Reference, str, str], _Similar] = _Recent()
        self._written: _Recent[tuple[Reference, str, str, str], _Written] = _Recent()
        self._buckets: _Recent[Reference, TokenBucket] = _Recent()
        self._last_stamp = 0
        self.suppressed = 0

    def say(self, said: Said, now: float) -> tuple[Obj, bool] | None:
        """The Event to write and whether it is a new one (else only count, last time and message of it changed).
        None if it is not to be said. `now` is unix time."""
        message, combined = self._combine(said, now)
        if not self._allowed(said.about, now):
            self.suppressed += 1
            return None
        key = (said.about, said.type, said.reason, COMBINED if combined else message)
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        written = self._written.recall(key)
        fresh = written is None
        if written is None:
            written = _Written(self._name(said.about.name, now), 0, stamp)
            self._written.keep(key, written)
        written.count += 1
        return self._event(said, message, written, stamp), fresh

    def _combine(self, said: Said, now: float) -> tuple[str, bool]:
        key = (said.about, said.type, said.reason)
        similar = self._similar.recall(key)
        if similar is None or now - similar.at > _WINDOW:
            similar = _Similar()
            self._similar.keep(key, similar)
        similar.at = now
        if len(similar.messages) < _MESSAGES:
            similar.messages.add(said.message)
        if len(similar.messages) < _MESSAGES:
            return said.message, False
        return COMBINED + said.message, True

    def _allowed(self, about: Reference, now: float) -> bool:
        bucket = self._buckets.recall(about)
        if bucket is None:
            bucket = TokenBucket(_REFILL, _BURST, now)
            self._buckets.keep(about, bucket)
        return bucket.allow(now)

    def _name(self, of: str, now: float) -> str:
        """Unique for this component: its own time never stands still."""
        self._last_stamp = max(self._last_stamp + 1, int(now * 1e9))
        return f"{of[:230]}.{self._last_stamp:x}"

    def _event(self, said: Said, message: str, written: _Written, stamp: str) -> Obj:
        namespace = said.about.namespace or "default"
        metadata: Obj = {"name": written.name, "namespace": namespace}
        if said.about.tenant:
            metadata["tenant"] = said.about.tenant
        event: Obj = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": metadata,
            "involvedObject": said.about.obj(),
            "type": said.type,
            "reason": said.reason,
            "message": message[:1024],
            "source": {"component": self._component, "host": self._instance},
            "firstTimestamp": written.first,
            "lastTimestamp": stamp,
            "count": written.count,
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }
        if said.action:
            event["action"] = said.action
        if said.related is not None:
            event["related"] = said.related.obj()
        return event
