"""Addresses of hollow nodes and pods: unique, and of a block that no network routes (240.0.0.0/4), so that nothing real
is ever reached by mistake. Pure.
"""

from __future__ import annotations

_PODS = 0xF0 << 24
"""240.0.0.0/5"""
_NODES = 0xF8 << 24
"""248.0.0.0/5"""


def dotted(number: int) -> str:
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def node_address(number: int) -> str:
    """The address of the node with this number."""
    return dotted(_NODES + 1 + number)


class Addresses:
    """Gives the pods of each node addresses of the node's own block, the lowest free one first. `first` is the number
    of the node at index 0, `count` how many there are; a block holds `per_node` addresses at least."""

    def __init__(self, first: int, count: int, per_node: int) -> None:
        self._first = first
        self._bits = (per_node + 1).bit_length()
        self._taken = [0] * count

    def take(self, node: int, wanted: str = "") -> int:
        """A slot of the node, that of the address `wanted` if it is free; -1 if all are taken."""
        taken = self._taken[node]
        slot = self._slot_of(node, wanted) if wanted else -1
        if slot < 0 or taken >> slot & 1:
            slot = (~taken & (taken + 1)).bit_length() - 1
        if slot >= (1 << self._bits) - 1:
            return -1
        self._taken[node] |= 1 << slot
        return slot

    def free(self, node: int, slot: int) -> None:
        self._taken[node] &= ~(1 << slot)

    def address(self, node: int, slot: int) -> str:
        return dotted(self._base(node) + slot)

    def _base(self, node: int) -> int:
        return _PODS + ((self._first + node) << self._bits) + 1

    def _slot_of(self, node: int, address: str) -> int:
        parts = address.split(".")
        if len(parts) != 4 or not all(part.isdecimal() for part in parts):
            return -1
        number = 0
        for part in parts:
            number = number << 8 | int(part)
        slot = number - self._base(node)
        return slot if 0 <= slot < (1 << self._bits) - 1 else -1
