"""The life of one member of a ring, as a table: events in, actions out. No I/O, no clock, no randomness.

The truth is our instance as the server has it; what is not confirmed is not believed. While a call's fate is unknown
we work on what was ours before a call that could only add, and on nothing after one that could only take away.
`TABLE` is the whole life; docs/ring.md has its picture.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple

from arktos.ring import decisions
from arktos.ring.decisions import Gift
from arktos.ring.events import (
    Action,
    Bury,
    Drain,
    Drained,
    Event,
    Failed,
    Hold,
    Missing,
    Move,
    Own,
    Read,
    Refused,
    Register,
    Renew,
    Seen,
    Stopped,
    Ticked,
    Timing,
    Vanished,
    Withdraw,
    Written,
)
from arktos.ring.load import Load
from arktos.ring.records import Instance
from arktos.ring.view import Peers

NEVER = float("-inf")


class State(enum.Enum):
    OUT = "not registered"
    JOINING = "registering"
    WAITING = "owns nothing"
    CLAIMING = "taking a hole"
    ACTIVE = "works on its range"
    SILENT = "could not renew: works on nothing"
    DRAINING = "ends what moves away"
    GIVING = "giving a part away"
    UNSURE = "looks up what it owns"
    LEAVING = "ends all work"
    REMOVING = "deleting its instance"
    GONE = "left"


S = State


class Machine:
    """`name` is unique among all instances that ever were. A type that is not `shared` has one owner of the whole ring;
    the others wait."""

    def __init__(self, type: str, name: str, timing: Timing, load: Load, *, shared: bool = True) -> None:
        self.state = State.OUT
        self.own = Instance(type, name, "", 0)
        self.peers = Peers(type, name)
        self.passed: list[State] = []
        """The states that the last event led through."""
        self._timing = timing
        self._load = load
        self._shared = shared
        self._actions: list[Action] = []
        self._stopping = False
        self._renewing = False
        self._renewed_at = NEVER
        self._called_at = NEVER
        self._retry_at = NEVER
        self._drain_by = NEVER
        self._gift: Gift | None = None
        self._wrong: dict[str, float] = {}
        self._moved_at = NEVER

    def handle(self, event: Event) -> list[Action]:
        """What to do now. Events that say nothing in the present state are ignored."""
        self._actions = []
        self.passed = [self.state]
        self._note(event)
        before = None
        while self.state is not before:
            before = self.state
            rule = TABLE.get((self.state, type(event)))
            if rule is None:
                break
            following = rule.handler(self, event)
            assert following in rule.targets, (self.state, event, following)
            if following is not before:
                self.passed.append(following)
            self.state = following
            # What rests looks around at once.
            event = Ticked(event.now)
            if self.state not in RESTING:
                break
        return self._actions

    def wake_at(self) -> float:
        """When to send Ticked next, at the latest."""
        if self.state in (S.OUT, S.UNSURE, S.REMOVING):
            return self._retry_at
        if self.state in (S.DRAINING, S.LEAVING):
            return self._drain_by
        if self.state not in (S.WAITING, S.ACTIVE, S.SILENT):
            return float("inf")
        if self._renewing:
            due = self._renewed_at + self._timing.deadline if self.state is S.ACTIVE else float("inf")
        else:
            due = max(self._renewed_at + self._timing.renew, self._retry_at)
        return min(due, self.peers.next_death(), *(since + self._timing.patience for since in self._wrong.values()))

    # --- what every state takes note of

    def _note(self, event: Event) -> None:
        if isinstance(event, Seen):
            self.peers.seen(event.instance, event.now)
        elif isinstance(event, Vanished):
            self.peers.vanished(event.name, event.uid, event.now)
        elif isinstance(event, Stopped):
            self._stopping = True

    # --- handlers: each answers the next state

    def enter(self, event: Event) -> State:
        if self._stopping:
            return S.GONE
        if event.now < self._retry_at:
            return S.OUT
        self._call(Register(), event.now)
        return S.JOINING

    def joined(self, event: Written) -> State:
        self._confirm(event)
        return S.WAITING

    def look_around(self, event: Event) -> State:
        """Owns nothing: is there a hole for us?"""
        if self._lost_by(event):
            return self._lost(event.now)
        if self._stopping:
            return self._withdraw(event.now)
        following = self._renewal(event, S.WAITING)
        if self._renewing or following is not S.WAITING:
            return following
        self._bury(event.now)
        view = self.peers.view(self.own)
        wanted = decisions.claim(view, self.own.name) if event.now >= self._retry_at else None
        if wanted is not None:
            self._call(Move(self.own.rv, wanted, "", self.own.load), event.now)
            return S.CLAIMING
        self._renew_if_due(event.now)
        return S.WAITING

    def work(self, event: Event) -> State:
        """Owns a range: renew, grow into holes, give to those in need."""
        if self._lost_by(event):
            return self._lost(event.now)
        if self._stopping:
            self._begin_drain(event.now)
            return S.LEAVING
        following = self._renewal(event, S.ACTIVE)
        if self._renewing or following is not S.ACTIVE:
            return following
        if event.now >= self._renewed_at + self._timing.deadline:
            self._actions.append(Hold())
            self._renew_if_due(event.now)
            return S.SILENT
        self._bury(event.now)
        if event.now >= self._retry_at:
            wanted = decisions.claim(self.peers.view(self.own), self.own.name)
            if wanted is not None:
                self._call(Move(self.own.rv, wanted, "", self._report()), event.now)
                return S.CLAIMING
            self._gift = self._due_gift(event.now)
            if self._gift is not None:
                self._begin_drain(event.now)
                return S.DRAINING
        self._renew_if_due(event.now)
        return S.ACTIVE

    def fall_silent(self, event: Event) -> State:
        """Waits for a renewal that succeeds, or for the news that we are dead."""
        if self._lost_by(event):
            return self._lost(event.now)
        if self._stopping:
            return self._withdraw(event.now)
        if isinstance(event, Written):
            self._confirm(event)
            return self._resume(event.now)
        if isinstance(event, Failed | Refused):
            self._renewing = False
            self._retry_at = event.now + self._timing.retry
        self._renew_if_due(event.now)
        return S.SILENT

    def claimed(self, event: Written) -> State:
        self._confirm(event)
        self._moved_at = event.now
        return self._resume(event.now)

    def doubt(self, event: Event) -> State:
        self._retry_at = event.now
        return self.find_out(event)

    def find_out(self, event: Event) -> State:
        if isinstance(event, Failed):
            self._retry_at = event.now + self._timing.retry
            self._called_at = NEVER
            return S.UNSURE
        if event.now >= self._retry_at:
            self._retry_at = float("inf")
            self._call(Read(), event.now)
        return S.UNSURE

    def found(self, event: Written) -> State:
        self._confirm(event)
        # A view that led to a refusal is old: a moment later it will be better.
        self._retry_at = event.now + self._timing.retry / 20
        return self._resume(event.now)

    def drain(self, event: Event) -> State:
        if self._lost_by(event):
            return self._lost(event.now)
        if self._stopping:
            return S.LEAVING
        if not isinstance(event, Drained) and event.now < self._drain_by:
            return S.DRAINING
        gift = self._gift
        assert gift is not None
        self._call(Move(self.own.rv, gift.keep, gift.heir, self._report()), event.now)
        return S.GIVING

    def given(self, event: Written) -> State:
        self._confirm(event)
        self._moved_at = event.now
        self._wrong.clear()
        return self._resume(event.now)

    def leave(self, event: Event) -> State:
        if isinstance(event, Drained | Missing) or event.now >= self._drain_by:
            return self._withdraw(event.now)
        return S.LEAVING

    def withdraw(self, event: Event) -> State:
        return self._withdraw(event.now)

    def remove(self, event: Event) -> State:
        if isinstance(event, Failed):
            self._retry_at = event.now + self._timing.retry / 5
        if event.now >= self._retry_at:
            return self._withdraw(event.now)
        return S.REMOVING

    def gone(self, event: Event) -> State:
        self._actions.append(Own(None, self.own.epoch))
        return S.GONE

    def start_over(self, event: Event) -> State:
        return self._lost(event.now)

    # --- pieces

    def _call(self, action: Action, now: float) -> None:
        self._called_at = now
        self._actions.append(action)

    def _confirm(self, event: Written) -> None:
        """What the server says of us counts; our time runs from when we asked."""
        self._renewing = False
        if self._called_at >= self._renewed_at + self._timing.lease / 2:
            self.peers.forgive(event.now)
        self._renewed_at = max(self._renewed_at, self._called_at)
        self.own = event.instance

    def _resume(self, now: float) -> State:
        self._actions.append(Own(self.own.range, self.own.epoch))
        return S.WAITING if self.own.range is None else S.ACTIVE

    def _lost_by(self, event: Event) -> bool:
        return isinstance(event, Missing) or (isinstance(event, Vanished) and event.uid == self.own.uid)

    def _lost(self, now: float) -> State:
        """We were given up for dead. What was ours is another's, or will be."""
        self._actions.append(Own(None, self.own.epoch))
        self._renewing = False
        self._gift = None
        self._retry_at = now
        self.own = Instance(self.own.type, self.own.name, "", 0)
        return S.OUT

    def _renewal(self, event: Event, resting: State) -> State:
        """The answer to a renewal, if one is under way and the event is that."""
        if not self._renewing:
            return resting
        if isinstance(event, Written):
            moved = event.instance.range != self.own.range or event.instance.epoch != self.own.epoch
            self._confirm(event)
            # Somebody else has moved our boundary: an operator, or a call of ours that came late.
            return self._resume(event.now) if moved else resting
        if isinstance(event, Failed | Refused):
            self._renewing = False
            self._retry_at = event.now + self._timing.retry
        elif resting is S.ACTIVE and event.now >= self._renewed_at + self._timing.deadline:
            self._actions.append(Hold())
            return S.SILENT
        return resting

    def _renew_if_due(self, now: float) -> None:
        if not self._renewing and now >= max(self._renewed_at + self._timing.renew, self._retry_at):
            self._renewing = True
            self._call(Renew(self._report()), now)

    def _report(self) -> int:
        return round(self._load.total())

    def _bury(self, now: float) -> None:
        """Judges others, unless we ourselves are out of touch."""
        if now < self._renewed_at + self._timing.lease / 2:
            for each in self.peers.dead(now, self._timing.retry):
                self._actions.append(Bury(each.name, each.uid, each.rv))

    def _due_gift(self, now: float) -> Gift | None:
        if not self._shared or not self.peers:
            return None
        self._load.fade(now)
        # Others know of our load what we reported; in choosing who gives, so must we.
        gift = decisions.gift(self.peers.view(self.own), self.own.name, self._load)
        if gift is None:
            self._wrong.clear()
            return None
        if gift.urgent:
            return gift
        if now < max(self._moved_at, self.peers.moved_at) + self._timing.rest:
            return None
        self._wrong = {gift.reason: self._wrong.get(gift.reason, now)}
        return gift if now >= self._wrong[gift.reason] + self._timing.patience else None

    def _begin_drain(self, now: float) -> None:
        self._drain_by = now + self._timing.drain
        self._actions.append(Drain())

    def _withdraw(self, now: float) -> State:
        self._retry_at = float("inf")
        self._call(Withdraw(), now)
        return S.REMOVING


