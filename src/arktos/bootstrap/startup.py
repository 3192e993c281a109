"""Waiting for a system that starts: until it is ready, or until one of its processes says why it cannot start."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from arktos.bootstrap.components import Settings, components

CANNOT_START = "cannot_start"
"""The event with which a process says in its log, under `reason`, why it ends at once."""

_ATTEMPTS = 3
"""A process that died this often while the system was to start, without a reason of its own, will not come."""


class StartWatch:
    """Reads what the logs of an installation gain from now on."""

    def __init__(self, settings: Settings) -> None:
        self._components = [component.name for component in components(settings)]
        self._logs = {name: _Tail(settings.layout.log(name)) for name in ("supervisor", *self._components)}
        self._deaths: Counter[str] = Counter()
        self._last: dict[str, str] = {}

    def failure(self) -> str | None:
        """Why the system will not come up; None as long as it may."""
        for name in self._components:
            for line in self._logs[name].lines():
                self._last[name] = line
                event = _event(line)
                if event.get("event") == CANNOT_START:
                    return f"the {name} cannot start: {event.get('reason')}"
        for line in self._logs["supervisor"].lines():
            event = _event(line)
            if event.get("event") == CANNOT_START:
                return f"the supervisor cannot start: {event.get('reason')}"
            if event.get("event") == "died":
                name = str(event.get("of"))
                self._deaths[name] += 1
                if self._deaths[name] >= _ATTEMPTS:
                    return f"the {name} does not stay alive: {self._last.get(name, 'its log is empty')}"
        return None


class _Tail:
    """What a file gains, by whole lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def lines(self) -> list[str]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._offset += len(whole) + len(newline)
        return [line for line in whole.decode(errors="replace").splitlines() if line.strip()]


def _event(line: str) -> dict[str, object]:
    if not line.startswith("{"):
        return {}
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
