"""Who is asked when: a task per running container and probe, from the container's start to its end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from arktos.agent.probes.checks import Finding, Target, check
from arktos.agent.probes.judging import KINDS, LIVENESS, READINESS, STARTUP, Found, Judge, read
from arktos.model.kinds import Obj

_TITLES = {LIVENESS: "Liveness", READINESS: "Readiness", STARTUP: "Startup"}

Changed = Callable[[str], None]
"""Takes the uid of a pod of which a verdict changed."""
Said = Callable[[str, Obj, str, str], None]
"""Takes a pod's uid, one of its containers, and an event's reason and message; the event is a warning."""


@dataclass(frozen=True, slots=True)
class Probed:
    """A running container. `started_at` in seconds after the epoch. `was_started` and `was_ready` are what was known
    of this very container before this process began to look at it, None if nothing was."""

    uid: str
    target: Target
    started_at: float
    was_started: bool | None = None
    was_ready: bool | None = None


class Verdicts(Mapping[tuple[str, str], bool]):
    """What is known, by container id and probe field."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], bool] = {}

    def __getitem__(self, key: tuple[str, str]) -> bool:
        return self.known[key]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)


class Probes:
    """All probes of this node. `changed` is called when a verdict changes, `said` for every failure."""

    def __init__(self, changed: Changed, said: Said) -> None:
        self.verdicts = Verdicts()
        self._changed = changed
        self._said = said
        self._tasks: dict[str, dict[tuple[str, str], asyncio.Task[None]]] = {}
        self._started: dict[str, asyncio.Event] = {}

    def follow(self, uid: str, running: Iterable[Probed]) -> None:
        """Makes the probes of a pod those of exactly these containers."""
        mine = self._tasks.setdefault(uid, {})
        wanted: set[str] = set()
        for each in running:
            wanted.add(each.target.container_id)
            self._begin(each, mine)
        for key in [key for key in mine if key[0] not in wanted]:
            mine.pop(key).cancel()
            self.verdicts.known.pop(key, None)
            self._started.pop(key[0], None)
        if not mine:
            del self._tasks[uid]

    def forget(self, uid: str) -> None:
        """Ends the probes of a pod."""
        self.follow(uid, ())

    async def aclose(self) -> None:
        tasks = [task for mine in self._tasks.values() for task in mine.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _begin(self, each: Probed, mine: dict[tuple[str, str], asyncio.Task[None]]) -> None:
        container_id, container = each.target.container_id, each.target.container
        for kind in KINDS:
            key = (container_id, kind)
            if not container.get(kind) or key in mine:
                continue
            if kind == STARTUP and each.was_started:
                self.verdicts.known[key] = True
            elif kind == READINESS and each.was_ready is not None:
                self.verdicts.known[key] = each.was_ready
            mine[key] = asyncio.create_task(self._run(each, kind), name=f"{kind} {container_id[:12]}")

    async def _run(self, each: Probed, kind: str) -> None:
        """Asks until a startup or liveness probe has decided against the container, or it is no longer followed."""
        key = (each.target.container_id, kind)
        probe = read(each.target.container[kind])
        judge = Judge(probe, self.verdicts.get(key))
        begun = self._started.setdefault(each.target.container_id, asyncio.Event())
        if kind == STARTUP:
            if judge.verdict:
                begun.set()
                return
        elif each.target.container.get(STARTUP):
            await begun.wait()
        left = each.started_at + probe.initial_delay - time.time()
        if left > 0:
            await asyncio.sleep(left)
        elif each.was_started is not None:
            # This process has just begun: not all containers of the node at once.
            await asyncio.sleep(random.uniform(0, min(probe.period, 10.0)))
        while True:
            found = await check(probe.handler, each.target, probe.timeout)
            if self._take(each, kind, judge, found):
                return
            await asyncio.sleep(probe.period)

    def _take(self, each: Probed, kind: str, judge: Judge, finding: Finding) -> bool:
        """Counts a result. True if nothing more is to be asked."""
        found, text = finding
        if found is Found.FAILURE:
            self._said(each.uid, each.target.container, "Unhealthy", f"{_TITLES[kind]} probe failed: {text}")
        elif found is Found.UNKNOWN:
            self._said(each.uid, each.target.container, "Unhealthy", f"{_TITLES[kind]} probe errored: {text}")
        if not judge.take(found):
            return False
        verdict = bool(judge.verdict)
        self.verdicts.known[each.target.container_id, kind] = verdict
        if kind == STARTUP and verdict:
            self._started[each.target.container_id].set()
        self._changed(each.uid)
        return (kind == STARTUP) or (kind == LIVENESS and not verdict)
