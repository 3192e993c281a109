"""The next move of a rollout: pure.

One plan holds at most one kind of move, and the status as of before it; the move's own event brings the next look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from arktos.controllers import conditions
from arktos.controllers.deployment import progress, revisions, rolling
from arktos.controllers.deployment.sets import DESIRED, REVISION, SetView, active, number, total
from arktos.model.kinds import Kind, Obj


@dataclass(frozen=True, slots=True)
class World:
    """A deployment, the ReplicaSets that it holds, and by uid how many pods of each have not ended. `now_text` is
    `now` as RFC 3339."""

    kind: Kind
    deployment: Obj
    sets: Sequence[SetView]
    pods: dict[str, int]
    now: float
    now_text: str


@dataclass(frozen=True, slots=True)
class Scale:
    """A ReplicaSet's size before and after."""

    set: SetView
    before: int
    after: int


@dataclass(slots=True)
class Plan:
    """`create` is the new ReplicaSet, `amend` (set, annotations, minReadySeconds) what it has to say anew, `remember`
    the sets whose note of the deployment's size is out of date. `status` None leaves it; `revision` is the
    deployment's own annotation. `again` is in how many seconds to look, without an event."""

    create: Obj | None = None
    amend: tuple[SetView, dict[str, str], int] | None = None
    scale: list[Scale] = field(default_factory=list)
    remember: list[SetView] = field(default_factory=list)
    delete: list[SetView] = field(default_factory=list)
    status: Obj | None = None
    revision: str = ""
    again: float | None = None


def plan(world: World) -> Plan:
    """What to do now."""
    deployment = world.deployment
    new, old = revisions.split(deployment, world.sets)
    found = (deployment.get("status") or {}).get("conditions") or []
    if "deletionTimestamp" in deployment["metadata"]:
        return _with_status(world, Plan(), new, old, list(found))
    found = progress.pausing(deployment, found, world.now_text)
    if deployment["spec"].get("paused") or _was_resized(deployment, world.sets):
        return _resized(world, new, old, found)
    if not rolling.is_rolling(deployment) and _old_in_the_way(world, old):
        return _scaled(world, new, old, found, [0] * len(old))
    if new is None:
        return _created(world, old, found)
    return _rolled(world, new, old, found)


def _was_resized(deployment: Obj, sets: Sequence[SetView]) -> bool:
    """Whether an active set remembers another size of the deployment than it has."""
    goal = rolling.wanted(deployment)
    return any(DESIRED in each.annotations and number(each.annotations[DESIRED]) != goal for each in active(sets))


def _old_in_the_way(world: World, old: Sequence[SetView]) -> bool:
    """Recreate: nothing new before all of the old has ended."""
    return any(each.size or each.replicas or world.pods.get(each.uid) for each in old)


def _scaled(
    world: World, new: SetView | None, old: list[SetView], found: list[Obj], sizes: Sequence[int] | None = None
) -> Plan:
    before = {each.uid: each.size for each in world.sets}
    if sizes is not None:
        for each, size in zip(old, sizes, strict=True):
            each.size = size
    return _with_status(world, Plan(scale=_scales(world.sets, before)), new, old, found)


def _scales(sets: Sequence[SetView], before: dict[str, int]) -> list[Scale]:
    return [Scale(each, before[each.uid], each.size) for each in sets if each.size != before[each.uid]]


def _resized(world: World, new: SetView | None, old: list[SetView], found: list[Obj]) -> Plan:
    deployment = world.deployment
    before = {each.uid: each.size for each in world.sets}
    rolling.resize(deployment, new, old)
    scale = _scales(world.sets, before)
    notes = revisions.replica_annotations(deployment)
    moved = {change.set.uid for change in scale}
    stale = [
        each
        for each in active(world.sets)
        if each.uid not in moved and any(each.annotations.get(k) != v for k, v in notes.items())
    ]
    delete = revisions.expendable(deployment, old) if deployment["spec"].get("paused") else []
    status = _status(world, new, found)
    return Plan(scale=scale, remember=stale, delete=delete, status=status)


def _created(world: World, old: list[SetView], found: list[Obj]) -> Plan:
    deployment = world.deployment
    made = revisions.new_set(world.kind, deployment, old)
    name = made["metadata"]["name"]
    if progress.has_deadline(deployment):
        message = f'Created new replica set "{name}"'
        found = progress.set_condition(
            found, progress.PROGRESSING, "True", "NewReplicaSetCreated", message, world.now_text
        )
    revision = made["metadata"]["annotations"][REVISION]
    return Plan(create=made, status=_status(world, None, found), revision=revision)


def _rolled(world: World, new: SetView, old: list[SetView], found: list[Obj]) -> Plan:
    deployment = world.deployment
    annotations = revisions.new_annotations(deployment, new.annotations, revisions.next_revision(old))
    min_ready = deployment["spec"].get("minReadySeconds") or 0
    if annotations != new.annotations or (new.obj["spec"].get("minReadySeconds") or 0) != min_ready:
        return Plan(amend=(new, annotations, min_ready))
    if progress.has_deadline(deployment) and conditions.find(found, progress.PROGRESSING) is None:
        message = f'Found new replica set "{new.name}"'
        found = progress.set_condition(
            found, progress.PROGRESSING, "True", "FoundNewReplicaSet", message, world.now_text
        )
    before = {each.uid: each.size for each in world.sets}
    if not rolling.grow_new(deployment, new, world.sets) and rolling.is_rolling(deployment):
        rolling.shrink_old(deployment, new, old)
    step = Plan(scale=_scales(world.sets, before), revision=new.annotations.get(REVISION, ""))
    if progress.complete(deployment, deployment.get("status") or {}) and total(old) == 0:
        step.delete = revisions.expendable(deployment, old)
    return _with_status(world, step, new, old, found)


def _status(world: World, new: SetView | None, found: list[Obj]) -> Obj:
    """Numbers, availability and failures; how the rollout goes is left as it is."""
    status = progress.numbers(world.deployment, new, world.sets)
    found = progress.availability(world.deployment, status, found, world.now_text)
    return {**status, "conditions": progress.failures(new, world.sets, found)}


def _with_status(world: World, step: Plan, new: SetView | None, old: list[SetView], found: list[Obj]) -> Plan:
    """The plan with the status of a rollout under way."""
    deployment = world.deployment
    status = _status(world, new, found)
    if "deletionTimestamp" not in deployment["metadata"]:
        now, text = world.now, world.now_text
        status["conditions"] = progress.progressing(deployment, new, status, status["conditions"], now, text)
        step.again = progress.seconds_left(deployment, status["conditions"], now)
        if step.again is not None:
            step.again = max(step.again + 1.0, 1.0)
    step.status = status
    return step
