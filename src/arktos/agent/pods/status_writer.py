"""Brings the statuses of pods to the API server: the newest of each, again and again until it is there."""

from __future__ import annotations

from collections.abc import Callable

from arktos.agent.pods.table import Pods
from arktos.client import Client, ConnectionFailed, WorkQueue
from arktos.client.workqueue import run
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import ApiError, Conflict, NotFound
from arktos.wire import logs

PODS = registry.by_resource("pods")
AT_ONCE = 8
_OPTIONAL = ("reason", "message", "podIP", "hostIP", "ephemeralContainerStatuses", "initContainerStatuses")
_CONDITION_OPTIONAL = ("reason", "message")
_TEMPORARY_CONDITIONS = ("PodResizePending", "PodResizeInProgress")

_log = logs.get_logger(__name__)


class StatusWriter:
    """Writes what `PodRecord.status` says. At most eight writes at a time; a pod whose status changes faster than it
    can be written skips the steps between. `on_written` takes the uid of a pod whose newest status has arrived."""

    def __init__(self, client: Client, pods: Pods, on_written: Callable[[str], None]) -> None:
        self._client = client
        self._on_written = on_written
        self._pods = pods
        self._queue: WorkQueue[str] = WorkQueue(base=0.2, ceiling=30.0)
        self._written: dict[str, Obj] = {}

    def submit(self, uid: str) -> None:
        """The status of a pod has changed."""
        self._queue.add(uid)

    def is_written(self, uid: str) -> bool:
        """Whether the API server has the newest status of a pod."""
        record = self._pods.get(uid)
        return record is None or not record.status or self._written.get(uid) is record.status

    def seen(self, pod: Obj) -> None:
        """Compares what the API server now has with what was written: what somebody else wrote over it is written
        again."""
        uid = pod["metadata"]["uid"]
        record = self._pods.get(uid)
        written = self._written.get(uid)
        if record is None or written is None or written is not record.status:
            return
        there = pod.get("status") or {}
        same = all(there.get(name) == written.get(name) for name in ("phase", "podIP", "startTime"))
        if not same or _conditions(there) != _conditions({**there, **_overlaid(there, written)}):
            self._written.pop(uid)
            self._queue.add_after(uid, 1.0)

    def forget(self, uid: str) -> None:
        self._written.pop(uid, None)
        self._queue.forget(uid)

    async def run(self) -> None:
        """Until cancelled."""
        await run(self._queue, AT_ONCE, self._write)

    async def _write(self, uid: str) -> None:
        record = self._pods.get(uid)
        if record is None or not record.status or self._written.get(uid) is record.status:
            return
        status = record.status
        patch = {"metadata": {"uid": uid}, "status": patch_of(record.pod.get("status") or {}, status)}
        try:
            await self._client.patch(
                PODS,
                record.name,
                patch,
                type="strategic",
                namespace=record.namespace,
                tenant=record.tenant,
                subresource="status",
            )
        except NotFound:
            pass
        except (ApiError, ConnectionFailed) as error:
            if not (isinstance(error, Conflict) and "uid" in str(error).lower()):
                delay = self._queue.add_rate_limited(uid)
                _log.info("status_not_written", uid=uid, error=str(error), again=round(delay, 1))
                return
        self._queue.forget(uid)
        if uid in self._pods:
            self._written[uid] = status
            if record.status is not status:
                self._queue.add(uid)
            else:
                self._on_written(uid)


def patch_of(before: Obj, status: Obj) -> Obj:
    """The strategic merge patch that makes a status this one, and leaves what others wrote of it."""
    patch: Obj = {name: None for name in _OPTIONAL if name not in status}
    patch.update(status)
    for name in ("podIPs", "hostIPs"):
        patch[name] = [{"$patch": "replace"}, *(status.get(name) or ())]
    conditions = [{**dict.fromkeys(_CONDITION_OPTIONAL), **each} for each in status.get("conditions") or ()]
    present = {each["type"] for each in conditions}
    there = {each.get("type") for each in before.get("conditions") or ()}
    conditions += [
        {"$patch": "delete", "type": kind} for kind in _TEMPORARY_CONDITIONS if kind in there and kind not in present
    ]
    patch["conditions"] = conditions
    return patch


def _conditions(status: Obj) -> dict[str, str]:
    return {each.get("type", ""): each.get("status", "") for each in status.get("conditions") or ()}


def _overlaid(there: Obj, written: Obj) -> Obj:
    mine = {each["type"]: each for each in written.get("conditions") or ()}
    others = [each for each in there.get("conditions") or () if each.get("type") not in mine]
    return {"conditions": [*others, *mine.values()]}
