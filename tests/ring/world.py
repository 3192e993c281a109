"""A server and the members of one ring without I/O: every message is in somebody's hands, and may stay there.

The server is the real rule (`hashranges.settle`) on plain dicts. Members may be slow, paused, killed; their clocks run
apart; answers and watch events come late, in any order, or never. Work is what members do with what they own: writes
under a tenure, which may be under way for as long as you like.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from arktos.model import hashranges
from arktos.model.hashranges import FULL, Range, RangeTaken, held
from arktos.ring import records
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
from arktos.ring.machine import Machine, State

TYPE = "ReplicaSet"


@dataclass
class Message:
    """What is under way: to the server (`action`), back (`answer`), a watch event, or a write under a tenure."""

    member: str
    action: Action | None = None
    answer: tuple[type[Event], dict[str, Any] | None] | None = None
    seen: dict[str, Any] | None = None
    vanished: tuple[str, str] | None = None
    work: tuple[str, int, int] | None = None
    call: int = 0


@dataclass
class Member:
    machine: Machine
    clock: float = 0.0
    owns: Range | None = None
    uid: str = ""
    epoch: int = 0
    open: bool = False
    draining: bool = False
    call: int = 0
    paused: bool = False
    stopped: bool = False


@dataclass
class World:
    timing: Timing = field(default_factory=Timing)
    shared: bool = True
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    revision: int = 100
    uids: int = 0
    members: dict[str, Member] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    messages: list[Message] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    worked: dict[int, list[tuple[str, int, int]]] = field(default_factory=dict)
    tenures: dict[tuple[str, int], int] = field(default_factory=dict)
    refused: int = 0
    steps: set[tuple[State, State]] = field(default_factory=set)

    # --- members

    def start(self, name: str, load: Load | None = None, clock: float = 0.0) -> None:
        self.members[name] = Member(Machine(TYPE, name, self.timing, load or Load(), shared=self.shared), clock)
        for each in self.objects.values():
            self.messages.append(Message(name, seen=copy.deepcopy(each)))
        self.tell(name, Ticked(clock))

    def tell(self, name: str, event: Event) -> None:
        member = self.members[name]
        actions = member.machine.handle(event)
        for action in actions:
            self._do(name, member, action)
        passed = member.machine.passed
        before, after = passed[0], passed[-1]
        if before is not after:
            self.log.append(f"{name}: {type(event).__name__} {before.name} -> {after.name}")
        self.steps |= set(pairwise(passed))
        if after is State.GONE:
            member.stopped = True

    def _do(self, name: str, member: Member, action: Action) -> None:
        match action:
            case Own(place, epoch):
                member.owns, member.epoch, member.uid = place, epoch, member.machine.own.uid
                member.open, member.draining = place is not None, False
                self.log.append(f"{name}: owns {_show(place)} epoch {epoch}")
            case Hold():
                member.open = False
            case Drain():
                member.open, member.draining = False, True
            case Bury():
                self.messages.append(Message(name, action))
            case _:
                member.call += 1
                self.messages.append(Message(name, action, call=member.call))

    def tick(self, name: str, seconds: float) -> None:
        member = self.members[name]
        member.clock += seconds
        self.tell(name, Ticked(member.clock))

    def stop(self, name: str) -> None:
        self.tell(name, Stopped(self.members[name].clock))

    def kill(self, name: str) -> None:
        """What it sent is still under way."""
        self.dead.add(name)
        del self.members[name]

    def write(self, name: str, point: int) -> None:
        """The member does some work on `point`, if it may: its write is under way from now on."""
        member = self.members[name]
        if member.open and member.owns is not None and member.owns.holds(point):
            self.messages.append(Message(name, work=(member.uid, member.epoch, point)))

    def edit(self, name: str, **fields: Any) -> None:
        """An operator changes an instance by hand."""
        there = self.objects[name]
        self._put(name, there, {**copy.deepcopy(there), **fields})

    def remove(self, name: str) -> None:
        """An operator deletes an instance."""
        self._remove(name)

    # --- messages

    def deliver(self, message: Message) -> None:
        """Takes one message one step on."""
        self.messages.remove(message)
        if message.work is not None:
            self._work(message.member, *message.work)
        elif message.action is not None:
            self._serve(message, message.action)
        elif message.member in self.members:
            self._hand_over(message)

    def lose(self, message: Message) -> None:
        """The message is lost; the member of a lost call or answer hears that it failed."""
        self.messages.remove(message)
        member = self.members.get(message.member)
        if member is not None and message.call and message.call == member.call:
            member.call += 1
            self.tell(message.member, Failed(member.clock))

    def resync(self) -> None:
        """Every watch begins anew: what it missed is made up for."""
        for to, member in self.members.items():
            for each in self.objects.values():
                self.messages.append(Message(to, seen=copy.deepcopy(each)))
            known = member.machine.peers.view(member.machine.own)
            for name, instance in known.items():
                there = self.objects.get(name)
                if instance.uid and (there is None or there["metadata"]["uid"] != instance.uid):
                    self.messages.append(Message(to, vanished=(name, instance.uid)))

    def time_out(self, message: Message) -> None:
        """The member gives a call up, which may yet be done."""
        member = self.members.get(message.member)
        if member is not None and message.call and message.call == member.call:
            member.call += 1
            self.tell(message.member, Failed(member.clock))

    def drained(self, name: str) -> None:
        member = self.members[name]
        member.draining = False
        self.tell(name, Drained(member.clock))

    def _hand_over(self, message: Message) -> None:
        member = self.members[message.member]
        now = member.clock
        if message.seen is not None:
            self.tell(message.member, Seen(now, records.read(message.seen, self.timing.lease)))
        elif message.vanished is not None:
            self.tell(message.member, Vanished(now, *message.vanished))
        elif message.answer is not None and message.call == member.call:
            kind, obj = message.answer
            event = kind(now) if obj is None else Written(now, records.read(obj, self.timing.lease))
            self.tell(message.member, event)

    # --- the server

    def _serve(self, message: Message, action: Action) -> None:
        name = message.member
        if isinstance(action, Bury):
            there = self.objects.get(action.name)
            if there is not None and self._is(there, action.uid, action.rv):
                self._remove(action.name)
            elif there is None:
                self.messages.append(Message(name, vanished=(action.name, action.uid)))
            return
        self.messages.append(Message(name, answer=self._answer(name, action), call=message.call))

    def _answer(self, name: str, action: Action) -> tuple[type[Event], dict[str, Any] | None]:
        there = self.objects.get(name)
        member = self.members.get(name)
        uid = member.machine.own.uid if member is not None else ""
        if isinstance(action, Register):
            if there is not None:
                return Refused, None
            self.uids += 1
            made = records.fresh(TYPE, name, self.timing.lease)
            made["metadata"]["uid"] = f"u{self.uids}"
            return self._put(name, None, made)
        if there is None:
            return Missing, None
        match action:
            case Read():
                return Written, copy.deepcopy(there)
            case Withdraw():
                self._remove(name)
                return Written, copy.deepcopy(there)
            case Renew(load):
                return self._patch(name, there, records.renewal(uid, load))
            case Move(rv, place, heir, load):
                return self._patch(name, there, records.moved(uid, rv, place, heir, load))
        raise AssertionError(action)

    def _patch(self, name: str, there: dict[str, Any], patch: dict[str, Any]) -> Any:
        meta = patch.pop("metadata")
        if not self._is(there, meta["uid"], int(meta.get("resourceVersion") or 0)):
            return Refused, None
        new = {**copy.deepcopy(there), **patch}
        return self._put(name, there, new)

    def _put(self, name: str, old: dict[str, Any] | None, new: dict[str, Any]) -> Any:
        others = [each for other, each in self.objects.items() if other != name]
        try:
            hashranges.settle(old, new, others)
        except RangeTaken:
            return Refused, None
        self.revision += 1
        new["metadata"]["resourceVersion"] = str(self.revision)
        self.objects[name] = new
        self._spread(lambda to: Message(to, seen=copy.deepcopy(new)))
        return Written, copy.deepcopy(new)

    def _remove(self, name: str) -> None:
        uid = self.objects.pop(name)["metadata"]["uid"]
        self._spread(lambda to: Message(to, vanished=(name, uid)))

    def _spread(self, make: Callable[[str], Message]) -> None:
        self.messages += [make(to) for to in self.members]

    @staticmethod
    def _is(there: dict[str, Any], uid: str, rv: int) -> bool:
        meta = there["metadata"]
        return meta["uid"] == uid and (not rv or meta["resourceVersion"] == str(rv))

    def _work(self, name: str, uid: str, epoch: int, point: int) -> None:
        """A write under a tenure: the server's check."""
        there = self.objects.get(name)
        place = None if there is None else held(there)
        right = there is not None and there["metadata"]["uid"] == uid and there.get("epoch") == epoch
        if not right or place is None or not place.holds(point):
            self.refused += 1
            return
        self.worked.setdefault(point, []).append((name, uid, epoch))  # type: ignore[arg-type]

    # --- what must hold

    def check(self) -> None:
        """Nobody's range overlaps another's, and no two tenures wrote to one point by turns."""
        owned = sorted(place for each in self.objects.values() if (place := held(each)) is not None)
        for one, other in pairwise(owned):
            assert not one.overlaps(other), self.story()
        for point, writers in self.worked.items():
            over: set[Any] = set()
            last: Any = None
            for writer in writers:
                if writer != last:
                    assert writer not in over, f"{point} was written by turns: {writers}\n{self.story()}"
                    over.add(last)
                    last = writer

    def covered(self) -> bool:
        """Whether every point has a living owner who works on it."""
        owned = sorted(member.owns for member in self.members.values() if member.open and member.owns is not None)
        return not hashranges.holes(owned) and owned == sorted(
            place for each in self.objects.values() if (place := held(each)) is not None
        )

    def settle(self, seconds: float = 120.0, step: float = 0.5, *, until: Callable[[], bool] | None = None) -> float:
        """Lets all messages through and time pass evenly; the seconds until the whole ring is owned."""
        passed = 0.0
        while True:
            self.flow()
            if (until or self.covered)():
                return passed
            assert passed < seconds, self.story()
            passed += step
            for name in list(self.members):
                if not self.members[name].stopped:
                    self.tick(name, step)

    def run(self, seconds: float, step: float = 0.5) -> None:
        for _ in range(round(seconds / step)):
            self.flow()
            for name in list(self.members):
                if not self.members[name].stopped:
                    self.tick(name, step)
        self.flow()

    def flow(self) -> None:
        """Delivers everything, in order, until nothing is under way."""
        for _ in range(10000):
            draining = [name for name, member in self.members.items() if member.draining]
            if self.messages:
                self.deliver(self.messages[0])
            elif draining:
                self.drained(draining[0])
            else:
                return
            self.check()
        raise AssertionError("the ring never comes to rest\n" + self.story())

    def story(self) -> str:
        return "\n".join(self.log[-80:])

    def ranges(self) -> dict[str, str]:
        """Who owns what, in sixteenths of the ring."""
        return {name: _show(held(each)) for name, each in sorted(self.objects.items())}


def _show(place: Range | None) -> str:
    if place is None:
        return "nothing"
    return f"{place.start * 16 / (FULL.end + 1):.3g}..{(place.end + 1) * 16 / (FULL.end + 1):.3g}"
