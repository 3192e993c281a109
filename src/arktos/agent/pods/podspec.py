"""What a pod's document says about its containers, read in one place. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from arktos.agent.spec.facts import is_sidecar
from arktos.model import dates
from arktos.model.kinds import Obj

DEFAULT_GRACE = 30


class Role(Enum):
    """What a container is to its pod. A sidecar is an init container that restarts always (KEP-753)."""

    INIT = "initContainers"
    SIDECAR = "sidecars"
    REGULAR = "containers"
    EPHEMERAL = "ephemeralContainers"


def inits(pod: Obj) -> list[Obj]:
    """Init containers and sidecars, in the order in which they start."""
    return list(pod["spec"].get("initContainers") or ())


def regulars(pod: Obj) -> list[Obj]:
    return list(pod["spec"].get("containers") or ())


def ephemerals(pod: Obj) -> list[Obj]:
    return list(pod["spec"].get("ephemeralContainers") or ())


def sidecars(pod: Obj) -> list[Obj]:
    return [each for each in inits(pod) if is_sidecar(each)]


def everyone(pod: Obj) -> Iterator[tuple[Role, Obj]]:
    """All containers with their roles: init containers and sidecars, then regular, then ephemeral ones."""
    for init in inits(pod):
        yield (Role.SIDECAR if is_sidecar(init) else Role.INIT), init
    for container in regulars(pod):
        yield Role.REGULAR, container
    for container in ephemerals(pod):
        yield Role.EPHEMERAL, container


def named(pod: Obj, name: str) -> tuple[Role, Obj] | None:
    """The container of a name; None if the pod's document has none."""
    return next(((role, each) for role, each in everyone(pod) if each["name"] == name), None)


def restart_policy(pod: Obj) -> str:
    return str(pod["spec"].get("restartPolicy") or "Always")


def grace(pod: Obj) -> int:
    """Seconds that a pod has for its end: as its deletion says, else as its spec says."""
    meta = pod["metadata"]
    if meta.get("deletionTimestamp") and meta.get("deletionGracePeriodSeconds") is not None:
        return int(meta["deletionGracePeriodSeconds"])
    stated = pod["spec"].get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE if stated is None else int(stated)


def grace_left(pod: Obj, now: float) -> float:
    """Seconds until the end of a deletion's grace period; of a pod that is not being deleted its whole grace period.

    `deletionTimestamp` is the end of the period, cut to whole seconds, so an agent that comes back in the middle gives
    only what is left.
    """
    ends = pod["metadata"].get("deletionTimestamp")
    whole = float(grace(pod))
    return whole if not ends else min(whole, max(0.0, dates.unix(ends) + 1.0 - now))


def field_path(pod: Obj, name: str) -> str:
    """Where a container stands in its pod's document, as events about it say."""
    found = named(pod, name)
    if found is None:
        return ""
    field = Role.INIT.value if found[0] is Role.SIDECAR else found[0].value
    return f"spec.{field}{{{name}}}"
