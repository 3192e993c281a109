"""Events about objects: what `kubectl describe` shows at its end. Sent in the background, never in a controller's
way.

Equal events are counted on one object, floods of similar ones are combined, and an object that causes too many is
cut off for a while (`event_correlation`).
"""

from __future__ import annotations

from types import TracebackType
from typing import Literal, Self

from arktos.client.cached import Cached
from arktos.client.client import Client
from arktos.model.kinds import Obj


class Recorder:
    """Records events as `component` (`arktos-deployment-controller`) running as `instance` (a host or pod name).

    Use as an async context manager (what is queued is still sent on leaving, for two seconds at most), or `run` it
    in a task group. At most `limit` events wait; the oldest is dropped for a new one and counted in `dropped`.
    """

    def __init__(self, client: Client, component: str, instance: str = "", *, limit: int = 1000) -> None:
        self.dropped = 0
        self.sent = 0

    def event(
        self,
        about: Obj | Cached,
        type: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        action: str = "",
        *,
        related: Obj | Cached | None = None,
    ) -> None:
        """Queues an event in the object's own tenant and namespace (`default` if it has none). `about` is an
        object, a cached one, or an ObjectReference (with `tenant`). Never blocks, never raises for what the server
        says."""

    async def run(self) -> None:
        """Sends until cancelled."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
