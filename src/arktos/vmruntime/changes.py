"""Who wants to know of changes of machines, and what each has not been told yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Changes:
    """The ids of machines that changed, for any number of listeners. Several changes of one machine that a listener
    has not yet taken are one: it never has more to take than there are machines."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()

    def tell(self, id: str) -> None:
        for listener in self._listeners:
            listener.add(id)

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)


class Listener:
    def __init__(self) -> None:
        self._pending: dict[str, None] = {}
        self._wake = asyncio.Event()

    def add(self, id: str) -> None:
        self._pending[id] = None
        self._wake.set()

    async def next(self) -> str:
        """The id that has waited longest."""
        while not self._pending:
            self._wake.clear()
            await self._wake.wait()
        id = next(iter(self._pending))
        del self._pending[id]
        return id
