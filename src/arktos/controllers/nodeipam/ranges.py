"""The blocks of a range, and who has which: pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence


class Exhausted(Exception):
    """Every block is taken."""


class Ranges:
    """`cluster` ("10.244.0.0/16") cut into blocks of prefix length `mask`. Holders are any strings (uids of nodes).

    Blocks are given in turn, so that one that came back rests as long as it can. ValueError for a range that is none,
    or that has no block of that length.
    """

    def __init__(self, cluster: str, mask: int) -> None:
        self._network = ipaddress.ip_network(cluster)
        if not self._network.prefixlen <= mask <= self._network.max_prefixlen:
            raise ValueError(f"{cluster} has no blocks of /{mask}")
        if mask - self._network.prefixlen > 24:
            raise ValueError(f"{cluster} has too many blocks of /{mask}: at most 2^24")
        self._mask = mask
        self._size = 1 << (self._network.max_prefixlen - mask)
        self._count = 1 << (mask - self._network.prefixlen)
        self._holders: dict[int, str] = {}
        self._held: dict[str, set[int]] = {}
        self._next = 0

    def holds(self, holder: str) -> bool:
        return holder in self._held

    def block(self, holder: str) -> str | None:
        """The first block of a holder, None for none."""
        mine = self._held.get(holder)
        return self._text(min(mine)) if mine else None

    def take(self, holder: str) -> str:
        """A free block, now the holder's; the one it has, if it has one. Raises Exhausted."""
        mine = self.block(holder)
        if mine is not None:
            return mine
        if len(self._holders) >= self._count:
            raise Exhausted(f"all {self._count} blocks of {self._network} are taken")
        while self._next in self._holders:
            self._next = (self._next + 1) % self._count
        index = self._next
        self._next = (index + 1) % self._count
        self._holders[index] = holder
        self._held[holder] = {index}
        return self._text(index)

    def occupy(self, holder: str, blocks: Sequence[str]) -> list[str]:
        """Notes what a holder has, whoever gave it: all blocks that its ranges touch. What lies outside of our range
        is none of our business. Those of `blocks` that another holder has too (it keeps them)."""
        doubled = []
        for text in blocks:
            touched = self._touched(text)
            if any(self._holders.get(index, holder) != holder for index in touched):
                doubled.append(text)
            for index in touched:
                if self._holders.setdefault(index, holder) == holder:
                    self._held.setdefault(holder, set()).add(index)
        return doubled

    def release(self, holder: str) -> None:
        """Its blocks are free again."""
        for index in self._held.pop(holder, ()):
            del self._holders[index]

    def _touched(self, text: str) -> range:
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            return range(0)
        if network.version != self._network.version or not network.overlaps(self._network):
            return range(0)
        base = int(self._network.network_address)
        first = max(int(network.network_address) - base, 0) // self._size
        last = min((int(network.broadcast_address) - base) // self._size, self._count - 1)
        return range(first, last + 1)

    def _text(self, index: int) -> str:
        address = self._network.network_address + index * self._size
        return f"{address}/{self._mask}"
