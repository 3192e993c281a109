"""How a mirror is kept true, as a state machine without I/O: what to ask the server next, and what its answers
change.

| state  | ask the server                    | goes on to                                                             |
|--------|-----------------------------------|------------------------------------------------------------------------|
| STREAM | a watch with its initial state    | WATCH at the bookmark that ends it; LIST if refused, or cut off twice  |
| LIST   | a list                            | WATCH                                                                  |
| WATCH  | a watch from `resource_version`   | itself when it ends or is cut; STREAM (or LIST) when that has expired  |
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from arktos.client.cache import Cache, Change, same_state
from arktos.client.cached import Cached, ObjectKey, trimmed
from arktos.client.errors import ConnectionFailed, is_too_large_revision
from arktos.client.watching import WatchEvent
from arktos.model.kinds import Kind
from arktos.model.status import ApiError, BadRequest, Expired, Invalid, MethodNotAllowed

_CUTS_BEFORE_LIST = 2


class Ask(enum.Enum):
    """What to ask the server next."""

    STREAM = "stream"
    LIST = "list"
    WATCH = "watch"


class Reflector:
    """Feeds `cache` by `diff`s: the caller applies each returned change to the cache before it feeds anything
    else. With `trim`, what is kept of an object is what `cached.trimmed` keeps, and its labels."""

    def __init__(self, kind: Kind, cache: Cache, *, trim: bool = False) -> None:
        self.ask = Ask.STREAM
        self.resource_version = ""
        self.synced = False
        self._kind = kind
        self._cache = cache
        self._trim = trim
        self._staged: dict[ObjectKey, Cached] = {}
        self._may_stream = True
        self._cuts = 0

    def event(self, event: WatchEvent) -> list[Change]:
        """One event of the watch that was asked for. Raises `msgspec.DecodeError` for what is no object."""
        if event.type == "BOOKMARK":
            if self.ask is Ask.STREAM:
                return self._complete(event.header.metadata.resource_version) if event.ends_initial_events else []
            self.resource_version = event.header.metadata.resource_version
            return []
        cached = Cached.from_raw(self._kind, trimmed(event.raw) if self._trim else event.raw, event.header)
        if self.ask is Ask.STREAM:
            if event.type == "DELETED":
                self._staged.pop(cached.key, None)
            else:
                self._stage(cached)
            return []
        self.resource_version = cached.resource_version
        return self._cache.diff_remove(cached.key) if event.type == "DELETED" else self._cache.diff_put(cached)

    def listed(self, items: Iterable[Cached], resource_version: str) -> list[Change]:
        """The complete list that was asked for."""
        self._staged = {}
        for cached in items:
            self._stage(cached)
        return self._complete(resource_version)

    def ended(self) -> None:
        """The watch ended, properly or by a cut connection."""
        if self.ask is Ask.STREAM:
            self._staged = {}
            self._cuts += 1
            if self._cuts >= _CUTS_BEFORE_LIST:
                self._cuts = 0
                self.ask = Ask.LIST

    def failed(self, error: ApiError | ConnectionFailed) -> None:
        """The server refused, or ended a stream with, this error."""
        if isinstance(error, ConnectionFailed):
            self.ended()
        elif self.ask is Ask.WATCH:
            # BadRequest: a revision that this server cannot read, perhaps of the one before it.
            if isinstance(error, Expired | BadRequest | Invalid) or is_too_large_revision(error):
                self._start_over()
        elif self.ask is Ask.STREAM:
            self._staged = {}
            if isinstance(error, BadRequest | Invalid | MethodNotAllowed):
                self._may_stream = False
                self.ask = Ask.LIST

    def _start_over(self) -> None:
        self._staged = {}
        self.ask = Ask.STREAM if self._may_stream else Ask.LIST

    def _stage(self, cached: Cached) -> None:
        # What is known keeps its bytes, so that a second look at the server doesn't double our memory.
        known = self._cache.objects.get(cached.key)
        self._staged[cached.key] = known if known is not None and same_state(known, cached) else cached

    def _complete(self, resource_version: str) -> list[Change]:
        changes = self._cache.diff_all(self._staged)
        self._staged = {}
        self._cuts = 0
        self.resource_version = resource_version
        self.synced = True
        self.ask = Ask.WATCH
        return changes
