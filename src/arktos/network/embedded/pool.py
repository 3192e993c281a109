"""The addresses of a node: which is given next. Pure.

An address that was given back is given again as late as possible: others may still believe it is whose it was. So
first come those never used, then those given back, the longest ago first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

_RESERVED_LOW = 2
"""The network's own address, and the gateway's."""
_LARGEST_PREFIX = 29


class Exhausted(Exception):
    """No address is left."""


class Pool:
    """The addresses of one network but the first two and the last. ValueError for one that is too small."""

    def __init__(self, network: IPv4Network) -> None:
        if network.prefixlen > _LARGEST_PREFIX:
            raise ValueError(f"a pool of addresses must be a /{_LARGEST_PREFIX} or larger, not {network}")
        self.network = network
        self.gateway = network.network_address + 1
        self._next = _RESERVED_LOW
        self._end = network.num_addresses - 1
        self._taken: set[int] = set()
        self._returned: deque[int] = deque()

    def __len__(self) -> int:
        """How many are taken."""
        return len(self._taken)

    @property
    def capacity(self) -> int:
        return self._end - _RESERVED_LOW

    def __contains__(self, address: IPv4Address) -> bool:
        """Whether the address is taken."""
        return self._offset(address) in self._taken

    def take(self, wanted: IPv4Address | None = None) -> IPv4Address:
        """`wanted` if it was given back, else the next. Raises Exhausted."""
        if wanted is not None and self._offset(wanted) in self._returned:
            offset = self._offset(wanted)
            self._returned.remove(offset)
        elif self._next < self._end:
            offset = self._next
            self._next += 1
        elif self._returned:
            offset = self._returned.popleft()
        else:
            raise Exhausted(f"all {self.capacity} addresses of {self.network} are in use")
        self._taken.add(offset)
        return self.network.network_address + offset

    def give_back(self, address: IPv4Address) -> None:
        """One that is not taken is ignored."""
        offset = self._offset(address)
        if offset in self._taken:
            self._taken.discard(offset)
            self._returned.append(offset)

    def state(self) -> dict[str, Any]:
        """What `restored` needs, beside who has which address."""
        return {"network": str(self.network), "next": self._next, "returned": list(self._returned)}

    @classmethod
    def restored(cls, network: IPv4Network, state: Any, taken: Iterable[IPv4Address]) -> Pool:
        """The pool as it was, as far as `state` can be believed; what is `taken` decides. Addresses outside of the
        network are ignored."""
        pool = cls(network)
        pool._taken = {offset for address in taken if _RESERVED_LOW <= (offset := pool._offset(address)) < pool._end}
        before = state if isinstance(state, dict) and state.get("network") == str(network) else {}
        marked = before.get("next")
        returned = before.get("returned")
        order = [offset for offset in returned if type(offset) is int] if isinstance(returned, list) else []
        # A record may be newer than the note: what is taken lies below the mark, whatever the note says.
        used = max([*pool._taken, *order], default=0) + 1
        pool._next = min(max(marked if type(marked) is int else 0, used, _RESERVED_LOW), pool._end)
        # What lies below the mark and was not noted as returned was returned last, for all we know.
        known = dict.fromkeys(offset for offset in order if _RESERVED_LOW <= offset < pool._next)
        known.update(dict.fromkeys(range(_RESERVED_LOW, pool._next)))
        pool._returned = deque(offset for offset in known if offset not in pool._taken)
        return pool

    def _offset(self, address: IPv4Address) -> int:
        return int(address) - int(self.network.network_address)
