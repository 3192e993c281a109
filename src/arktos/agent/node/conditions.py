"""The conditions of a node, with kubelet's reasons and messages, and one of ours for each type of runtime. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from arktos.agent.runtimes import RuntimeType
from arktos.model.kinds import Obj

READY = "Ready"
CONTAINER_READY, VM_READY = "ContainerRuntimeReady", "VmRuntimeReady"


class _Words(NamedTuple):
    """Reason and message of a pressure condition, when it holds and when not."""

    under: tuple[str, str]
    well: tuple[str, str]


PRESSURES: Mapping[str, _Words] = {
    "MemoryPressure": _Words(
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ),
    "DiskPressure": _Words(
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ),
    "PIDPressure": _Words(
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ),
}

NODE_EVENTS: Mapping[tuple[str, str], str] = {
    ("MemoryPressure", "True"): "NodeHasInsufficientMemory",
    ("MemoryPressure", "False"): "NodeHasSufficientMemory",
    ("DiskPressure", "True"): "NodeHasDiskPressure",
    ("DiskPressure", "False"): "NodeHasNoDiskPressure",
    ("PIDPressure", "True"): "NodeHasInsufficientPID",
    ("PIDPressure", "False"): "NodeHasSufficientPID",
    ("Ready", "True"): "NodeReady",
    ("Ready", "False"): "NodeNotReady",
}
"""The event that tells of a condition's change."""

_TYPES: Mapping[RuntimeType, tuple[str, str]] = {
    "container": (CONTAINER_READY, "container"),
    "vm": (VM_READY, "VM"),
}


@dataclass(frozen=True, slots=True)
class RuntimeState:
    """What a runtime says of itself; `problems` are kubelet's words for why it cannot run pods, none when it can."""

    name: str
    type: RuntimeType
    problems: tuple[str, ...] = ()
    version: str = ""
    handlers: tuple[Obj, ...] = ()

    @property
    def ready(self) -> bool:
        return not self.problems


def conditions(states: Sequence[RuntimeState], pressures: Iterable[str], missing: Sequence[str] = ()) -> list[Obj]:
    """All conditions, without their times. `pressures` are the ones that hold; `missing` what the capacity lacks."""
    holding = frozenset(pressures)
    found = [
        _condition(name, name in holding, *(words.under if name in holding else words.well))
        for name, words in PRESSURES.items()
    ]
    found += [_of_type(kind, [state for state in states if state.type == kind]) for kind in _TYPES]
    found.append(_ready(states, missing))
    return found


def _of_type(kind: RuntimeType, states: Sequence[RuntimeState]) -> Obj:
    name, word = _TYPES[kind]
    ready = [state.name for state in states if state.ready]
    if ready:
        message = f"at least one {word} runtime is ready: {', '.join(ready)}"
        return _condition(name, True, f"AtLeastOne{name.removesuffix('Ready')}IsReady", message)
    if not states:
        return _condition(name, False, f"No{name.removesuffix('Ready')}", f"this node has no {word} runtime")
    message = f"none of the {word} runtimes is ready: {_aggregate(_told(states))}"
    return _condition(name, False, f"NoneOf{name.removesuffix('Ready')}sIsReady", message)


def _ready(states: Sequence[RuntimeState], missing: Sequence[str]) -> Obj:
    """Ready as soon as one runtime, of whatever type, can run pods."""
    problems: list[str] = []
    if not any(state.ready for state in states):
        problems += _told(states) or ["this node has no runtime"]
    if missing:
        problems.append(f"missing node capacity for resources: {', '.join(missing)}")
    if problems:
        return _condition(READY, False, "KubeletNotReady", _aggregate(problems))
    return _condition(READY, True, "KubeletReady", "kubelet is posting ready status")


def _told(states: Sequence[RuntimeState]) -> list[str]:
    """All problems; with several runtimes, each with the name of its runtime."""
    if len(states) == 1:
        return list(states[0].problems)
    return [f"{state.name}: {problem}" for state in states for problem in state.problems]


def _aggregate(problems: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(problems))
    return distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]"


def _condition(name: str, holds: bool, reason: str, message: str) -> Obj:
    return {"type": name, "status": "True" if holds else "False", "reason": reason, "message": message}


def timed(wanted: Sequence[Obj], current: Sequence[Obj], now: str) -> list[Obj]:
    """The conditions with their times: a heartbeat now, a transition only where the status is another one."""
    known = {condition.get("type"): condition for condition in current}
    found: list[Obj] = []
    for condition in wanted:
        before = known.get(condition["type"]) or {}
        same = before.get("status") == condition["status"]
        since = before.get("lastTransitionTime") if same else None
        found.append({**condition, "lastHeartbeatTime": now, "lastTransitionTime": since or now})
    return found


def changed(wanted: Obj, current: Obj | None) -> bool:
    """Whether a condition says anything new, its heartbeat apart."""
    return current is None or any(wanted[name] != current.get(name) for name in ("status", "reason", "message"))
