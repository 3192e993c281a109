"""Admission: what a write must meet, and what it brings along, beyond its own object.

Each step takes an `Attempt` and may change its object, refuse it with an ApiError, or add preconditions and writes to
the commit. Steps are listed per resource in one table, in order; `"*"` steps run for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from arktos.apiserver.call import Call
from arktos.apiserver.commits import refused
from arktos.apiserver.reads import NotedStore, Read
from arktos.model.kinds import Kind, Obj
from arktos.store.records import Key, Live, Precondition, PreconditionFailed, Store, Write


@dataclass(frozen=True, slots=True)
class Attempt:
    """A write about to happen. `operation` is create, update, patch or delete; `obj` is the stored version's object
    (for a delete, the object as it stands); `old` is None on create. `sent` is the object as its writer wants it, where
    webhooks or policies of the tenant have changed it since: what they add is not its writer's, whose rights do not
    speak for it."""

    call: Call
    kind: Kind
    operation: str
    obj: Obj
    old: Obj | None
    subresource: str
    sent: Obj | None = None


@dataclass(slots=True)
class Effects:
    """What the commit must check and write besides. `reads` is what the resource's own steps decided by, None where
    that is not known, or where they left something for this one commit."""

    preconditions: list[Precondition] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    reads: Sequence[Read] | None = None


Step = Callable[[Attempt, Effects], None]
Release = Callable[[Obj], Sequence[Write]]
Charge = Callable[[Key, Obj | None, Obj | None], Effects | None]
"""From a key and its object before and after a write (None: there is none) to what quotas add to the commit, None for
nothing. Forbidden where one is exceeded."""


def free(key: Key, old: Obj | None, new: Obj | None) -> None:
    """The charge of who has no quotas."""


class Admission:
    """The chain. `steps` maps a group-resource, or `"*"`, to its steps; `releases` what a removed object gives back.

    A resource with a release draws what it takes at random, so a create of it that loses a race is tried again.
    `charge` is asked in the turn of the commit, when all else is settled. `noted` is the store of steps whose reads are
    to be known."""

    def __init__(
        self,
        store: Store,
        steps: Mapping[str, Sequence[Step]],
        releases: Mapping[str, Release] | None = None,
        charge: Charge = free,
        noted: NotedStore | None = None,
    ) -> None:
        self._store = store
        self._noted = noted
        self.charge = charge
        self._releases = dict(releases or {})
        self._general = tuple(steps.get("*", ()))
        self._own = {resource: tuple(own) for resource, own in steps.items() if resource != "*"}

    def admit(self, attempt: Attempt) -> Effects:
        effects = self.admit_any(attempt)
        own = self._own.get(attempt.kind.resource)
        if own is None:
            return effects
        noted = self._noted
        if noted is not None:
            noted.take()
        before = len(effects.preconditions) + len(effects.writes)
        for step in own:
            step(attempt, effects)
        if noted is not None and len(effects.preconditions) + len(effects.writes) == before:
            effects.reads = noted.take()
        return effects

    def admit_any(self, attempt: Attempt) -> Effects:
        """What the steps for all resources say: the part of `admit` that is of the call rather than of its object."""
        effects = Effects()
        for step in self._general:
            step(attempt, effects)
        return effects

    def draws(self, resource: str) -> bool:
        return resource in self._releases

    def release(self, resource: str, obj: Obj) -> Sequence[Write]:
        """Writes that go with the removal of `obj`."""
        give_back = self._releases.get(resource)
        return give_back(obj) if give_back is not None else ()

    def require_parents(self, preconditions: Sequence[Precondition], about: Key) -> None:
        """What a commit would check of parents, for a dry run of a write to `about`."""
        for condition in preconditions:
            if isinstance(condition, Live):
                current = self._store.get(condition.key)
                if current is None or current.header.deleting:
                    raise refused(PreconditionFailed(condition, current), about)
