"""How long a container that ended waits before it is started again. Pure: time is a parameter.

10 s after its second end, doubled each time up to 300 s; forgotten when it was not needed for 10 minutes. The first
restart does not wait.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 10.0
LONGEST = 300.0
FORGOTTEN_AFTER = 2 * LONGEST


@dataclass(slots=True)
class _Entry:
    delay: float
    updated: float


class CrashBackoff:
    """Delays in seconds by key; times are any one clock's seconds."""

    def __init__(self, first: float = FIRST, longest: float = LONGEST) -> None:
        self._first = first
        self._longest = longest
        self._entries: dict[tuple[str, str], _Entry] = {}

    def wait(self, key: tuple[str, str], ended: float, now: float) -> float:
        """Seconds that what `ended` then still has to wait; 0.0 if it may start."""
        entry = self._entries.get(key)
        if entry is None or ended - entry.updated > 2 * self._longest:
            return 0.0
        return max(0.0, ended + entry.delay - now)

    def delay(self, key: tuple[str, str]) -> float:
        """The whole delay that is in force; 0.0 for what never had to wait."""
        entry = self._entries.get(key)
        return entry.delay if entry else 0.0

    def started(self, key: tuple[str, str], ended: float, now: float) -> None:
        """Notes that what `ended` then is started again now: its next wait is longer."""
        entry = self._entries.get(key)
        if entry is None or ended - entry.updated > 2 * self._longest:
            self._entries[key] = _Entry(self._first, now)
        else:
            entry.delay = min(self._longest, entry.delay * 2)
            entry.updated = now

    def forget(self, uid: str) -> None:
        """Drops all keys of a pod."""
        for key in [key for key in self._entries if key[0] == uid]:
            del self._entries[key]
