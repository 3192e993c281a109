"""What a running expression stands in: the values of its variables, and what it may still cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from arktos.model.cel.errors import CostExceeded

MISSING = object()


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


class Lazy(ABC):
    """A value with fields that are worked out when an expression first asks for them."""

    @abstractmethod
    def find(self, field: str) -> Any:
        """The field's value. KeyError where there is none, EvaluationError where it has no value."""
