"""The life of all pods of a fleet, as one state machine: what the watch tells and the passing of time in, what to write
out. Pure: time and chance are parameters.

`now` is seconds after the epoch, everywhere. What there is to write stands in `outbox`, first come, first served; a pod
is in it once, whatever happens to it while it waits, and not again before `wrote` or `failed` was called for it.
"""

from __future__ import annotations

import enum
import heapq
import random
from collections import Counter, deque
from collections.abc import Iterable

from arktos.hollow.addresses import Addresses, node_address
from arktos.hollow.options import Behaviour, Fleet
from arktos.hollow.record import Record, adopted, told
from arktos.hollow.stages import FINISHED, POWER, TRANSITIONS, Event, Stage
from arktos.hollow.view import Look, PodView
from arktos.model import dates

BACKOFF, LONGEST_BACKOFF = 10.0, 300.0
"""Seconds until a crashed container is started again, doubled each time up to the longest."""
_RESTARTED = (Stage.CRASHED, Stage.SHUTDOWN)
_RETRY, _LONGEST_RETRY = 0.2, 30.0


class Write(enum.Enum):
    """What a pod in the outbox wants of the server."""

    NOTHING = "nothing"
    STATUS = "status"
    DELETE = "delete"


class Machine:
    """All pods, by uid. `stages` counts them."""

    def __init__(self, fleet: Fleet, behaviour: Behaviour, chance: random.Random) -> None:
        self.outbox: deque[Record] = deque()
        self.records: dict[str, Record] = {}
        self.stages: Counter[Stage] = Counter()
        self._fleet = fleet
        self._behaviour = behaviour
        self._chance = chance
        self._addresses = Addresses(fleet.first, fleet.count, fleet.shape.pods)
        self._held = [0] * fleet.count
        self._timers: list[tuple[float, int, Record]] = []
        self._count = 0
        self._looks: dict[Look, Look] = {}
        self._stamp = (0, "")

    # what the watch tells

    def seen(self, view: PodView, now: float) -> None:
        """A pod as it is now. Pods of other nodes are passed over."""
        record = self.records.get(view.metadata.uid)
        if record is None:
            node = self._fleet.index(view.spec.node_name)
            if node < 0:
                return
            record = self._adopt(view, node, now)
        elif view.metadata.generation > record.generation:
            self._renew(record, view)
        self._judge_gates(record, view)
        machine = view.spec.virtual_machine
        power = (machine.power_spec or "Running") if machine is not None else ""
        if power != record.power:
            record.power = power
            self._plan(record, now)
        if view.metadata.deletion_timestamp is not None and not record.ending:
            record.ending = True
            self._plan(record, now, view.metadata.deletion_grace_period_seconds)

    def gone(self, uid: str) -> None:
        """A pod is no more."""
        record = self.records.pop(uid, None)
        if record is not None:
            self._release(record)
            self.stages[record.stage] -= 1
            record.timer = -1

    def keep(self, uids: Iterable[str]) -> None:
        """These are all pods that there are."""
        for uid in self.records.keys() - set(uids):
            self.gone(uid)

    # time

    def next_due(self) -> float | None:
        """When the next timer ends."""
        return self._timers[0][0] if self._timers else None

    def due(self, now: float) -> None:
        """Lets everything happen whose time has come."""
        timers = self._timers
        while timers and timers[0][0] <= now:
            _, number, record = heapq.heappop(timers)
            if record.timer == number:
                self._step(record, now)
            elif record.timer >= 0 and record.failures and not record.queued:
                self._enqueue(record)

    # what is written

    def wants(self, record: Record) -> Write:
        """What to write for a pod taken from the outbox."""
        if record.timer < 0:
            return Write.NOTHING
        if record.version > record.written:
            return Write.STATUS
        return Write.DELETE if record.ending and record.stage in FINISHED else Write.NOTHING

    def wrote(self, record: Record, version: int, *, deleted: bool = False) -> None:
        """The server has the status of this `version`, or the deletion."""
        record.queued, record.failures = False, 0
        record.written = max(record.written, version)
        if not deleted and self.wants(record) is not Write.NOTHING:
            self._enqueue(record)

    def failed(self, record: Record, now: float) -> float:
        """A write did not go through: it is tried again, in so many seconds."""
        record.queued = False
        pause = min(_LONGEST_RETRY, _RETRY * 2.0 ** min(record.failures, 20))
        record.failures += 1
        self._count += 1
        heapq.heappush(self._timers, (now + pause, self._count, record))
        return pause

    def host_ip(self, record: Record) -> str:
        return node_address(self._fleet.first + record.node)

    # within

    def _adopt(self, view: PodView, node: int, now: float) -> Record:
        record = adopted(view, node, self._look(view), self._now(now))
        record.seen_at = record.ran_at = now
        if record.stage is Stage.RUNNING and record.since:
            record.ran_at = min(now, dates.unix(record.since))
        self.records[record.uid] = record
        if record.stage not in FINISHED:
            self._house(record, view.status.pod_ip)
        self.stages[record.stage] += 1
        machine = view.spec.virtual_machine
        record.power = (machine.power_spec or "Running") if machine is not None else ""
        if not told(view.status.conditions or ()) and record.stage not in (Stage.SUCCEEDED, Stage.FAILED):
            self._change(record)
        self._plan(record, now)
        return record

    def _renew(self, record: Record, view: PodView) -> None:
        """The pod's spec has changed, or it is being deleted; the status of what ends tells of either at its end."""
        record.generation = view.metadata.generation
        record.look = self._look(view)
        if record.stage not in FINISHED and view.metadata.deletion_timestamp is None:
            self._change(record)

    def _house(self, record: Record, ip: str) -> None:
        """Gives a pod its address, or refuses it when its node is full."""
        node = record.node
        if self._held[node] < self._fleet.shape.pods or record.stage is not Stage.STARTING:
            slot = self._addresses.take(node, ip)
            if slot >= 0:
                self._held[node] += 1
                record.slot = slot
                host = record.look.host_network
                record.ip = self.host_ip(record) if host else self._addresses.address(node, slot)
                return
        record.stage = Stage.REJECTED

    def _release(self, record: Record) -> None:
        if record.slot >= 0:
            self._addresses.free(record.node, record.slot)
            self._held[record.node] -= 1
            record.slot = -1

    def _look(self, view: PodView) -> Look:
        """One and the same for all pods of a template. Those that no pod has any more are forgotten now and then."""
        look = Look.of(view.spec)
        known = self._looks.setdefault(look, look)
        if known is look and len(self._looks) > 1024 + len(self.records):
            self._looks = {record.look: record.look for record in self.records.values()}
        return known

    def _judge_gates(self, record: Record, view: PodView) -> None:
        gates = view.spec.readiness_gates
        if not gates:
            return
        values = {each.type: each.status for each in view.status.conditions or ()}
        said = []
        for kind in (gate.condition_type for gate in gates):
            if kind not in values:
                said.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
            elif values[kind] != "True":
                said.append(f'the status of pod readiness gate "{kind}" is not "True", but {values[kind]}')
        text = ", ".join(said)
        if text != record.gates:
            record.gates = text
            self._change(record)

    def _plan(self, record: Record, now: float, grace: int | None = None) -> None:
        """Sets the timer for what comes next, if anything does."""
        self._count += 1
        record.timer = self._count
        if record.stage in FINISHED:
            record.planned = None
            if record.ending:
                self._enqueue(record)
            return
        event, delay = self._ending(grace) if record.ending else self._next(record, now)
        record.planned = event
        if event is not None:
            heapq.heappush(self._timers, (now + delay, self._count, record))

    def _ending(self, grace: int | None) -> tuple[Event, float]:
        delay = self._behaviour.stop.sample(self._chance)
        return Event.STOP, delay if grace is None else min(delay, grace)

    def _next(self, record: Record, now: float) -> tuple[Event | None, float]:
        behaviour, chance, stage = self._behaviour, self._chance, record.stage
        if record.is_machine and record.power in POWER:
            aim, event = POWER[record.power]
            if stage is aim:
                return None, 0.0
            if event is not Event.START and stage is not Stage.STARTING:
                return event, behaviour.stop.sample(chance)
            if event is Event.SHUT_DOWN:
                return event, 0.0
            if stage is Stage.PAUSED:
                return event, behaviour.stop.sample(chance)
        if stage is Stage.RUNNING:
            if record.may_end and behaviour.run_time is not None:
                return Event.COMPLETE, max(0.0, record.ran_at + behaviour.run_time - now)
            return None, 0.0
        return self._start(record)

    def _start(self, record: Record) -> tuple[Event, float]:
        behaviour, chance, stage = self._behaviour, self._chance, record.stage
        delay = (behaviour.vm_start if record.is_machine else behaviour.start).sample(chance)
        if stage is Stage.CRASHED:
            delay += min(LONGEST_BACKOFF, BACKOFF * 2.0 ** min(record.restarts, 10))
        if behaviour.failure_rate and chance.random() < behaviour.failure_rate:
            fails = record.look.restart_policy == "Never" and stage is Stage.STARTING and not record.is_machine
            return Event.FAIL if fails else Event.CRASH, delay
        return Event.START, delay

    def _step(self, record: Record, now: float) -> None:
        event = record.planned
        assert event is not None
        before, stage = record.stage, TRANSITIONS[record.stage, event]
        stamp = self._now(now)
        if (before is Stage.RUNNING) is not (stage is Stage.RUNNING):
            record.turned = stamp
        if before in _RESTARTED and record.since and event in (Event.START, Event.CRASH):
            record.restarts += 1
        if before is Stage.STARTING and event is not Event.STOP and event is not Event.SHUT_DOWN:
            record.begun = record.begun or stamp
        if stage is Stage.RUNNING or (event in (Event.CRASH, Event.FAIL) and before is not Stage.RUNNING):
            record.since, record.ran_at = stamp, now
        record.stage, record.changed = stage, stamp
        self.stages[before] -= 1
        self.stages[stage] += 1
        if stage in FINISHED:
            self._release(record)
        self._change(record)
        self._plan(record, now)

    def _change(self, record: Record) -> None:
        record.changes()
        self._enqueue(record)

    def _enqueue(self, record: Record) -> None:
        if not record.queued:
            record.queued = True
            self.outbox.append(record)

    def _now(self, now: float) -> str:
        """RFC 3339; made once a second."""
        second = int(now)
        if self._stamp[0] != second:
            self._stamp = (second, dates.rfc3339(dates.from_unix(second)))
        return self._stamp[1]
