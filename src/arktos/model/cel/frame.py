"""What a running expression stands in: the values of its variables, and what it may still cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from arktos.model.cel.errors import CostExceeded
from arktos.model.cel.pace import give_way

MISSING = object()
_STRIDE = 500


class Frame:
    """`slots` are the variables' values by number; `left` the units that may still be spent."""

    __slots__ = ("left", "slots")

    def __init__(self, slots: list[Any], left: int) -> None:
        self.slots = slots
        self.left = left

    def spend(self, units: int) -> None:
        self.left -= units
        if self.left < 0:
            raise CostExceeded()


class PatientFrame(Frame):
    """A frame of a thread beside the event loop: gives way to it every few hundred steps."""

    __slots__ = ("_pause",)

    def __init__(self, slots: list[Any], left: int) -> None:
        super().__init__(slots, left)
        self._pause = left - _STRIDE

    def spend(self, units: int) -> None:
        self.left -= units
        if self.left < 0:
            raise CostExceeded()
        if self.left < self._pause:
            self._pause = self.left - _STRIDE
            give_way()


class Lazy(ABC):
    """A value with fields that are worked out when an expression first asks for them."""

    @abstractmethod
    def find(self, field: str) -> Any:
        """The field's value. KeyError where there is none, EvaluationError where it has no value."""
