"""Jobs that ended go `ttlSecondsAfterFinished` later, with their pods."""

from __future__ import annotations

from arktos.client import Key
from arktos.controllers import conditions
from arktos.controllers.actions import Delete, perform
from arktos.controllers.context import Context, Sharing, Unit
from arktos.model import dates, registry
from arktos.model.kinds import Obj
from arktos.model.status import NotFound

NAME = "ttlafterfinished"
JOB = registry.by_resource("jobs.batch")


def expires_at(job: Obj) -> float | None:
    """When a Job goes, in seconds since the epoch; None while it goes on, or for one that stays."""
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    if ttl is None or job["metadata"].get("deletionTimestamp"):
        return None
    found = (job.get("status") or {}).get("conditions")
    for type in ("Complete", "Failed"):
        told = conditions.find(found, type)
        if told is not None and told.get("status") == "True" and told.get("lastTransitionTime"):
            return dates.unix(told["lastTransitionTime"]) + int(ttl)
    return None


def build(context: Context) -> Unit:
    jobs = context.part("TTLAfterFinished", "jobs.batch")

    async def reconcile(key: Key) -> float | None:
        cached = jobs.get(*key)
        if cached is None:
            return None
        at = expires_at(cached.obj())
        if at is None:
            return None
        now = context.wall()
        if at > now:
            return at - now
        # What we know may be old: the server deletes only what has not changed since.
        gone = Delete(JOB, key, uid=cached.uid, resource_version=cached.resource_version, propagation="Foreground")
        try:
            await perform(context.client, gone)
        except NotFound:
            return None
        return None

    controller = context.controller(NAME, reconcile)
    controller.watches(jobs)

    def refresh() -> None:
        for job in jobs.items():
            controller.enqueue(job.key)

    return Unit([controller], [], refresh, Sharing.RANGES, "TTLAfterFinished", jobs, [jobs])
