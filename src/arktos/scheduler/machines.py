"""A node as the scheduler sees it, read from its object; and what a change of it may mean to waiting pods."""

from __future__ import annotations

import msgspec

from arktos.client import Cached
from arktos.model.quantity import QuantityError, parse
from arktos.scheduler.templates import LARGEST
from arktos.scheduler.terms import Taint

CONTAINER_READY = "ContainerRuntimeReady"
VM_READY = "VmRuntimeReady"


class _Taint(msgspec.Struct, gc=False):
    key: str = ""
    effect: str = ""
    value: str | None = None


class _Spec(msgspec.Struct, gc=False):
    unschedulable: bool | None = None
    taints: list[_Taint] | None = None


class _Condition(msgspec.Struct, gc=False):
    type: str = ""
    status: str = ""


class _Image(msgspec.Struct, gc=False, rename="camel"):
    names: list[str] | None = None
    size_bytes: int | None = None


class _Status(msgspec.Struct, gc=False):
    allocatable: dict[str, str | int] | None = None
    conditions: list[_Condition] | None = None
    images: list[_Image] | None = None


class _Document(msgspec.Struct):
    spec: _Spec | None = None
    status: _Status | None = None


_DECODER = msgspec.json.Decoder(_Document)


class Machine(msgspec.Struct, frozen=True):
    """Equal when nothing that scheduling reads differs: heartbeats are no change. Amounts as in `Template`; `images`
    are bytes by name."""

    name: str
    labels: dict[str, str]
    allocatable: dict[str, int]
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    runs_containers: bool = True
    runs_vms: bool = True
    images: dict[str, int] = {}


def read(cached: Cached) -> Machine:
    """Raises `msgspec.DecodeError` for what is no node."""
    document = _DECODER.decode(cached.raw)
    spec, status = document.spec or _Spec(), document.status or _Status()
    ready = {condition.type for condition in status.conditions or () if condition.status == "True"}
    return Machine(
        cached.name,
        cached.labels,
        {name: _amount(name, text) for name, text in (status.allocatable or {}).items()},
        tuple(Taint(taint.key, taint.value or "", taint.effect) for taint in spec.taints or ()),
        bool(spec.unschedulable),
        CONTAINER_READY in ready,
        VM_READY in ready,
        {name: image.size_bytes or 0 for image in status.images or () for name in image.names or ()},
    )


def _amount(resource: str, text: str | int) -> int:
    try:
        quantity = parse(str(text))
    except QuantityError:
        return 0
    return min(quantity.milli if resource == "cpu" else quantity.value, LARGEST - 1)


def changes(old: Machine | None, new: Machine) -> frozenset[str]:
    """Which filters may now let pass what they refused: their names."""
    if old is None:
        return frozenset({"*"})
    found = set()
    if any(amount > old.allocatable.get(name, 0) for name, amount in new.allocatable.items()):
        found.add("NodeResourcesFit")
    if old.labels != new.labels:
        found |= {"NodeAffinity", "PodTopologySpread", "InterPodAffinity", "VolumeBinding"}
    if old.taints != new.taints:
        found |= {"TaintToleration", "PodTopologySpread"}
    if old.unschedulable and not new.unschedulable:
        found.add("NodeUnschedulable")
    if (new.runs_containers and not old.runs_containers) or (new.runs_vms and not old.runs_vms):
        found.add("NodeRuntime")
    return frozenset(found)
