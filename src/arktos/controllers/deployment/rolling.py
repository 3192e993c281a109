"""How far to scale which ReplicaSet: the arithmetic of rollouts and of resizes. Pure; changes the sizes of the views.

All names and roundings are Kubernetes': maxSurge rounds up, maxUnavailable down, and both 0 counts as one unavailable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from arktos.controllers.deployment.sets import DESIRED, MAXIMUM, SetView, active, by_age, number, total
from arktos.model.kinds import Obj


def wanted(deployment: Obj) -> int:
    replicas = deployment["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def is_rolling(deployment: Obj) -> bool:
    return not recreates(deployment)


def recreates(deployment: Obj) -> bool:
    """Whether all of the old goes before any of the new comes."""
    return bool((deployment["spec"].get("strategy") or {}).get("type") == "Recreate")


def bounds(deployment: Obj) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods."""
    if not is_rolling(deployment):
        return 0, 0
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    replicas = wanted(deployment)
    surge = _resolved(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = _resolved(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, replicas)


def _resolved(value: Any, replicas: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    percent = number(str(value).removesuffix("%")) * replicas
    return -(-percent // 100) if up else percent // 100


def new_size(deployment: Obj, new_set_size: int, all_sets: Sequence[SetView]) -> int:
    """How many pods the new ReplicaSet may want now."""
    goal = wanted(deployment)
    if not is_rolling(deployment):
        return goal
    ceiling = goal + bounds(deployment)[0]
    room = ceiling - total(all_sets)
    return new_set_size if room <= 0 else new_set_size + max(0, min(room, goal - new_set_size))


def grow_new(deployment: Obj, new: SetView, all_sets: Sequence[SetView]) -> bool:
    """Sets the new ReplicaSet's size for this moment. Whether that changed it."""
    goal = wanted(deployment)
    if new.size == goal:
        return False
    size = goal if new.size > goal else new_size(deployment, new.size, all_sets)
    changed = size != new.size
    new.size = size
    return changed


def shrink_old(deployment: Obj, new: SetView, old: Sequence[SetView]) -> bool:
    """Takes from the old ReplicaSets what can go now: first what is not available anyway, then what is above the
    least number of available pods. Whether that changed any."""
    if total(old) == 0:
        return False
    every = [*old, new]
    least = wanted(deployment) - bounds(deployment)[1]
    most = total(every) - least - max(0, new.size - new.available)
    if most <= 0:
        return False
    cleaned = _clean(old, most)
    return _scale_down(old, every, least) or cleaned


def _clean(old: Sequence[SetView], most: int) -> bool:
    """Takes unavailable pods, oldest sets first, `most` at most."""
    taken = 0
    for each in by_age(old):
        if taken >= most:
            break
        count = min(most - taken, max(0, each.size - each.available))
        each.size -= count
        taken += count
    return taken > 0


def _scale_down(old: Sequence[SetView], every: Sequence[SetView], least: int) -> bool:
    """Takes available pods above `least`, oldest sets first."""
    # A set that was told to shrink may not have done so yet: what it is to lose no longer counts.
    spare = sum(min(each.available, each.size) for each in every) - least
    taken = 0
    for each in by_age(old):
        if taken >= spare:
            break
        count = min(each.size, spare - taken)
        each.size -= count
        taken += count
    return taken > 0


# --- a resize in the middle of a rollout ------------------------------------------------------------------------------


def resize(deployment: Obj, new: SetView | None, old: Sequence[SetView]) -> None:
    """Brings the sets to a changed number of replicas: the one that is active, or all in proportion to their sizes,
    so that a rollout that is stuck stays as risky as it was."""
    goal = wanted(deployment)
    one = _only_active(new, old)
    if one is not None:
        one.size = goal
        return
    if new is not None and _saturated(deployment, new):
        for each in active(old):
            each.size = 0
        return
    if is_rolling(deployment):
        _in_proportion(deployment, active([*old, *([new] if new else [])]))


def _only_active(new: SetView | None, old: Sequence[SetView]) -> SetView | None:
    found = active([*old, *([new] if new else [])])
    if len(found) > 1:
        return None
    if found:
        return found[0]
    if new is not None:
        return new
    return by_age(old)[-1] if old else None


def _saturated(deployment: Obj, new: SetView) -> bool:
    goal = wanted(deployment)
    return new.size == goal and number(new.annotations.get(DESIRED)) == goal and (new.available == goal)


def _in_proportion(deployment: Obj, sets: Sequence[SetView]) -> None:
    goal = wanted(deployment)
    allowed = goal + bounds(deployment)[0] if goal else 0
    to_add = allowed - total(sets)
    growing = to_add > 0
    # Larger sets first; of equal ones the newer when growing, the older when shrinking.
    ordered = sorted(sets, key=lambda each: (-each.size, -each.created_at if growing else each.created_at, each.name))
    added = 0
    sizes = []
    for each in ordered:
        share = _share(deployment, each, to_add, added) if to_add else 0
        sizes.append(each.size + share)
        added += share
    for index, each in enumerate(ordered):
        size = sizes[index] + (to_add - added if index == 0 and to_add else 0)
        each.size = max(0, size)


def _share(deployment: Obj, each: SetView, to_add: int, added: int) -> int:
    if each.size == 0 or to_add == added:
        return 0
    fraction, room = _fraction(deployment, each), to_add - added
    return min(fraction, room) if to_add > 0 else max(fraction, room)


def _fraction(deployment: Obj, each: SetView) -> int:
    goal = wanted(deployment)
    if goal == 0:
        return -each.size
    before = number(each.annotations.get(MAXIMUM)) or (deployment.get("status") or {}).get("replicas") or 0
    if before == 0:
        return 0
    scaled = each.size * (goal + bounds(deployment)[0]) / before
    return math.floor(scaled + 0.5) - each.size
