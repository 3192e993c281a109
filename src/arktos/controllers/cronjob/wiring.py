"""From events and times to keys, and from a time that has come to a Job."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from arktos.client import Cached, Key
from arktos.client.controller import controller_key
from arktos.controllers import owners
from arktos.controllers.actions import FAILURES, Create, Delete, Patch, into_the_ending, perform, perform_all
from arktos.controllers.context import Context, Sharing, Unit
from arktos.controllers.cronjob import status as statuses
from arktos.controllers.cronjob import timing
from arktos.controllers.cronjob.status import Standing
from arktos.controllers.freshness import OwnWrites
from arktos.model import dates, registry
from arktos.model.kinds import Obj
from arktos.model.status import AlreadyExists, NotFound

NAME = "cronjob"
CRONJOB, JOB = registry.by_resource("cronjobs.batch"), registry.by_resource("jobs.batch")
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"


class _CronJobs:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.cronjobs = context.part(CRONJOB.kind, "cronjobs.batch")
        self.jobs = context.part(CRONJOB.kind, "jobs.batch", CRONJOB.kind)
        self.recorder = context.recorder("cronjob-controller")
        self.statuses = OwnWrites(self.cronjobs)
        self.writes = OwnWrites(self.jobs)

    async def reconcile(self, key: Key) -> float | None:
        cached = self.cronjobs.get(*key)
        if cached is None:
            self.statuses.forget(key)
            self.writes.forget(key)
            return None
        if cached.deleting or not self.statuses.seen(key) or not self.writes.seen(key):
            return None
        cronjob = cached.obj()
        jobs = [job.obj() for job in self.jobs.by_index("controller", cached.uid)]
        standing = statuses.standing(cronjob, jobs)
        for type, reason, message in standing.events:
            self.recorder.event(cronjob, type, reason, message)
        await self._forget_history(key, cronjob, jobs)
        scheduled: str | None = None
        again = None
        if not cronjob["spec"].get("suspend"):
            again, scheduled = await self._on_time(key, cronjob, standing, jobs)
        await self._report(cached, cronjob, standing, scheduled)
        return again

    async def _forget_history(self, key: Key, cronjob: Obj, jobs: Sequence[Obj]) -> None:
        gone = statuses.history(cronjob, jobs)
        await perform_all(self.context.client, [_deletion(job) for job in gone])
        for job in gone:
            self.recorder.event(cronjob, "Normal", "SuccessfulDelete", f"Deleted job {job['metadata']['name']}")

    async def _on_time(
        self, key: Key, cronjob: Obj, standing: Standing, jobs: Sequence[Obj]
    ) -> tuple[float | None, str | None]:
        """Makes the Job of the time that has come; seconds until the next, and the time that was acted for."""
        try:
            due = timing.due(cronjob, self.context.wall())
        except ValueError as error:
            said = f"unparseable schedule: {cronjob['spec']['schedule']} : {error}"
            self.recorder.event(cronjob, "Warning", "UnparseableSchedule", said)
            return None, None
        if due.missed > timing.TOO_MANY:
            said = "Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            text = f"too many missed start times: {due.missed}. {said}"
            self.recorder.event(cronjob, "Warning", "TooManyMissedTimes", text)
        if due.at is None:
            return due.next_in, None
        if due.late:
            text = f"Missed scheduled time to start a job: {due.at:%a, %d %b %Y %H:%M:%S %z}"
            self.recorder.event(cronjob, "Warning", "MissSchedule", text)
            return due.next_in, None
        name = timing.job_name(cronjob, due.at)
        if any(each["name"] == name for each in standing.active):
            return due.next_in, _text(due.at)
        if not await self._make_room(key, cronjob, standing, jobs):
            return due.next_in, None
        return due.next_in, await self._make(key, cronjob, standing, name, due.at)

    async def _make_room(self, key: Key, cronjob: Obj, standing: Standing, jobs: Sequence[Obj]) -> bool:
        """Whether a Job may be made beside those that run; Replace ends them."""
        policy = cronjob["spec"].get("concurrencyPolicy") or "Allow"
        if not standing.active or policy == "Allow":
            return True
        if policy == "Forbid":
            said = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.recorder.event(cronjob, "Normal", "JobAlreadyActive", said)
            return False
        running = {each["uid"] for each in standing.active}
        going = [job for job in jobs if job["metadata"]["uid"] in running]
        failures = await perform_all(self.context.client, [_deletion(job) for job in going])
        if failures:
            raise failures[0]
        for job in going:
            self.recorder.event(cronjob, "Normal", "SuccessfulDelete", f"Deleted job {job['metadata']['name']}")
        standing.active = []
        return True

    async def _make(self, key: Key, cronjob: Obj, standing: Standing, name: str, at: datetime) -> str | None:
        try:
            job = await perform(self.context.client, Create(JOB, job_for(cronjob, name, at)))
        except AlreadyExists:
            # Made before a crash, if it is ours; if not, somebody took the name, and this time is over.
            return _text(at)
        except FAILURES as error:
            if into_the_ending(error):
                return None
            self.recorder.event(cronjob, "Warning", "FailedCreate", f"Error creating job: {error}")
            raise
        self.writes.wrote(key, job)
        self.recorder.event(cronjob, "Normal", "SuccessfulCreate", f"Created job {name}")
        standing.active.append(statuses.reference(job))
        return _text(at)

    async def _report(self, cached: Cached, cronjob: Obj, standing: Standing, scheduled: str | None) -> None:
        old = cronjob.get("status") or {}
        status: Obj = {
            "active": standing.active or None,
            "lastSuccessfulTime": standing.succeeded_at or None,
            "lastScheduleTime": scheduled or old.get("lastScheduleTime"),
        }
        if all((old.get(name) or None) == value for name, value in status.items()):
            return
        meta = {"uid": cached.uid, "resourceVersion": cached.resource_version}
        patch = Patch(CRONJOB, cached.key, {"metadata": meta, "status": status}, subresource="status")
        try:
            self.statuses.wrote(cached.key, await perform(self.context.client, patch))
        except NotFound:
            return


def job_for(cronjob: Obj, name: str, at: datetime) -> Obj:
    """The Job of a time: the template, which names its time."""
    meta, template = cronjob["metadata"], cronjob["spec"]["jobTemplate"]
    told = template.get("metadata") or {}
    metadata: Obj = {
        "name": name,
        "namespace": meta["namespace"],
        "tenant": meta["tenant"],
        "annotations": {**(told.get("annotations") or {}), SCHEDULED: at.isoformat().replace("+00:00", "Z")},
        "ownerReferences": [owners.managing(CRONJOB, cronjob)],
    }
    if told.get("labels"):
        metadata["labels"] = told["labels"]
    return {"apiVersion": JOB.api_version, "kind": JOB.kind, "metadata": metadata, "spec": template.get("spec") or {}}


def _deletion(job: Obj) -> Delete:
    meta = job["metadata"]
    key = (meta["tenant"], meta["namespace"], meta["name"])
    return Delete(JOB, key, uid=meta["uid"], propagation="Background")


def _text(at: datetime) -> str:
    return dates.rfc3339(dates.from_unix(at.timestamp()))


def build(context: Context) -> Unit:
    work = _CronJobs(context)
    controller = context.controller(NAME, work.reconcile)
    controller.watches(work.cronjobs)
    controller.watches(work.jobs, controller_key("CronJob"))

    def refresh() -> None:
        for cronjob in work.cronjobs.items():
            controller.enqueue(cronjob.key)

    parts = [work.cronjobs, work.jobs]
    return Unit([controller], [], refresh, Sharing.RANGES, CRONJOB.kind, work.cronjobs, parts)
