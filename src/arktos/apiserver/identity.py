"""Who asks: the authenticated user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from arktos.model.kinds import SYSTEM_TENANT


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated identity. `tenant` is part of it: the same name in two tenants is two users.
    `groups` are already cleaned: a tenant's credential can never claim a `system:` group (DESIGN 3)."""

    name: str
    tenant: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # A user is looked up by at every request, several times.
        object.__setattr__(self, "_hash", hash((self.name, self.tenant, self.groups, self.uid)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def is_system(self) -> bool:
        return self.tenant == SYSTEM_TENANT


ANONYMOUS = User("system:anonymous", "", ("system:unauthenticated",))
