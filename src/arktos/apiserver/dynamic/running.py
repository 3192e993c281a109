"""Where expressions run: on the event loop for as long as that may take, then beside it.

What is too long for the loop starts anew in one thread, which gives way as it goes (`PatientFrame`), one evaluation at
a time, and a bounded number in line per tenant: a tenant's expressions hold up nobody else's requests, but those of
who also needs the thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from arktos.model import cel
from arktos.model.admission.policies import Run

Result = TypeVar("Result")

BUDGET = 2_000_000
"""Units for one evaluation of a whole policy beside the loop: some 600 ms of one processor."""
_IN_LINE = 4


class Runner:
    """Runs evaluations. For one event loop; `close` ends it."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="cel")
        self._waiting: dict[str, int] = {}

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def run(self, tenant: str, evaluate: Callable[[Run], Result]) -> Result:
        """`evaluate` on a budget; it must have no effects. EvaluationError, CostExceeded."""
        try:
            return evaluate(Run(cel.INLINE))
        except cel.CostExceeded:
            waiting = self._waiting.get(tenant, 0)
            if waiting >= _IN_LINE:
                raise
        self._waiting[tenant] = waiting + 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, evaluate, Run(BUDGET, patient=True))
        finally:
            self._waiting[tenant] -= 1
            if not self._waiting[tenant]:
                del self._waiting[tenant]
