"""How many nodes may be given up at a time. Pure.

A zone where most nodes seem dead is a zone that we are cut off from: its pods are driven out slowly, or not at all in a
small one. When all zones look dead, nothing is driven out.
"""

from __future__ import annotations

from collections.abc import Mapping

from arktos.client.ratelimit import TokenBucket

RATE, SLOW_RATE = 0.1, 0.01
"""Nodes per second, in a healthy and in a disrupted zone."""
UNHEALTHY = 0.55
SMALL = 50
"""Nodes; a disrupted zone of at most so many is left alone."""
_REGION, _ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"


def zone_of(labels: Mapping[str, str]) -> str:
    return f"{labels.get(_REGION, '')}/{labels.get(_ZONE, '')}"


def rate(ready: int, unready: int) -> float:
    """Nodes per second that may be given up in a zone."""
    if unready > 2 and unready / (ready + unready) >= UNHEALTHY:
        return SLOW_RATE if ready + unready > SMALL else 0.0
    return RATE


class Zones:
    """Nodes by zone, and the right to give one up. Times are any monotonic clock's, in seconds."""

    def __init__(self) -> None:
        self._nodes: dict[str, tuple[str, bool]] = {}
        self._buckets: dict[str, tuple[float, TokenBucket]] = {}

    def put(self, node: str, zone: str, ready: bool) -> None:
        self._nodes[node] = (zone, ready)

    def remove(self, node: str) -> None:
        self._nodes.pop(node, None)

    def may_give_up(self, zone: str, now: float) -> bool:
        """Takes one node's turn, if there is one."""
        if len(self._nodes) > 1 and not any(ready for _, ready in self._nodes.values()):
            return False
        ready = sum(1 for where, well in self._nodes.values() if where == zone and well)
        unready = sum(1 for where, well in self._nodes.values() if where == zone and not well)
        allowed = rate(ready, unready)
        if not allowed:
            return False
        known = self._buckets.get(zone)
        if known is None or known[0] != allowed:
            known = self._buckets[zone] = (allowed, TokenBucket(allowed, 1.0, now))
        return known[1].allow(now)
