"""Telling why a pod has no node, by condition and event; and sending away the victims of preemption."""

from __future__ import annotations

from collections.abc import Callable

from arktos.client import Client, ConnectionFailed, Recorder, WorkQueue
from arktos.client.workqueue import run
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import ApiError, NotFound
from arktos.scheduler.engine import Engine, Refused
from arktos.scheduler.metrics import Metrics
from arktos.scheduler.pods import Pod, PodKey, Told
from arktos.wire import logs

PODS = registry.by_resource("pods")
_WRITERS = 4
_log = logs.get_logger(__name__)


class Verdicts:
    """The last word on each pod is written, and only where the pod's status says something else."""

    def __init__(
        self, client: Client, engine: Engine, recorder: Recorder, metrics: Metrics, stamp: Callable[[], str]
    ) -> None:
        self._client = client
        self._engine = engine
        self._recorder = recorder
        self._metrics = metrics
        self._stamp = stamp
        self._latest: dict[PodKey, Refused] = {}
        self._queue: WorkQueue[PodKey] = WorkQueue(base=0.1, ceiling=30.0)

    def put(self, refused: Refused) -> None:
        """Queues what is to be told. Victims of an earlier word that is still waiting are kept."""
        key = refused.pod.key
        earlier = self._latest.get(key)
        if earlier is not None and earlier.victims and not refused.victims and refused.nominated == earlier.nominated:
            refused = refused._replace(victims=earlier.victims)
        self._latest[key] = refused
        self._queue.add(key)
        self._metrics.unschedulable += 1
        self._recorder.event(refused.pod.reference(), "Warning", "FailedScheduling", refused.message, "Scheduling")

    async def run(self) -> None:
        """Writes until cancelled."""
        await run(self._queue, _WRITERS, self._tell)

    async def _tell(self, key: PodKey) -> None:
        refused = self._latest.pop(key, None)
        if refused is None:
            return
        pod = self._engine.known(key)
        if pod is None or pod.uid != refused.pod.uid or pod.node:
            return
        try:
            await self._write(pod, refused)
            for victim in refused.victims:
                await self._send_away(victim, refused)
        except (ApiError, ConnectionFailed) as error:
            if isinstance(error, NotFound):
                return
            self._latest.setdefault(key, refused)
            self._queue.add_rate_limited(key)
            _log.info("verdict_delayed", pod=pod.path, error=f"{type(error).__name__}: {error}")
            return
        self._queue.forget(key)

    async def _write(self, pod: Pod, refused: Refused) -> None:
        wanted = Told("False", "Unschedulable", refused.message, refused.nominated)
        if pod.told == wanted:
            return
        condition: Obj = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
        condition["message"] = refused.message
        if pod.told.status != "False":
            condition["lastTransitionTime"] = self._stamp()
        status: Obj = {"conditions": [condition]}
        if pod.told.nominated != refused.nominated:
            status["nominatedNodeName"] = refused.nominated or None
        await self._patch(pod, status)

    async def _send_away(self, victim: Pod, refused: Refused) -> None:
        now = self._engine.known(victim.key)
        if now is None or now.uid != victim.uid or now.deleting:
            return
        by = refused.pod
        condition: Obj = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": "default-scheduler: preempting to accommodate a higher priority pod",
            "lastTransitionTime": self._stamp(),
        }
        tenant, namespace, name = victim.key
        try:
            await self._patch(victim, {"conditions": [condition]})
            await self._client.delete(PODS, name, namespace=namespace, tenant=tenant, uid=victim.uid)
        except NotFound:
            return
        self._metrics.victims += 1
        # A victim's owner may be of another tenant than the pod that takes its place: no names of that.
        message = f"Preempted by pod {by.uid} on node {refused.nominated}"
        self._recorder.event(victim.reference(), "Normal", "Preempted", message, "Preempting")

    async def _patch(self, pod: Pod, status: Obj) -> None:
        tenant, namespace, name = pod.key
        patch: Obj = {"metadata": {"uid": pod.uid}, "status": status}
        await self._client.patch(
            PODS, name, patch, type="strategic", subresource="status", namespace=namespace, tenant=tenant
        )
