"""All pods of this node: from the API server's watch and the runtimes' events to the workers, and to the table."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping

from arktos.agent.pods.observing import list_uids
from arktos.agent.pods.parts import Parts, log_directory
from arktos.agent.pods.runtime_events import RuntimeEvents
from arktos.agent.pods.status_writer import PODS, StatusWriter
from arktos.agent.pods.table import PodRecord, Pods
from arktos.agent.pods.worker import Hands, Worker
from arktos.agent.pods.workload import Ended, Workload
from arktos.agent.runtimes import Runtime, RuntimeType
from arktos.agent.spec import labels
from arktos.agent.volumes import VolumeError
from arktos.client import Cached, Client, Informer
from arktos.model.kinds import Obj
from arktos.model.status import Conflict, NotFound
from arktos.model.workload import is_vm
from arktos.rpc.method import RpcError
from arktos.wire import logs

RELIST = 60.0
"""Seconds between two looks at everything, for what no event told."""

_ORPHAN_GRACE = 30
_CRASHED = 5.0
_log = logs.get_logger(__name__)


class PodService:
    """Runs the pods bound to `node_name`. `workloads` has one Workload per type of runtime; give it with `attach`
    before `run`."""

    def __init__(self, client: Client, node_name: str, pods: Pods, parts: Parts) -> None:
        self.pods = pods
        self._client = client
        self._parts = parts
        self._informer = Informer(client, PODS, field_selector=f"spec.nodeName={node_name}")
        self._writer = StatusWriter(client, pods, self.wake)
        self._workers: dict[str, Worker] = {}
        self._workloads: dict[RuntimeType, Workload] = {}
        self._group: asyncio.TaskGroup | None = None
        self._relist = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def attach(self, kind: RuntimeType, workload: Workload) -> None:
        """Has pods of a type of runtime run by a Workload."""
        self._workloads[kind] = workload

    @property
    def synced(self) -> bool:
        """Whether all pods bound to this node are in the table."""
        return self._informer.synced.is_set()

    # for the other parts of the agent

    def wake(self, uid: str) -> None:
        """Has a pod looked at now."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.wake()

    async def evict(self, uid: str, reason: str, message: str, grace: float | None = None) -> None:
        """Ends a pod by the node's decision: it becomes Failed, for this reason, within its own grace period or
        `grace` seconds. Returns at once."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.end(Ended("Failed", reason, message, disruption="TerminationByKubelet"), grace)

    # the life of the service

    async def run(self) -> None:
        """Until cancelled; pods run on then, for the next process to find."""
        self._informer.add_handler(self._changed)
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._informer.run(), name="pod-watch")
            group.create_task(self._writer.run(), name="pod-status")
            for runtime in self._parts.runtimes:
                events = RuntimeEvents(runtime, self.pods, self.wake, self._resumed)
                group.create_task(events.run(), name=f"events of {runtime.name}")
            await self._informer.synced.wait()
            for cached in self._informer.items():
                self._take(cached)
            group.create_task(self._keep_looking(), name="pod-relist")

    # the API server's side

    def _changed(self, old: Cached | None, new: Cached | None) -> None:
        if old is not None and (new is None or new.uid != old.uid):
            worker = self._workers.get(old.uid)
            if worker is not None:
                worker.remove()
        # Before the first complete state it is not known who comes first.
        if new is not None and self.synced:
            self._take(new)

    def _take(self, cached: Cached) -> None:
        pod = cached.obj()
        record = self.pods.put(pod)
        began = (pod.get("status") or {}).get("startTime")
        record.admitted = record.admitted or bool(began)
        self._parts.sources.hold(pod)
        worker = self._workers.get(cached.uid)
        if worker is None:
            self._employ(record)
        else:
            self._writer.seen(pod)
            worker.wake()

    def _employ(self, record: PodRecord) -> Worker:
        hands = Hands(
            self._parts.admission,
            self._parts.telling,
            lambda told: self._writer.submit(told.uid),
            self._writer.is_written,
            self._close,
            self._remove,
            self._delete,
        )
        worker = self._workers[record.uid] = Worker(record, self._workload(record), hands)
        assert self._group is not None
        self._tasks[record.uid] = self._group.create_task(self._oversee(worker), name=f"pod {record.uid}")
        return worker

    def _workload(self, record: PodRecord) -> Workload:
        runtime = self._parts.runtimes.get(record.runtime)
        kind: RuntimeType = runtime.type if runtime is not None else ("vm" if is_vm(record.pod) else "container")
        return self._workloads[kind]

    async def _oversee(self, worker: Worker) -> None:
        """Runs a worker to its end. One that breaks is a bug, which the other pods do not pay for."""
        record = worker.record
        while True:
            try:
                await worker.run()
                break
            except Exception:
                _log.exception("pod_worker_broke", uid=record.uid, pod=record.name)
                await asyncio.sleep(_CRASHED)
                worker.hurry()
        self._workload(record).forget(record.uid)
        self._parts.sources.release(record.uid)
        self._writer.forget(record.uid)
        self._workers.pop(record.uid, None)
        self._tasks.pop(record.uid, None)
        self.pods.forget(record.uid)

    # what workers ask for

    async def _close(self, record: PodRecord) -> None:
        await self._parts.volumes.tear_down(record.uid)
        await self._parts.cgroups.remove(record.uid)

    async def _remove(self, record: PodRecord) -> None:
        directory = log_directory(self._parts.logs_dir, record.pod)
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    async def _delete(self, record: PodRecord) -> None:
        """Raises what the API server says, unless it says that the pod is gone."""
        try:
            await self._client.delete(
                PODS,
                record.name,
                namespace=record.namespace,
                tenant=record.tenant,
                uid=record.uid,
                grace_period=0,
            )
        except (NotFound, Conflict):
            return

    # the runtimes' side

    def _resumed(self, runtime: Runtime) -> None:
        """A runtime is there, or there again: what happened meanwhile is to be seen."""
        for worker in list(self._workers.values()):
            if worker.record.runtime in ("", runtime.name):
                worker.hurry()
        self._relist.set()

    async def _keep_looking(self) -> None:
        while True:
            self._relist.clear()
            await self._look_at_everything()
            try:
                async with asyncio.timeout(RELIST):
                    await self._relist.wait()
            except TimeoutError:
                for worker in list(self._workers.values()):
                    worker.wake()

    async def _look_at_everything(self) -> None:
        """Finds what belongs to no pod: in the runtimes, on disk, among the cgroups."""
        for runtime in self._parts.runtimes:
            try:
                for uid, told in (await list_uids(runtime)).items():
                    if uid not in self._workers:
                        self._adopt_orphan(runtime, uid, told)
            except RpcError as error:
                _log.info("runtime_not_listed", runtime=runtime.name, error=str(error))
        try:
            for uid in {*await self._parts.volumes.uids_on_disk(), *await self._parts.cgroups.uids()}:
                if uid not in self._workers:
                    _log.info("leftovers_removed", uid=uid)
                    await self._parts.volumes.tear_down(uid)
                    await self._parts.cgroups.remove(uid)
        except (VolumeError, OSError) as error:
            _log.warning("leftovers_not_removed", error=str(error))

    def _adopt_orphan(self, runtime: Runtime, uid: str, told: Mapping[str, str]) -> None:
        """A pod that the API server no longer has is ended like one that it just dropped."""
        _log.info("orphan_found", uid=uid, runtime=runtime.name, pod=told.get(labels.POD_NAME))
        record = self.pods.put(_skeleton(uid, told))
        record.runtime = runtime.name
        record.admitted = True
        self._employ(record).remove()


def _skeleton(uid: str, told: Mapping[str, str]) -> Obj:
    """What the labels of a sandbox tell of its pod."""
    grace = told.get(labels.GRACE_PERIOD, "")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": told.get(labels.POD_NAME) or uid,
            "namespace": told.get(labels.POD_NAMESPACE) or "",
            "tenant": told.get(labels.POD_TENANT) or "",
            "uid": uid,
        },
        "spec": {
            "containers": [],
            "terminationGracePeriodSeconds": int(grace) if grace.isdecimal() else _ORPHAN_GRACE,
        },
    }
