"""Each controller is active in one process: it runs while the process holds the controller's own Lease."""

from __future__ import annotations

import asyncio

from arktos.client import Client, Leadership, LeadershipLost
from arktos.controllers.context import Unit
from arktos.controllers.metrics import Metrics
from arktos.model.kinds import SYSTEM_TENANT
from arktos.wire import logs

NAMESPACE = "kube-system"
DURATION, RENEW, RETRY = 15.0, 10.0, 2.0

_log = logs.get_logger(__name__)


def lease_name(controller: str) -> str:
    return f"arktos-controller-{controller}"


async def lead(client: Client, name: str, unit: Unit, identity: str, metrics: Metrics) -> None:
    """Waits for the lease, runs `unit` while it is ours, starts over when it is lost. Until cancelled, which gives the
    lease up."""
    metrics.leading[name] = 0
    while True:
        try:
            leadership = Leadership(
                client,
                lease_name(name),
                NAMESPACE,
                identity,
                tenant=SYSTEM_TENANT,
                duration=DURATION,
                renew=RENEW,
                retry=RETRY,
            )
            async with leadership:
                metrics.leading[name] = 1
                await unit.run()
        except LeadershipLost as lost:
            _log.warning("controller_stands_by", controller=name, reason=str(lost))
            await asyncio.sleep(RETRY)
        finally:
            metrics.leading[name] = 0
