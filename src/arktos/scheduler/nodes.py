"""Nodes as columns: one slot per node, one numpy array per fact. Changes are logged: readers catch up cheaply.

The columns are the newest state itself, not a copy: they change on the event loop only, between two plans, so a plan
sees one state from its begin to its end, which is all that a snapshot is for.
"""

from __future__ import annotations

import random
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from arktos.scheduler.machines import Machine
from arktos.scheduler.templates import Port, Template
from arktos.scheduler.terms import Labels, Taint

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Ids = npt.NDArray[np.int32]
Slots = npt.NDArray[np.intp]
T = TypeVar("T", bound=np.generic)

CPU, MEMORY, PODS = 0, 1, 3
_FIRST = ("cpu", "memory", "ephemeral-storage", "pods")
TIE_BITS = 20
"""Ranks are score << TIE_BITS | a random number."""
_ANYWHERE = "0.0.0.0"
_LOG_LIMIT = 8192


class Log:
    """Slots in the order in which they changed. A reader keeps a position."""

    def __init__(self) -> None:
        self._dropped = 0
        self._slots: list[int] = []

    @property
    def position(self) -> int:
        return self._dropped + len(self._slots)

    def add(self, slot: int) -> None:
        self._slots.append(slot)
        if len(self._slots) > _LOG_LIMIT:
            half = _LOG_LIMIT // 2
            del self._slots[:half]
            self._dropped += half

    def since(self, position: int) -> list[int] | None:
        """Slots that changed since; None if that is too long ago to tell."""
        start = position - self._dropped
        return None if start < 0 else self._slots[start:]


class LabelColumn:
    """The value of one label on every node, as a small number; 0 where there is none."""

    def __init__(self, capacity: int) -> None:
        self.ids: Ids = np.zeros(capacity, np.int32)
        self.values: list[str] = [""]
        self._by_value: dict[str, int] = {}

    def id(self, value: str) -> int:
        """The number of a value; 0 for one that no node ever had."""
        return self._by_value.get(value, 0)

    def put(self, slot: int, value: str | None) -> None:
        if value is None:
            self.ids[slot] = 0
            return
        number = self._by_value.get(value)
        if number is None:
            number = self._by_value[value] = len(self.values)
            self.values.append(value)
        self.ids[slot] = number


