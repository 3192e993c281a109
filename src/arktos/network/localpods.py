"""Who a uid is: pods of this node, waited for where they are not known yet."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from arktos.client import Cached
from arktos.network.provider import PodIdentity
from arktos.network.watches import Watches


class LocalPods:
    """The pods of one node by uid. `wait` is how long a uid may be unknown, in seconds."""

    def __init__(self, watches: Watches, wait: float) -> None:
        self._watches = watches
        self._wait = wait
        self._waiting: dict[str, asyncio.Event] = {}
        watches.local_pods.add_handler(self._came)

    async def find(self, uid: str) -> tuple[PodIdentity, Mapping[str, str]] | None:
        """A pod and its annotations; None if it does not show up in time."""
        found = self._watches.pod(uid)
        if found is None:
            event = self._waiting.setdefault(uid, asyncio.Event())
            try:
                async with asyncio.timeout(self._wait):
                    await event.wait()
            except TimeoutError:
                return None
            finally:
                self._waiting.pop(uid, None)
            found = self._watches.pod(uid)
            if found is None:
                return None
        return PodIdentity(found.uid, found.tenant, found.namespace, found.name), found.meta.annotations or {}

    def _came(self, old: Cached | None, new: Cached | None) -> None:
        if new is not None and (event := self._waiting.get(new.uid)) is not None:
            event.set()
