"""Follows how the runtimes are: closely while one of them is not ready, from afar once all are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from arktos.agent.node import runtime_health
from arktos.agent.node.conditions import RuntimeState
from arktos.agent.runtimes import Runtime

STARTING, DOWN, WELL = 0.05, 1.0, 5.0
"""Seconds between two looks: until every runtime was ready for the first time, while one is not, and else."""

STARTS_WITHIN = 30.0
"""Seconds after which a runtime that was never ready is no longer looked at as one that starts."""


class RuntimeWatch:
    """`states` is what the runtimes said last, none before the first look. `changed` is called when one of them became
    ready, or is no longer."""

    def __init__(self, runtimes: Sequence[Runtime], changed: Callable[[], None]) -> None:
        self._runtimes = runtimes
        self._changed = changed
        self.states: Sequence[RuntimeState] = ()

    @property
    def problem(self) -> str | None:
        """Why not all runtimes can run pods; None when they can."""
        if not self.states and self._runtimes:
            return "the runtimes have not been asked yet"
        return next((f"runtime {each.name}: {each.problems[0]}" for each in self.states if not each.ready), None)

    async def look(self) -> Sequence[RuntimeState]:
        """Asks all runtimes now."""
        before = {each.name: each.ready for each in self.states}
        self.states = await runtime_health.states(self._runtimes)
        if before != {each.name: each.ready for each in self.states}:
            self._changed()
        return self.states

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        starting_until = loop.time() + STARTS_WITHIN
        while True:
            await self.look()
            if self.problem is None:
                starting_until, pause = 0.0, WELL
            else:
                pause = STARTING if loop.time() < starting_until else DOWN
            await asyncio.sleep(pause)
