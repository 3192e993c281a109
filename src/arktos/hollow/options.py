"""What a fleet of hollow nodes is like. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

DIGITS = 5
MOST = 10**DIGITS
"""Numbers of nodes are below this: names have a fixed width, so that a range of names is a range of numbers."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds: uniformly between `mean - jitter` and `mean + jitter`, and never less than nothing."""

    mean: float
    jitter: float = 0.0

    def sample(self, chance: random.Random) -> float:
        if not self.jitter:
            return self.mean
        return max(0.0, self.mean + self.jitter * (2.0 * chance.random() - 1.0))


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How pods fare. `failure_rate` is the chance that a start ends in a crash; `run_time` is how long pods run that
    may end (restartPolicy other than Always; never a virtual machine), None for ever. Seconds."""

    start: Latency = Latency(1.0, 0.5)
    vm_start: Latency = Latency(5.0, 2.0)
    stop: Latency = Latency(0.5, 0.25)
    failure_rate: float = 0.0
    run_time: float | None = 10.0


@dataclass(frozen=True, slots=True)
class NodeShape:
    """What every node says of itself. `cpu` and `memory` are quantities as Kubernetes writes them."""

    cpu: str = "32"
    memory: str = "256Gi"
    pods: int = 110
    taint: bool = False


@dataclass(frozen=True, slots=True)
class Fleet:
    """Which nodes there are: `count` of them, numbered from `first`; in `zones` zones by turns (0: no zones).
    `heartbeat` and `status_heartbeat` are the periods of Lease and status, seconds."""

    count: int
    first: int = 0
    prefix: str = "hollow"
    zones: int = 3
    shape: NodeShape = NodeShape()
    heartbeat: float = 40.0
    status_heartbeat: float = 300.0

    def name(self, index: int) -> str:
        """The name of the node at `index`, from 0."""
        return f"{self.prefix}-{self.first + index:0{DIGITS}}"

    def index(self, name: str) -> int:
        """The inverse of `name`; -1 for a node that is not of this fleet."""
        prefix, _, digits = name.rpartition("-")
        if prefix != self.prefix or len(digits) != DIGITS or not digits.isdecimal():
            return -1
        index = int(digits) - self.first
        return index if 0 <= index < self.count else -1

    @property
    def selector(self) -> str:
        """The field selector of the pods that are bound to nodes of this fleet."""
        return f"spec.nodeName=gte:{self.name(0)},spec.nodeName=lte:{self.name(self.count - 1)}"