class Rule(NamedTuple):
    """`handler` answers one of `targets`."""

    handler: Callable[..., State]
    targets: frozenset[State]


def _rule(handler: Callable[..., State], *targets: State) -> Rule:
    return Rule(handler, frozenset(targets))


M = Machine
RESTING = frozenset({S.WAITING, S.ACTIVE, S.OUT})
_LOOKS = _rule(M.look_around, S.WAITING, S.CLAIMING, S.REMOVING, S.OUT, S.ACTIVE)
_WORKS = _rule(M.work, S.ACTIVE, S.SILENT, S.CLAIMING, S.DRAINING, S.LEAVING, S.OUT, S.WAITING)
_SILENT = _rule(M.fall_silent, S.SILENT, S.ACTIVE, S.WAITING, S.OUT, S.REMOVING)
_DRAINS = _rule(M.drain, S.DRAINING, S.GIVING, S.LEAVING, S.OUT)
_LOST = _rule(M.start_over, S.OUT)
_DOUBTS = _rule(M.doubt, S.UNSURE)

TABLE: dict[tuple[State, type[Event]], Rule] = {
    (S.OUT, Ticked): _rule(M.enter, S.OUT, S.JOINING, S.GONE),
    (S.OUT, Stopped): _rule(M.enter, S.GONE),
    (S.JOINING, Written): _rule(M.joined, S.WAITING),
    (S.JOINING, Refused): _DOUBTS,
    (S.JOINING, Failed): _DOUBTS,
    **{(S.WAITING, event): _LOOKS for event in (Ticked, Seen, Vanished, Written, Failed, Refused, Missing, Stopped)},
    (S.CLAIMING, Written): _rule(M.claimed, S.ACTIVE),
    (S.CLAIMING, Refused): _DOUBTS,
    (S.CLAIMING, Failed): _DOUBTS,
    (S.CLAIMING, Missing): _LOST,
    **{(S.ACTIVE, event): _WORKS for event in (Ticked, Seen, Vanished, Written, Failed, Refused, Missing, Stopped)},
    **{(S.SILENT, event): _SILENT for event in (Ticked, Vanished, Written, Failed, Refused, Missing, Stopped)},
    **{(S.DRAINING, event): _DRAINS for event in (Drained, Ticked, Vanished, Stopped)},
    (S.GIVING, Written): _rule(M.given, S.ACTIVE, S.WAITING),
    (S.GIVING, Refused): _DOUBTS,
    (S.GIVING, Failed): _DOUBTS,
    (S.GIVING, Missing): _LOST,
    (S.UNSURE, Ticked): _rule(M.find_out, S.UNSURE),
    (S.UNSURE, Failed): _rule(M.find_out, S.UNSURE),
    (S.UNSURE, Written): _rule(M.found, S.ACTIVE, S.WAITING),
    (S.UNSURE, Missing): _LOST,
    (S.UNSURE, Stopped): _rule(M.withdraw, S.REMOVING),
    (S.LEAVING, Drained): _rule(M.leave, S.REMOVING),
    (S.LEAVING, Ticked): _rule(M.leave, S.LEAVING, S.REMOVING),
    (S.LEAVING, Missing): _rule(M.leave, S.REMOVING),
    (S.REMOVING, Written): _rule(M.gone, S.GONE),
    (S.REMOVING, Missing): _rule(M.gone, S.GONE),
    (S.REMOVING, Refused): _rule(M.gone, S.GONE),
    (S.REMOVING, Failed): _rule(M.remove, S.REMOVING),
    (S.REMOVING, Ticked): _rule(M.remove, S.REMOVING),
}