class Nodes:
    """The table. `capacity` slots, of which `count` hold nodes; a slot without one has `alive` False.

    `changed` logs slots whose node itself changed, `booked` those whose use changed; `shape` counts the times that
    the arrays grew, after which positions in neither log are of use.
    """

    def __init__(self, seed: int = 0, capacity: int = 64) -> None:
        self.capacity = capacity
        self.count = 0
        self.shape = 0
        self.changed = Log()
        self.booked = Log()
        self.slots: dict[str, int] = {}
        self.machines: list[Machine | None] = [None] * capacity
        self.resources: dict[str, int] = {name: row for row, name in enumerate(_FIRST)}
        self.resource_names = list(_FIRST)
        self.allocatable: Ints = np.zeros((len(_FIRST), capacity), np.int64)
        self.used: Ints = np.zeros((len(_FIRST), capacity), np.int64)
        self.scored: Ints = np.zeros((2, capacity), np.int64)
        self.alive: Bools = np.zeros(capacity, np.bool_)
        self.unschedulable: Bools = np.zeros(capacity, np.bool_)
        self.runs_containers: Bools = np.zeros(capacity, np.bool_)
        self.runs_vms: Bools = np.zeros(capacity, np.bool_)
        self.taints: Ids = np.zeros(capacity, np.int32)
        self.taint_sets: list[tuple[Taint, ...]] = [()]
        self.images: dict[str, dict[int, int]] = {}
        self.image_version = 0
        self._taint_ids: dict[tuple[Taint, ...], int] = {(): 0}
        self._labels: dict[str, LabelColumn] = {}
        self._ports: dict[tuple[str, int], dict[str, dict[int, int]]] = {}
        self._free = list(range(capacity - 1, -1, -1))
        self._random = random.Random(seed)
        self.ties: Ints = np.zeros(capacity, np.int64)

    # nodes

    def put(self, machine: Machine) -> int:
        """Adds or replaces a node; its slot."""
        slot = self.slots.get(machine.name)
        if slot is None:
            if not self._free:
                self._grow()
            slot = self.slots[machine.name] = self._free.pop()
            self.count += 1
            self.alive[slot] = True
            self.ties[slot] = self._random.getrandbits(TIE_BITS)
        old = self.machines[slot]
        self.machines[slot] = machine
        rows = [self.row(name) for name in machine.allocatable]
        self.allocatable[:, slot] = 0
        self.allocatable[rows, slot] = list(machine.allocatable.values())
        self.unschedulable[slot] = machine.unschedulable
        self.runs_containers[slot] = machine.runs_containers
        self.runs_vms[slot] = machine.runs_vms
        self.taints[slot] = self._taint_set(machine.taints)
        for key, column in self._labels.items():
            column.put(slot, machine.labels.get(key))
        self._put_images(slot, old.images if old else {}, machine.images)
        self.changed.add(slot)
        return slot

    def remove(self, name: str) -> int:
        """Takes a node out; the slot it had. What was booked there must have been taken back before. KeyError."""
        slot = self.slots.pop(name)
        machine = self.machines[slot]
        assert machine is not None
        self._put_images(slot, machine.images, {})
        self.machines[slot] = None
        self.count -= 1
        self.alive[slot] = False
        self.allocatable[:, slot] = 0
        for column in self._labels.values():
            column.put(slot, None)
        self._free.append(slot)
        self.changed.add(slot)
        return slot

    def name(self, slot: int) -> str:
        machine = self.machines[slot]
        assert machine is not None
        return machine.name

    def labels(self, slot: int) -> Labels:
        machine = self.machines[slot]
        return machine.labels if machine is not None else {}

    def column(self, key: str) -> LabelColumn:
        """The column of a label, made when it is first asked for."""
        column = self._labels.get(key)
        if column is None:
            column = self._labels[key] = LabelColumn(self.capacity)
            for slot in self.slots.values():
                column.put(slot, self.labels(slot).get(key))
        return column

    # bookings

    def row(self, resource: str) -> int:
        """The row of a resource in `allocatable` and `used`."""
        row = self.resources.get(resource)
        if row is None:
            row = self.resources[resource] = len(self.resource_names)
            self.resource_names.append(resource)
            blank = np.zeros((1, self.capacity), np.int64)
            self.allocatable = np.concatenate((self.allocatable, blank))
            self.used = np.concatenate((self.used, blank))
        return row

    def book(self, slot: int, template: Template, times: int) -> None:
        """Counts a pod in (`times` 1) or out (-1)."""
        rows = [self.row(name) for name, _ in template.requests]
        used = self.used
        for row, (_, amount) in zip(rows, template.requests, strict=True):
            used[row, slot] += times * amount
        used[PODS, slot] += times
        self.scored[0, slot] += times * template.scored[0]
        self.scored[1, slot] += times * template.scored[1]
        for port in template.ports:
            self._count_port(slot, port, times)
        self.ties[slot] = self._random.getrandbits(TIE_BITS)
        self.booked.add(slot)

    def with_port_taken(self, ports: tuple[Port, ...]) -> set[int]:
        """Slots where one of these host ports is in use."""
        found: set[int] = set()
        for address, protocol, port in ports:
            for other, slots in self._ports.get((protocol, port), {}).items():
                if address == _ANYWHERE or other in (_ANYWHERE, address):
                    found.update(slots)
        return found

    def _count_port(self, slot: int, port: Port, times: int) -> None:
        slots = self._ports.setdefault((port.protocol, port.port), {}).setdefault(port.address, {})
        slots[slot] = slots.get(slot, 0) + times
        if not slots[slot]:
            del slots[slot]

    def _taint_set(self, taints: tuple[Taint, ...]) -> int:
        number = self._taint_ids.get(taints)
        if number is None:
            number = self._taint_ids[taints] = len(self.taint_sets)
            self.taint_sets.append(taints)
        return number

    def _put_images(self, slot: int, old: dict[str, int], new: dict[str, int]) -> None:
        if old == new:
            return
        self.image_version += 1
        for name in old.keys() - new.keys():
            del self.images[name][slot]
            if not self.images[name]:
                del self.images[name]
        for name, size in new.items():
            self.images.setdefault(name, {})[slot] = size

    def _grow(self) -> None:
        more = self.capacity
        self.capacity += more
        self.shape += 1
        self.machines += [None] * more
        self._free = list(range(self.capacity - 1, more - 1, -1))
        for name in ("allocatable", "used", "scored"):
            old: Ints = getattr(self, name)
            setattr(self, name, np.concatenate((old, np.zeros((len(old), more), np.int64)), axis=1))
        for name in ("alive", "unschedulable", "runs_containers", "runs_vms", "taints", "ties"):
            setattr(self, name, extended(getattr(self, name), self.capacity))
        for column in self._labels.values():
            column.ids = extended(column.ids, self.capacity)


def extended(array: npt.NDArray[T], length: int) -> npt.NDArray[T]:
    """The array with zeros up to `length`."""
    longer = np.zeros(length, array.dtype)
    longer[: len(array)] = array
    return longer
