"""Admission of definitions: the names they take, and their state, in the commit that stores them."""

from __future__ import annotations

import time
from collections.abc import Callable

from arktos.apiserver.admission import Attempt, Effects
from arktos.apiserver.custom.definitions import Definitions, unchanged
from arktos.apiserver.encoding import stamp
from arktos.model.custom import names
from arktos.model.kinds import Obj
from arktos.store.records import Store


class Naming:
    """Steps for the admission chain."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._definitions = Definitions(store)
        self._clock = clock

    def step(self, attempt: Attempt, effects: Effects) -> None:
        """A new definition is established at once when its names are free. What another commit takes meanwhile is
        sorted out afterwards (`upkeep`)."""
        if attempt.operation == "delete" or attempt.subresource:
            return
        obj = attempt.obj
        if _is_readable(obj):
            obj["status"] = names.accept(obj, self._definitions.outlines(attempt.call.tenant), stamp(self._clock()))


def _is_readable(obj: Obj) -> bool:
    """Whether there is enough of a definition to name it by; validation tells what is missing."""
    spec = obj.get("spec") or {}
    wanted = spec.get("names") or {}
    return bool(spec.get("group") and wanted.get("plural") and wanted.get("kind"))


def bound(attempt: Attempt, effects: Effects) -> None:
    """Binds a write of a custom resource to the definition that it is checked against."""
    if attempt.kind.custom is not None and attempt.operation != "delete":
        effects.preconditions.append(unchanged(attempt.kind))
