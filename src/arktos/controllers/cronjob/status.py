"""What a CronJob's Jobs make of its status, and which of them are history: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from arktos.controllers import conditions
from arktos.model import dates
from arktos.model.kinds import Obj

_KEEP_SUCCESSFUL, _KEEP_FAILED = 3, 1


@dataclass(slots=True)
class Standing:
    """`active` are references to Jobs that run; `succeeded_at` is the last success, as text; `events` are (type,
    reason, message)."""

    active: list[Obj] = field(default_factory=list)
    succeeded_at: str = ""
    events: list[tuple[Any, str, str]] = field(default_factory=list)


def ending(job: Obj) -> str:
    """`Complete` or `Failed`, "" for a Job that goes on."""
    found = (job.get("status") or {}).get("conditions")
    return next((type for type in ("Complete", "Failed") if conditions.is_true(found, type)), "")


def standing(cronjob: Obj, jobs: Sequence[Obj]) -> Standing:
    """From all Jobs that the CronJob manages."""
    status = cronjob.get("status") or {}
    known = {each["uid"]: each for each in status.get("active") or ()}
    found = Standing(succeeded_at=status.get("lastSuccessfulTime") or "")
    here = {job["metadata"]["uid"]: job for job in jobs}
    for uid, job in here.items():
        name, ended = job["metadata"]["name"], ending(job)
        if ended == "Complete":
            found.succeeded_at = _later(found.succeeded_at, (job["status"] or {}).get("completionTime") or "")
        if uid in known and ended:
            said = f"Saw completed job: {name}, condition: {ended}"
            found.events.append(("Normal", "SawCompletedJob", said))
        elif uid in known:
            found.active.append(known[uid])
        elif not ended:
            found.active.append(reference(job))
    for uid, each in known.items():
        if uid not in here:
            found.events.append(("Normal", "MissingJob", f"Active job went missing: {each['name']}"))
    return found


def reference(job: Obj) -> Obj:
    meta = job["metadata"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
        **({"resourceVersion": meta["resourceVersion"]} if meta.get("resourceVersion") else {}),
    }


def _later(one: str, other: str) -> str:
    return max(one, other, key=lambda text: dates.unix(text) if text else 0.0)


def history(cronjob: Obj, jobs: Sequence[Obj]) -> list[Obj]:
    """The ended Jobs beyond the limits of history, the oldest first."""
    spec = cronjob["spec"]
    gone: list[Obj] = []
    for type, field_name, otherwise in (
        ("Complete", "successfulJobsHistoryLimit", _KEEP_SUCCESSFUL),
        ("Failed", "failedJobsHistoryLimit", _KEEP_FAILED),
    ):
        ended = sorted((job for job in jobs if ending(job) == type), key=_started)
        limit = spec.get(field_name)
        keep = otherwise if limit is None else int(limit)
        gone += ended[: len(ended) - keep] if len(ended) > keep else []
    return gone


def _started(job: Obj) -> tuple[float, str]:
    at = (job.get("status") or {}).get("startTime") or job["metadata"]["creationTimestamp"]
    return dates.unix(at), job["metadata"]["name"]
