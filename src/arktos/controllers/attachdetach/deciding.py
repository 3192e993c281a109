"""What is to be done about a volume: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from arktos.controllers.attachdetach import facts
from arktos.controllers.attachdetach.facts import Node
from arktos.model.kinds import Obj

FORCED_AFTER = 360.0
"""Seconds after which a volume leaves an unhealthy node, though it may be mounted there still."""
ATTACHED_WITHIN = 120.0
"""Seconds after which it is said that an attachment is not getting on."""


@dataclass(frozen=True, slots=True)
class World:
    """A volume of a driver and all about it. `users` are the pods that use it, by node; `attachments` those of the
    volume; `waited` tells by node for how long a detachment has been wanted; `age` for how long an attachment has been
    there; `told` is what was spoken of before."""

    volume: Obj
    attachable: bool
    users: Mapping[str, Sequence[Obj]]
    attachments: Sequence[Obj]
    nodes: Mapping[str, Node]
    waited: Mapping[str, float]
    age: Mapping[str, float]
    told: frozenset[str] = frozenset()


@dataclass(slots=True)
class Steps:
    """`attach` are nodes. `detach` are attachments that go, each with why it is forced ("" if it is not); `unwanted`
    the nodes where one is in the way. `again` is when to look again (seconds). Events are (pod, type, reason,
    message); `told` is what was spoken of, now or before, and holds still."""

    attach: list[str] = field(default_factory=list)
    detach: list[tuple[Obj, str]] = field(default_factory=list)
    unwanted: list[str] = field(default_factory=list)
    again: float | None = None
    events: list[tuple[Obj, Any, str, str]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def look(self, seconds: float) -> None:
        self.again = seconds if self.again is None else min(self.again, seconds)


def decide(world: World) -> Steps:
    steps = Steps()
    wanted = world.users if world.attachable else {}
    for attachment in world.attachments:
        host = attachment["spec"]["nodeName"]
        if attachment["metadata"]["name"] != facts.attachment_name(world.volume, host):
            # Somebody else's business, though the volume is there.
            continue
        if host not in wanted:
            _unwanted(world, attachment, host, steps)
        elif "deletionTimestamp" not in attachment["metadata"]:
            _wanted(world, attachment, wanted[host], steps)
    there = {each["spec"]["nodeName"] for each in world.attachments}
    for host in sorted(wanted.keys() - there):
        _missing(world, host, there, steps)
        there.add(host)
    return steps


def _unwanted(world: World, attachment: Obj, host: str, steps: Steps) -> None:
    """Nobody on the node uses the volume any more."""
    node = world.nodes.get(host, facts.GONE)
    if not node.managed:
        return
    steps.unwanted.append(host)
    if "deletionTimestamp" in attachment["metadata"]:
        return
    if facts.unique_name(world.volume) not in node.in_use:
        steps.detach.append((attachment, ""))
    elif node.out_of_service:
        steps.detach.append((attachment, "out-of-service"))
    elif not node.healthy:
        left = FORCED_AFTER - world.waited.get(host, 0.0)
        if left <= 0:
            steps.detach.append((attachment, "timeout"))
        else:
            steps.look(left)


def _wanted(world: World, attachment: Obj, pods: Sequence[Obj], steps: Steps) -> None:
    name, uid = world.volume["metadata"]["name"], attachment["metadata"]["uid"]
    status = attachment.get("status") or {}
    if status.get("attached"):
        steps.told.append(uid)
        node = world.nodes.get(attachment["spec"]["nodeName"], facts.GONE)
        if uid not in world.told and facts.unique_name(world.volume) not in node.attached:
            said = f'AttachVolume.Attach succeeded for volume "{name}" '
            steps.events += [(pod, "Normal", "SuccessfulAttachVolume", said) for pod in pods]
        return
    error = status.get("attachError")
    if error:
        mark = f"{uid}/{error.get('time', '')}/{error.get('message', '')}"
        steps.told.append(mark)
        if mark not in world.told:
            _failed(name, error.get("message") or "", pods, steps)
        return
    late = world.age.get(uid, 0.0) - ATTACHED_WITHIN
    if late < 0:
        steps.look(-late)
        return
    source = world.volume["spec"]["csi"]
    why = (
        f"timed out waiting for external-attacher of {source['driver']} CSI driver to attach volume "
        f"{source['volumeHandle']}"
    )
    _failed(name, why, pods, steps)
    steps.look(ATTACHED_WITHIN)


def _failed(name: str, why: str, pods: Iterable[Obj], steps: Steps) -> None:
    said = f'AttachVolume.Attach failed for volume "{name}" : {why}'
    steps.events += [(pod, "Warning", "FailedAttachVolume", said) for pod in pods]


def _missing(world: World, host: str, there: set[str], steps: Steps) -> None:
    """Pods of a node use the volume, which is not attached there."""
    others = there - {host}
    if not others or not facts.is_exclusive(world.volume):
        steps.attach.append(host)
        return
    name = world.volume["metadata"]["name"]
    holders = [pod for other in sorted(others) for pod in world.users.get(other, ())]
    for pod in world.users[host]:
        mark = f"{pod['metadata']['uid']}/{','.join(sorted(others))}"
        steps.told.append(mark)
        if mark not in world.told:
            said = f'Multi-Attach error for volume "{name}" {_held(pod, holders)}'
            steps.events.append((pod, "Warning", "FailedAttachVolume", said))


def _held(pod: Obj, holders: Sequence[Obj]) -> str:
    """Who has a volume; of other namespaces only how many."""
    if not holders:
        return "Volume is already exclusively attached to one node and can't be attached to another"
    namespace = pod["metadata"]["namespace"]
    near = [each["metadata"]["name"] for each in holders if each["metadata"]["namespace"] == namespace]
    far = len(holders) - len(near)
    if not near:
        return f"Volume is already used by {far} pod(s) in different namespaces"
    said = f"Volume is already used by pod(s) {', '.join(near)}"
    return f"{said} and {far} pod(s) in different namespaces" if far else said
