"""Disruption budgets, as preemption respects them: broken only where nothing else helps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from arktos.model import selectors_labels
from arktos.model.kinds import Obj
from arktos.model.selectors_labels import Requirements
from arktos.scheduler.pods import Pod
from arktos.scheduler.terms import compiled


class Budget(NamedTuple):
    selector: Requirements | None
    allowed: int
    disrupted: frozenset[str]


class Budgets:
    """All budgets, by tenant and namespace."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], dict[str, Budget]] = {}

    def changed(self, tenant: str, namespace: str, name: str, budget: Obj | None) -> None:
        there = self._known.setdefault((tenant, namespace), {})
        if budget is None:
            there.pop(name, None)
            if not there:
                del self._known[tenant, namespace]
            return
        selector = (budget.get("spec") or {}).get("selector")
        status = budget.get("status") or {}
        there[name] = Budget(
            None if selector is None else selectors_labels.from_object(selector),
            int(status.get("disruptionsAllowed") or 0),
            frozenset(status.get("disruptedPods") or ()),
        )

    def split(self, victims: Iterable[Pod]) -> tuple[list[Pod], list[Pod]]:
        """(those whose removal would break a budget, the others), both in the given order. Counts down as it goes."""
        spent: dict[tuple[str, str, str], int] = {}
        breaking: list[Pod] = []
        fine: list[Pod] = []
        for pod in victims:
            broken = False
            for name, budget in self._known.get(pod.key[:2], {}).items():
                if budget.selector is None or pod.name in budget.disrupted or not compiled(budget.selector)(pod.labels):
                    continue
                key = (*pod.key[:2], name)
                spent[key] = spent.get(key, 0) + 1
                broken = broken or spent[key] > budget.allowed
            (breaking if broken else fine).append(pod)
        return breaking, fine
