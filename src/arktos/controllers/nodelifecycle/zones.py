"""How many nodes may be given up at a time. Pure.

A zone where most nodes seem dead is a zone that we are cut off from: its pods are driven out slowly, or not at all in a
small one. A zone where all are dead is driven out as usual, unless that is so in all zones: then we ourselves are cut
off, and nothing is driven out anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from arktos.client.ratelimit import TokenBucket

RATE, SLOW_RATE = 0.1, 0.01
"""Nodes per second, in a healthy and in a disrupted zone."""
UNHEALTHY = 0.55
SMALL = 50
"""Nodes; a disrupted zone of at most so many is left alone."""
_REGION, _ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"


def zone_of(labels: Mapping[str, str]) -> str:
    """Region and zone as Kubernetes' measures name them; "" where a node has neither."""
    region, zone = labels.get(_REGION, ""), labels.get(_ZONE, "")
    return f"{region}:\x00:{zone}" if region or zone else ""


def rate(ready: int, unready: int) -> float:
    """Nodes per second that may be given up in a zone."""
    if ready and unready > 2 and unready / (ready + unready) >= UNHEALTHY:
        return SLOW_RATE if ready + unready > SMALL else 0.0
    return RATE


@dataclass(slots=True)
class _Zone:
    ready: int = 0
    unready: int = 0
    rate: float = -1.0
    bucket: TokenBucket | None = None


class Zones:
    """Nodes by zone, and the right to give one up. Times are any monotonic clock's, in seconds."""

    def __init__(self) -> None:
        self._nodes: dict[str, tuple[str, bool]] = {}
        self._zones: dict[str, _Zone] = {}
        self._ready = 0

    def put(self, node: str, zone: str, ready: bool) -> None:
        self.remove(node)
        self._nodes[node] = (zone, ready)
        self._count(zone, ready, 1)

    def remove(self, node: str) -> None:
        known = self._nodes.pop(node, None)
        if known is not None:
            self._count(*known, -1)

    def _count(self, name: str, ready: bool, by: int) -> None:
        zone = self._zones.setdefault(name, _Zone())
        if ready:
            zone.ready += by
            self._ready += by
        else:
            zone.unready += by

    @property
    def all_lost(self) -> bool:
        """Whether no node anywhere is ready: it is we who are cut off."""
        return bool(self._nodes) and not self._ready

    def may_give_up(self, name: str, now: float) -> bool:
        """Takes one node's turn, if there is one."""
        zone = self._zones.get(name)
        if zone is None or self.all_lost:
            return False
        allowed = rate(zone.ready, zone.unready)
        if not allowed:
            return False
        if zone.bucket is None or zone.rate != allowed:
            zone.rate, zone.bucket = allowed, TokenBucket(allowed, 1.0, now)
        return zone.bucket.allow(now)

    def sizes(self) -> Iterator[tuple[str, int, int]]:
        """(zone, ready nodes, nodes that are not) of every zone that has nodes."""
        for name, zone in self._zones.items():
            if zone.ready or zone.unready:
                yield name, zone.ready, zone.unready
