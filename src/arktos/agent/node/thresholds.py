"""When a resource of the node is short: thresholds, what is observed against them, and how long pressure lasts. Pure.

Signals, defaults and the syntax of the options are those of Kubernetes' node-pressure eviction. What is finer there is
here as well: a soft threshold must hold for its grace period, a reclaim goes on until a minimum beyond the threshold
is free, and a condition is kept for a while after its last cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from arktos.model.quantity import Format, Quantity, QuantityError, parse

MEMORY, NODEFS, NODEFS_INODES = "memory.available", "nodefs.available", "nodefs.inodesFree"
IMAGEFS, IMAGEFS_INODES, PIDS = "imagefs.available", "imagefs.inodesFree", "pid.available"

RESOURCES: Mapping[str, str] = {
    MEMORY: "memory",
    NODEFS: "ephemeral-storage",
    IMAGEFS: "ephemeral-storage",
    NODEFS_INODES: "inodes",
    IMAGEFS_INODES: "inodes",
    PIDS: "pids",
}
"""What a signal is short of, as messages name it."""

CONDITIONS: Mapping[str, str] = {
    MEMORY: "MemoryPressure",
    NODEFS: "DiskPressure",
    IMAGEFS: "DiskPressure",
    NODEFS_INODES: "DiskPressure",
    IMAGEFS_INODES: "DiskPressure",
    PIDS: "PIDPressure",
}

DEFAULT_HARD = (
    "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%,imagefs.inodesFree<5%"
)


class Amount(NamedTuple):
    """A quantity, or a part of what there is (`percent` > 0)."""

    quantity: int = 0
    percent: float = 0.0

    def of(self, capacity: int) -> int:
        return int(capacity * self.percent / 100) if self.percent else self.quantity


class Threshold(NamedTuple):
    """Met while less than `amount` is available; `grace` seconds long for a soft one, 0 for a hard one. A reclaim goes
    on until `reclaim` more than `amount` is there."""

    signal: str
    amount: Amount
    grace: float = 0.0
    reclaim: Amount = Amount()


class Observation(NamedTuple):
    """What there is of a signal's resource, and what is available: bytes, inodes or processes."""

    available: int
    capacity: int


Observations = Mapping[str, Observation]


def parse_thresholds(text: str, graces: Mapping[str, float] | None = None, reclaim: str = "") -> tuple[Threshold, ...]:
    """`memory.available<100Mi,nodefs.available<10%`; with `graces` they are soft ones. An amount of 0 or 0% switches a
    threshold off. Raises ValueError, saying which part is malformed."""
    margins = parse_amounts(reclaim)
    found: list[Threshold] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        signal, operator, amount = entry.partition("<")
        if not operator or signal not in RESOURCES:
            raise ValueError(
                f"malformed eviction threshold {entry!r}: want SIGNAL<AMOUNT, SIGNAL of {sorted(RESOURCES)}"
            )
        if any(other.signal == signal for other in found):
            raise ValueError(f"eviction signal {signal!r} is named twice")
        if graces is not None and signal not in graces:
            raise ValueError(f"the soft eviction threshold of {signal!r} has no grace period")
        parsed = _amount(amount, entry)
        if parsed != Amount():
            found.append(Threshold(signal, parsed, (graces or {}).get(signal, 0.0), margins.get(signal, Amount())))
    return tuple(found)


def parse_amounts(text: str) -> dict[str, Amount]:
    """`memory.available=50Mi,nodefs.available=5%`. Raises ValueError."""
    found: dict[str, Amount] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        signal, equals, amount = entry.partition("=")
        if not equals or signal not in RESOURCES:
            raise ValueError(f"malformed eviction amount {entry!r}: want SIGNAL=AMOUNT, SIGNAL of {sorted(RESOURCES)}")
        found[signal] = _amount(amount, entry)
    return found


def _amount(text: str, entry: str) -> Amount:
    if text.endswith("%"):
        try:
            percent = float(text[:-1])
        except ValueError:
            percent = -1.0
        if not 0 <= percent <= 100:
            raise ValueError(f"malformed eviction amount {entry!r}: a percentage is from 0% to 100%")
        return Amount(percent=percent)
    try:
        quantity = parse(text)
    except QuantityError as error:
        raise ValueError(f"malformed eviction amount {entry!r}: {error}") from error
    if quantity.sign < 0:
        raise ValueError(f"malformed eviction amount {entry!r}: it must not be negative")
    return Amount(quantity.value)


@dataclass(frozen=True, slots=True)
class EvictionOptions:
    """`transition` is for how many seconds a pressure condition outlives its last cause, `period` how many seconds are
    between two looks."""

    thresholds: tuple[Threshold, ...] = field(default_factory=lambda: parse_thresholds(DEFAULT_HARD))
    transition: float = 300.0
    period: float = 10.0


@dataclass(frozen=True, slots=True)
class Pressure:
    """What is remembered between two looks: since when each threshold is met without a break, and when each condition
    was last caused. Times are seconds of one monotonic clock."""

    first_met: Mapping[Threshold, float] = field(default_factory=dict)
    last_caused: Mapping[str, float] = field(default_factory=dict)
    met: tuple[Threshold, ...] = ()

    def conditions(self, now: float, transition: float) -> frozenset[str]:
        """The pressure conditions that hold."""
        return frozenset(name for name, at in self.last_caused.items() if now - at < transition)


def look(
    before: Pressure, thresholds: Iterable[Threshold], observations: Observations, now: float, transition: float
) -> Pressure:
    """The pressure after an observation. `met` of the result are the thresholds to act upon: those that are met now and
    were for their grace period, and those that were acted upon before and have not got their minimum back."""
    thresholds = tuple(thresholds)
    below = [t for t in thresholds if is_met(t, observations)]
    unresolved = [t for t in before.met if t not in below and is_met(t, observations, with_reclaim=True)]
    holding = [*below, *unresolved]
    first = {t: before.first_met.get(t, now) for t in holding}
    caused = {name: at for name, at in before.last_caused.items() if now - at < transition}
    caused.update({CONDITIONS[t.signal]: now for t in holding})
    return Pressure(first, caused, tuple(t for t in holding if now - first[t] >= t.grace))


def is_met(threshold: Threshold, observations: Observations, *, with_reclaim: bool = False) -> bool:
    """Whether less is available than the threshold wants. A signal that was not observed meets none."""
    seen = observations.get(threshold.signal)
    if seen is None:
        return False
    wanted = threshold.amount.of(seen.capacity)
    if with_reclaim:
        wanted += threshold.reclaim.of(seen.capacity)
    return seen.available < wanted


def shown(signal: str, amount: int) -> Quantity:
    """An amount of a signal as messages write it."""
    return Quantity.of(amount, Format.DECIMAL if RESOURCES[signal] in ("inodes", "pids") else Format.BINARY)


def hard_reserve(thresholds: Iterable[Threshold], capacities: Mapping[str, int]) -> dict[str, int]:
    """Bytes of each node resource that hard thresholds keep from pods; `capacities` by signal."""
    found: dict[str, int] = {}
    for threshold in thresholds:
        if threshold.grace == 0 and threshold.signal in (MEMORY, NODEFS):
            found[RESOURCES[threshold.signal]] = threshold.amount.of(capacities.get(threshold.signal, 0))
    return found
