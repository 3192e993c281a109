"""Leader election over coordination.k8s.io/v1 Lease: at most one leader, whatever the clocks say.

A lease is judged by when we last saw it change, on our own monotonic clock, never by the times written in it (as
client-go does): clocks may differ, their rates may not, by more than the slack between `renew` and `duration`.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from arktos.client.client import Client


class LeadershipLost(Exception):
    """The lease could not be renewed in time, or another holds it. The body was cancelled."""


class Leadership:
    """`async with Leadership(client, name="scheduler", namespace="kube-system", identity=me):` the body runs while
    we lead.

    Entering waits until the lease is ours. If it is lost, the body is cancelled and the block raises
    `LeadershipLost`. Leaving gives the lease up, so that a successor need not wait. Seconds: `duration` is how long
    others wait for a silent leader, `renew` how long we try to renew before we give up (less than `duration`),
    `retry` the pause between tries.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        namespace: str,
        identity: str,
        *,
        tenant: str = "",
        duration: float = 15.0,
        renew: float = 10.0,
        retry: float = 2.0,
    ) -> None: ...

    @property
    def leader(self) -> str:
        """Who holds the lease, as last seen; "" if nobody."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
