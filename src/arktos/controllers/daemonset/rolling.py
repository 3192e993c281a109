"""Which nodes of a DaemonSet go over to the newest template next, within the strategy's bounds: pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from arktos.controllers.daemonset.placing import ByNode, fits, is_updated
from arktos.controllers.podcontrol import resolved
from arktos.controllers.pods import PodView
from arktos.model.kinds import Obj


@dataclass(frozen=True, slots=True)
class Bounds:
    """Pods that may be unavailable, and nodes that may have a second pod, at once. `rolls` is false for OnDelete."""

    rolls: bool
    unavailable: int = 0
    surge: int = 0


def bounds(daemonset: Obj, desired: int) -> Bounds:
    """The strategy's, for so many nodes. Percentages are rounded up; one pod at least may be unavailable."""
    strategy = daemonset["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return Bounds(False)
    rolling = strategy.get("rollingUpdate") or {}
    surge = resolved(rolling.get("maxSurge") or 0, desired, up=True)
    unavailable = resolved(rolling.get("maxUnavailable", 1), desired, up=True)
    return Bounds(True, unavailable if unavailable or surge else 1, surge)


@dataclass(frozen=True, slots=True)
class Step:
    """Pods of an older template to delete, and nodes that get a second pod."""

    delete: tuple[PodView, ...] = ()
    create: tuple[str, ...] = ()


def step(daemonset: Obj, spec: Obj, nodes: Iterable[Obj], pods: ByNode, revision: str, now: float) -> Step:
    """What to do next. What is unavailable anyway may be replaced at once."""
    wanted = [node["metadata"]["name"] for node in nodes if fits(spec, node)[0]]
    limits = bounds(daemonset, len(wanted))
    if not limits.rolls:
        return Step()
    min_ready = int(daemonset["spec"].get("minReadySeconds") or 0)
    sides = {name: _sides(pods.get(name, ()), revision) for name in wanted}
    if limits.surge:
        return _surging(sides, limits, min_ready, now)
    return _replacing(sides, limits, min_ready, now)


_Sides = tuple[PodView | None, PodView | None]
"""A node's living pod of the newest template, and that of an older one."""


def _sides(here: Iterable[PodView], revision: str) -> _Sides:
    alive = sorted((pod for pod in here if not pod.deleting and not pod.ended), key=lambda pod: pod.created_at)
    new = next((pod for pod in alive if is_updated(pod, revision)), None)
    old = next((pod for pod in alive if not is_updated(pod, revision)), None)
    return new, old


def _replacing(sides: dict[str, _Sides], limits: Bounds, min_ready: int, now: float) -> Step:
    unavailable = 0
    broken: list[PodView] = []
    candidates: list[PodView] = []
    for new, old in sides.values():
        if old is None or new is not None:
            unavailable += new is None or old is not None or not new.available(min_ready, now)
        elif old.available(min_ready, now):
            candidates.append(old)
        else:
            broken.append(old)
            unavailable += 1
    room = max(0, limits.unavailable - unavailable)
    return Step((*broken, *candidates[:room]))


def _surging(sides: dict[str, _Sides], limits: Bounds, min_ready: int, now: float) -> Step:
    delete: list[PodView] = []
    at_once: list[str] = []
    candidates: list[str] = []
    surging = 0
    for name, (new, old) in sides.items():
        if old is None:
            continue
        if new is not None:
            if new.available(min_ready, now):
                delete.append(old)
            else:
                surging += 1
        elif old.available(min_ready, now):
            candidates.append(name)
        else:
            # It serves nobody: its successor costs nothing.
            at_once.append(name)
    room = max(0, limits.surge - surging)
    return Step(tuple(delete), (*at_once, *candidates[:room]))
