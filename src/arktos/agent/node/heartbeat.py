"""The node's Lease: the cheap heartbeat by which everyone knows that this agent is alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from arktos.client import Client, ConnectionFailed
from arktos.client.ratelimit import Backoff
from arktos.model import registry
from arktos.model.dates import rfc3339_micro
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import AlreadyExists, ApiError, Conflict, NotFound
from arktos.wire import logs

UidSource = Callable[[], str]

NAMESPACE = "kube-node-lease"
LEASES = registry.by_resource("leases.coordination.k8s.io")

_log = logs.get_logger(__name__)


def renewed(lease: Obj, node: str, duration: int, now: datetime) -> Obj:
    """The lease, held by `node` from now on for `duration` seconds. Pure."""
    spec = {
        **(lease.get("spec") or {}),
        "holderIdentity": node,
        "leaseDurationSeconds": duration,
        "renewTime": rfc3339_micro(now),
    }
    return {**lease, "spec": spec}


class Heartbeat:
    """Renews the Lease of the node's name in the namespace `kube-node-lease` of `system`.

    `uid` tells the uid of the node object ("" = not registered), which owns the Lease: it goes with the node, and is
    made again with the next one.
    """

    def __init__(self, client: Client, node: str, uid: UidSource, *, duration: int = 40, period: float = 10.0) -> None:
        self._client = client
        self._node = node
        self._uid = uid
        self._duration = duration
        self._period = period
        self._lease: Obj | None = None

    async def run(self) -> None:
        """Beats until cancelled. A beat that fails is tried again soon, later and later up to the period."""
        backoff = Backoff(0.2, min(7.0, self._period))
        failing = False
        while True:
            try:
                await self.beat()
                pause = self._period
                backoff.reset()
                if failing:
                    _log.info("lease_renewed_again", node=self._node)
                failing = False
            except (ApiError, ConnectionFailed) as error:
                pause = backoff.next()
                if not failing:
                    _log.warning("lease_not_renewed", node=self._node, error=f"{type(error).__name__}: {error}")
                failing = True
            await asyncio.sleep(pause)

    async def beat(self) -> None:
        """Renews the lease once, or makes it. Raises ApiError, ConnectionFailed."""
        if self._lease is None:
            try:
                self._lease = await self._client.get(LEASES, self._node, namespace=NAMESPACE, tenant=SYSTEM_TENANT)
            except NotFound:
                await self._create()
                return
        wanted = self._owned(renewed(self._lease, self._node, self._duration, datetime.now(UTC)))
        try:
            self._lease = await self._client.update(LEASES, wanted)
        except (Conflict, NotFound):
            # Somebody else wrote or deleted it: look before the next word.
            self._lease = None
            raise

    async def _create(self) -> None:
        made = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._node, "namespace": NAMESPACE, "tenant": SYSTEM_TENANT},
        }
        made = self._owned(renewed(made, self._node, self._duration, datetime.now(UTC)))
        try:
            self._lease = await self._client.create(LEASES, made)
        except AlreadyExists:
            self._lease = None
            raise

    def _owned(self, lease: Obj) -> Obj:
        uid = self._uid()
        if not uid:
            return lease
        owner = {"apiVersion": "v1", "kind": "Node", "name": self._node, "uid": uid}
        return {**lease, "metadata": {**lease["metadata"], "ownerReferences": [owner]}}
