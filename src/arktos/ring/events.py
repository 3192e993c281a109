"""What the machine of one member is told, and what it asks for. Data only.

`now` is the member's own monotonic clock in seconds; no other clock is ever looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

from arktos.model.hashranges import Range
from arktos.ring.load import Load
from arktos.ring.records import Instance


@dataclass(frozen=True, slots=True)
class Event:
    now: float


@dataclass(frozen=True, slots=True)
class Ticked(Event):
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Seen(Event):
    """The watch shows an instance, perhaps late, perhaps twice, perhaps an older state after a newer one."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class Vanished(Event):
    """The watch shows that an instance is gone."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Written(Event):
    """The call under way was done: our own instance as it stands."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """The call under way was refused: the range is another's, or our instance was changed by somebody."""


@dataclass(frozen=True, slots=True)
class Missing(Event):
    """The server has no such instance of ours: it was given up for dead."""


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """The call under way got no answer: it was done, or it was not, or it will be."""


@dataclass(frozen=True, slots=True)
class Drained(Event):
    """All work that was under way has ended."""


@dataclass(frozen=True, slots=True)
class Stopped(Event):
    """The process is to end."""


class Action:
    """What the runner is to do. Of calls (Register, Renew, Move, Read, Withdraw) one is under way at a time; its answer
    comes back as Written, Refused, Missing or Failed."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Register(Action):
    """Create our instance, which owns nothing yet."""


@dataclass(frozen=True, slots=True)
class Renew(Action):
    """Say that we live, and how busy we are."""

    load: int


@dataclass(frozen=True, slots=True)
class Move(Action):
    """Own `range` (None: nothing) from now on, provided that our instance is still at revision `rv`."""

    rv: int
    range: Range | None
    heir: str
    load: int


@dataclass(frozen=True, slots=True)
class Read(Action):
    """Look our instance up."""


@dataclass(frozen=True, slots=True)
class Withdraw(Action):
    """Delete our instance: others may take what it owned."""


@dataclass(frozen=True, slots=True)
class Bury(Action):
    """Delete a dead member's instance, provided that it is still at the revision at which it fell silent. No answer is
    waited for: if it lives, that is refused."""

    name: str
    uid: str
    rv: int


@dataclass(frozen=True, slots=True)
class Own(Action):
    """Work on `range`, and on nothing else, under `epoch`. None: on nothing, and forget what is held of it."""

    range: Range | None
    epoch: int


@dataclass(frozen=True, slots=True)
class Drain(Action):
    """Begin no work; say Drained when what is under way has ended. The next Own ends it."""


@dataclass(frozen=True, slots=True)
class Hold(Action):
    """Begin no work until the next Own: we may have been given up for dead."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. Others wait `lease` for a silent member. It renews every third of that; without success for two thirds
    it stops working. `patience` is how long something must be wrong before it is put right, `rest` how long the ring is
    left alone after a boundary has moved, `drain` how long work under way may take to end."""

    lease: float = 15.0
    patience: float = 10.0
    rest: float = 30.0
    drain: float = 0.5
    retry: float = 1.0

    @property
    def renew(self) -> float:
        return self.lease / 3

    @property
    def deadline(self) -> float:
        return self.lease * 2 / 3


__all__ = [
    "Action",
    "Bury",
    "Drain",
    "Drained",
    "Event",
    "Failed",
    "Hold",
    "Load",
    "Missing",
    "Move",
    "Own",
    "Read",
    "Refused",
    "Register",
    "Renew",
    "Seen",
    "Stopped",
    "Ticked",
    "Timing",
    "Vanished",
    "Withdraw",
    "Written",
]
