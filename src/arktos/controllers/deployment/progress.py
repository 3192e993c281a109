"""A deployment's status: numbers, and conditions that say how the rollout goes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from arktos.controllers import conditions
from arktos.controllers.deployment.revisions import UNLIMITED
from arktos.controllers.deployment.rolling import bounds, wanted
from arktos.controllers.deployment.sets import SetView, total
from arktos.model import dates
from arktos.model.kinds import Obj

PROGRESSING = "Progressing"
NEW_SET_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
_COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")


def has_deadline(deployment: Obj) -> bool:
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return seconds is not None and seconds != UNLIMITED


def set_condition(
    found: Sequence[Obj] | None, type: str, status: str, reason: str, message: str, now: str
) -> list[Obj]:
    """A condition with both its times; one of the same status and reason stays as it was."""
    old = conditions.find(found, type)
    if old is not None and old.get("status") == status and old.get("reason") == reason:
        return list(found or ())
    return conditions.put(found, type, status, reason, message, now, lastUpdateTime=now)


def pausing(deployment: Obj, found: Sequence[Obj], now: str) -> list[Obj]:
    """The conditions when a rollout was just paused or resumed: the deadline does not run meanwhile."""
    current = conditions.find(found, PROGRESSING)
    if not has_deadline(deployment) or (current is not None and current.get("reason") == TIMED_OUT):
        return list(found)
    paused = bool(deployment["spec"].get("paused"))
    known = current is not None and current.get("reason") == "DeploymentPaused"
    if paused and not known:
        return set_condition(found, PROGRESSING, "Unknown", "DeploymentPaused", "Deployment is paused", now)
    if not paused and known:
        return set_condition(found, PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed", now)
    return list(found)


def numbers(deployment: Obj, new: SetView | None, sets: Sequence[SetView]) -> Obj:
    """The status without its conditions."""
    available = sum(each.available for each in sets)
    status: Obj = {
        "observedGeneration": deployment["metadata"].get("generation") or 0,
        "replicas": sum(each.replicas for each in sets),
        "updatedReplicas": new.replicas if new is not None else 0,
        "readyReplicas": sum(each.ready for each in sets),
        "availableReplicas": available,
        "unavailableReplicas": max(0, total(sets) - available),
        "terminatingReplicas": sum(each.terminating for each in sets),
    }
    return status


def availability(deployment: Obj, status: Obj, found: Sequence[Obj], now: str) -> list[Obj]:
    if status["availableReplicas"] >= wanted(deployment) - bounds(deployment)[1]:
        row = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        row = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    return set_condition(found, "Available", *row, now)


def complete(deployment: Obj, status: Obj) -> bool:
    """Whether all wanted pods are new and available, and nothing else is there."""
    goal = wanted(deployment)
    return (
        all((status.get(field) or 0) == goal for field in ("updatedReplicas", "replicas", "availableReplicas"))
        and (status.get("observedGeneration") or 0) >= (deployment["metadata"].get("generation") or 0)
    )  # fmt: skip


def _moved(old: Obj, status: Obj) -> bool:
    """Whether there is more of the new, or less of the old, than there was."""

    def was(field: str) -> int:
        return int(old.get(field) or 0)

    return bool(
        status["updatedReplicas"] > was("updatedReplicas")
        or status["replicas"] - status["updatedReplicas"] < was("replicas") - was("updatedReplicas")
        or status["readyReplicas"] > was("readyReplicas")
        or status["availableReplicas"] > was("availableReplicas")
    )


def seconds_left(deployment: Obj, found: Sequence[Obj], now: float) -> float | None:
    """Until the deadline passes (0 or less: it has); None where none runs."""
    current = conditions.find(found, PROGRESSING)
    if not has_deadline(deployment) or current is None:
        return None
    if current.get("reason") in (NEW_SET_AVAILABLE, TIMED_OUT, "DeploymentPaused"):
        return None
    since = current.get("lastUpdateTime") or current.get("lastTransitionTime")
    if not since:
        return None
    return dates.unix(since) + float(deployment["spec"]["progressDeadlineSeconds"]) - now


def progressing(
    deployment: Obj, new: SetView | None, status: Obj, found: Sequence[Obj], now: float, now_text: str
) -> list[Obj]:
    """The Progressing condition after this look at the rollout."""
    if not has_deadline(deployment):
        return conditions.without(found, PROGRESSING)
    current = conditions.find(found, PROGRESSING)
    done = current is not None and current.get("reason") == NEW_SET_AVAILABLE
    if done and status["replicas"] == status["updatedReplicas"]:
        return list(found)
    name = f'Deployment "{deployment["metadata"]["name"]}"' if new is None else f'ReplicaSet "{new.name}"'
    if complete(deployment, status):
        return set_condition(
            found, PROGRESSING, "True", NEW_SET_AVAILABLE, f"{name} has successfully progressed.", now_text
        )
    if _moved(deployment.get("status") or {}, status):
        # Each move starts the deadline anew, so the time is written even where nothing else changes.
        return conditions.put(
            found,
            PROGRESSING,
            "True",
            "ReplicaSetUpdated",
            f"{name} is progressing.",
            now_text,
            lastUpdateTime=now_text,
        )
    left = seconds_left(deployment, found, now)
    if left is not None and left < 0:
        return set_condition(found, PROGRESSING, "False", TIMED_OUT, f"{name} has timed out progressing.", now_text)
    return list(found)


def failures(new: SetView | None, sets: Sequence[SetView], found: Sequence[Obj]) -> list[Obj]:
    """The deployment fails to make pods where one of its sets does; the new one is asked first."""
    for each in [*([new] if new is not None else []), *sets]:
        failure = conditions.find((each.obj.get("status") or {}).get("conditions"), "ReplicaFailure")
        if failure is not None:
            now = failure.get("lastTransitionTime", "")
            return set_condition(
                found, "ReplicaFailure", failure["status"], failure.get("reason", ""), failure.get("message", ""), now
            )
    return conditions.without(found, "ReplicaFailure")


def differs(old: Obj | None, new: Obj) -> bool:
    """Whether a status says something else; a number that is absent is 0."""
    old = old or {}
    return any((old.get(field) or 0) != value for field, value in new.items() if field != "conditions") or (
        list(old.get("conditions") or ()) != list(new.get("conditions") or ())
    )


def body_of(status: Obj) -> Obj:
    """The status as a merge patch: what Kubernetes leaves out at 0 is left out."""
    return {
        field: value if value or field == "terminatingReplicas" else None
        for field, value in {**dict.fromkeys(_COUNTS, 0), "conditions": None, **status}.items()
    }
