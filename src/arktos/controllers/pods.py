"""Pods as controllers see them: the few fields that decisions need, typed, and what these mean. Pure.

A pod that runs a virtual machine is a pod: nothing here asks which it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cmp_to_key

import msgspec

from arktos.client import Cached, Informer
from arktos.model import dates

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


class Condition(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    type: str = ""
    status: str = ""
    last_transition_time: str | None = None


class ContainerStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    restart_count: int = 0


class _Meta(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    creation_timestamp: str | None = None
    annotations: dict[str, str] | None = None


class _Spec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    node_name: str = ""


class _Status(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    phase: str = ""
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None


class _Pod(msgspec.Struct, frozen=True, gc=False):
    metadata: _Meta = _Meta()
    spec: _Spec = _Spec()
    status: _Status = _Status()


class _OnNode(msgspec.Struct, frozen=True, gc=False):
    spec: _Spec = _Spec()


_ON_NODE = msgspec.json.Decoder(_OnNode)
_DECODER = msgspec.json.Decoder(_Pod)


class PodView(msgspec.Struct, frozen=True):
    """One pod. Times are seconds since the epoch, 0.0 where unknown; `ready_at` is when it became ready, None while it
    is not."""

    name: str
    uid: str
    labels: dict[str, str]
    node: str = ""
    phase: str = "Pending"
    deleting: bool = False
    ready_at: float | None = None
    created_at: float = 0.0
    restarts: int = 0
    cost: int = 0

    @property
    def active(self) -> bool:
        """Neither ended nor on its way out."""
        return not self.deleting and self.phase not in ("Succeeded", "Failed")

    @property
    def ended(self) -> bool:
        return self.phase in ("Succeeded", "Failed")

    def available_at(self, min_ready: int) -> float | None:
        """When it has been, or will have been, ready for `min_ready` seconds; None while it is not ready."""
        return None if self.ready_at is None else self.ready_at + min_ready

    def available(self, min_ready: int, now: float) -> bool:
        if self.ready_at is None:
            return False
        return not min_ready or (self.ready_at > 0 and self.ready_at + min_ready <= now)


def view(cached: Cached) -> PodView:
    """Decodes what is needed of a cached pod."""
    pod = cached.decode(_DECODER)
    ready = next((c for c in pod.status.conditions or () if c.type == "Ready" and c.status == "True"), None)
    return PodView(
        cached.name,
        cached.uid,
        cached.labels,
        pod.spec.node_name,
        pod.status.phase,
        cached.deleting,
        None if ready is None else _unix(ready.last_transition_time),
        _unix(pod.metadata.creation_timestamp),
        max((c.restart_count for c in pod.status.container_statuses or ()), default=0),
        deletion_cost(pod.metadata.annotations),
    )


class Views:
    """The views of pods that are looked at again and again: each version of a pod is decoded once."""

    def __init__(self, pods: Informer) -> None:
        self._known: dict[str, tuple[str, PodView]] = {}
        pods.add_handler(self._forget)

    def __call__(self, cached: Cached) -> PodView:
        known = self._known.get(cached.uid)
        if known is not None and known[0] == cached.resource_version:
            return known[1]
        seen = view(cached)
        self._known[cached.uid] = (cached.resource_version, seen)
        return seen

    def _forget(self, old: Cached | None, new: Cached | None) -> None:
        if old is not None and (new is None or new.uid != old.uid):
            self._known.pop(old.uid, None)


def next_available(pods: Iterable[PodView], min_ready: int, now: float) -> float | None:
    """Seconds until the next ready pod becomes available, None if none is to."""
    if not min_ready:
        return None
    times = (pod.available_at(min_ready) for pod in pods if pod.active)
    coming = [at - now for at in times if at is not None and at > now]
    return min(coming) + 0.01 if coming else None


def by_node(cached: Cached) -> Iterable[str]:
    """Index values: the node that a pod is bound to."""
    name = cached.decode(_ON_NODE).spec.node_name
    return (name,) if name else ()


def _unix(text: str | None) -> float:
    return dates.unix(text) if text else 0.0


def deletion_cost(annotations: dict[str, str] | None) -> int:
    """The pod's deletion cost; 0 where there is none or it is not a 32-bit integer."""
    text = (annotations or {}).get(DELETION_COST, "")
    digits = text.removeprefix("-").removeprefix("+") if text[1:] else text
    if not digits.isdecimal() or text.startswith("+") or (len(digits) > 1 and digits[0] == "0"):
        return 0
    cost = int(text)
    return cost if -(2**31) <= cost < 2**31 else 0


# --- which pods go first when there are too many ----------------------------------------------------------------------

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def victims(pods: Sequence[PodView], count: int, related: Iterable[PodView], now: float) -> list[PodView]:
    """The `count` pods to delete: those without a node first, then Pending, not ready, of lower deletion cost, on nodes
    with more `related` active pods, ready for a shorter time, restarted more often, younger. Times are compared by
    their order of magnitude, ties broken by uid, so that the choice does not favour one age (KEP-2185)."""
    if count >= len(pods):
        return list(pods)
    crowd: dict[str, int] = {}
    for pod in related:
        if pod.active:
            crowd[pod.node] = crowd.get(pod.node, 0) + 1

    def compare(one: PodView, other: PodView) -> int:
        return _compare(one, other, crowd, now)

    return sorted(pods, key=cmp_to_key(compare))[:count]


def _compare(one: PodView, other: PodView, crowd: dict[str, int], now: float) -> int:
    """Negative where `one` goes first."""
    for first, second in (
        (bool(one.node), bool(other.node)),
        (_PHASES.get(one.phase, 0), _PHASES.get(other.phase, 0)),
        (one.ready_at is not None, other.ready_at is not None),
        (one.cost, other.cost),
        (-crowd.get(one.node, 0), -crowd.get(other.node, 0)),
    ):
        if first != second:
            return -1 if first < second else 1
    if one.ready_at is not None and other.ready_at is not None and one.ready_at != other.ready_at:
        return _younger_first(one, other, one.ready_at, other.ready_at, now)
    if one.restarts != other.restarts:
        return -1 if one.restarts > other.restarts else 1
    if one.created_at != other.created_at:
        return _younger_first(one, other, one.created_at, other.created_at, now)
    return 0


def _younger_first(one: PodView, other: PodView, first: float, second: float, now: float) -> int:
    difference = _magnitude(now - first) - _magnitude(now - second) if first and second else second - first
    if difference == 0:
        return -1 if one.uid < other.uid else 1
    return -1 if difference < 0 else 1


def _magnitude(seconds: float) -> int:
    nanoseconds = seconds * 1e9
    return int(math.log2(nanoseconds)) if nanoseconds > 0 else -1
