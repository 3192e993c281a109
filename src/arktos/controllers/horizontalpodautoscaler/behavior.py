"""How fast and how steadily replicas may change: pure. (KEP-853)

A direction's window keeps the mildest of the recent proposals; its policies bound how much may change within their
period. Changes made before are remembered for as long as some policy looks back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from arktos.model.kinds import Obj

_UP: Obj = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_DOWN: Obj = {
    "stabilizationWindowSeconds": 300,
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}
_LOOK_BACK = 3600.0


@dataclass(slots=True)
class Memory:
    """What was proposed, and what was changed (by how much: more is positive), with its time in seconds."""

    proposals: list[tuple[float, int]] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)

    def forget(self, now: float) -> None:
        self.proposals = [each for each in self.proposals if each[0] > now - _LOOK_BACK]
        self.changes = [each for each in self.changes if each[0] > now - _LOOK_BACK]


@dataclass(frozen=True, slots=True)
class Step:
    """How many replicas there may be now; `steadied` where the window changed the proposal, `limited` is the reason and
    message where a bound did."""

    replicas: int
    steadied: str = ""
    limited: tuple[str, str] | None = None


def rules(autoscaler: Obj, direction: str) -> Obj:
    """The rules for `scaleUp` or `scaleDown`, completed."""
    told = (autoscaler["spec"].get("behavior") or {}).get(direction) or {}
    otherwise = _UP if direction == "scaleUp" else _DOWN
    return {**otherwise, **{name: value for name, value in told.items() if value is not None}}


def step(autoscaler: Obj, memory: Memory, current: int, proposal: int, least: int, most: int, now: float) -> Step:
    """From a proposal to what may be done now. Remembers the proposal."""
    up, down = rules(autoscaler, "scaleUp"), rules(autoscaler, "scaleDown")
    memory.forget(now)
    memory.proposals.append((now, proposal))
    wanted, steadied = _steadied(memory, current, up, down, now)
    limited: tuple[str, str] | None = None
    if wanted > current:
        bound = _up_to(memory, current, up, now)
        if wanted > min(bound, most):
            wanted, limited = (bound, _SCALE_UP) if bound < most else (most, _TOO_MANY)
    elif wanted < current:
        bound = _down_to(memory, current, down, now)
        if wanted < max(bound, least):
            wanted, limited = (bound, _SCALE_DOWN) if bound > least else (least, _TOO_FEW)
    return Step(wanted, steadied, limited)


_SCALE_UP = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_SCALE_DOWN = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
_TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")


def _steadied(memory: Memory, current: int, up: Obj, down: Obj, now: float) -> tuple[int, str]:
    proposal = memory.proposals[-1][1]
    lowest = min(_recent(memory, up, now))
    highest = max(_recent(memory, down, now))
    wanted = min(max(current, lowest), highest)
    if wanted == proposal:
        return wanted, ""
    return wanted, "ScaleUpStabilized" if wanted < proposal else "ScaleDownStabilized"


def _recent(memory: Memory, direction: Obj, now: float) -> list[int]:
    since = now - int(direction["stabilizationWindowSeconds"])
    return [value for at, value in memory.proposals if at > since or at == now]


def _up_to(memory: Memory, current: int, direction: Obj, now: float) -> int:
    if direction["selectPolicy"] == "Disabled":
        return current
    limits = []
    for policy in direction["policies"]:
        start = current - _changed(memory.changes, policy, now, grown=True)
        if policy["type"] == "Pods":
            limits.append(start + int(policy["value"]))
        else:
            limits.append(math.ceil(start * (1 + int(policy["value"]) / 100)))
    bound = min(limits) if direction["selectPolicy"] == "Min" else max(limits)
    return max(bound, current)


def _down_to(memory: Memory, current: int, direction: Obj, now: float) -> int:
    if direction["selectPolicy"] == "Disabled":
        return current
    limits = []
    for policy in direction["policies"]:
        start = current + _changed(memory.changes, policy, now, grown=False)
        if policy["type"] == "Pods":
            limits.append(start - int(policy["value"]))
        else:
            limits.append(math.floor(start * (1 - int(policy["value"]) / 100)))
    bound = max(limits) if direction["selectPolicy"] == "Min" else min(limits)
    return min(max(bound, 0), current)


def _changed(changes: Sequence[tuple[float, int]], policy: Obj, now: float, *, grown: bool) -> int:
    since = now - int(policy["periodSeconds"])
    return sum(abs(by) for at, by in changes if at > since and (by > 0) == grown)
