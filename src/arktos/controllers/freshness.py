"""A controller must not decide on a state that lacks its own last write: it would do the same thing twice.

Every write answers with the revision it made; a mirror knows up to which revision it is true. That replaces counting
expected events: it cannot drift, and a relist cannot break it.
"""

from __future__ import annotations

from arktos.client import Informer, Key
from arktos.model.kinds import Obj


def revision(text: str) -> int:
    """A resourceVersion as the number it is; 0 for none."""
    return int(text) if text.isdecimal() else 0


class OwnWrites:
    """The revisions of our last writes to objects of `informer`'s kind, by the key on whose behalf we wrote."""

    def __init__(self, informer: Informer) -> None:
        self._informer = informer
        self._last: dict[Key, int] = {}

    def wrote(self, key: Key, answer: Obj) -> None:
        """Notes the answer of a write: the object, as it then stood."""
        self.reached(key, (answer.get("metadata") or {}).get("resourceVersion") or "")

    def reached(self, key: Key, resource_version: str) -> None:
        """Notes the revision that a write made."""
        made = revision(resource_version)
        if made > self._last.get(key, 0):
            self._last[key] = made

    def seen(self, key: Key) -> bool:
        """Whether the mirror shows all that we wrote. If not, the event that is still to come will."""
        last = self._last.get(key)
        if last is None:
            return True
        if revision(self._informer.resource_version) < last:
            return False
        del self._last[key]
        return True

    def forget(self, key: Key) -> None:
        self._last.pop(key, None)
