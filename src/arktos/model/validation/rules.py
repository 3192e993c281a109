"""What a kind's rules are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from arktos.model.kinds import Obj
from arktos.model.validation.causes import Errors

Check = Callable[[Errors, Obj], None]
Transition = Callable[[Errors, Obj, Obj], None]


@dataclass(frozen=True, slots=True)
class Rules:
    """The checks of one kind, beyond metadata and schema.

    `always` holds for each state of an object, `desired` for each desired state (all but metadata and status): an
    update that leaves it alone is not asked. `create` is for the first state only, `update` says what may become of
    what (new, old). A subresource has its own transition, in place of all of these.
    """

    desired: Check | None = None
    always: Check | None = None
    create: Check | None = None
    update: Transition | None = None
    subresources: Mapping[str, Transition] = field(default_factory=dict)
