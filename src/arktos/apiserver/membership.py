"""Which groups a user is in: what a credential may claim, and what the server adds. Pure.

* Everyone who has authenticated is in `system:authenticated`.
* Every user of a tenant other than `system` is in `arktos:tenants` and in `arktos:tenant:NAME`. No credential can claim
  an `arktos:` group.
* `system:` groups that a credential claims count in `system` only; a tenant's are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from arktos.model.kinds import RESERVED_TENANTS, SYSTEM_TENANT

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
MASTERS = "system:masters"
SERVICE_ACCOUNTS = "system:serviceaccounts"
TENANTS = "arktos:tenants"

_RESERVED_PREFIX = "arktos:"
_SYSTEM_PREFIX = "system:"
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def is_tenant_name(name: str) -> bool:
    """Whether a credential may name this tenant: a DNS label that is not reserved."""
    return name not in RESERVED_TENANTS and _LABEL.fullmatch(name) is not None


def tenant_group(tenant: str) -> str:
    """The group that all users of a tenant are in, by which `system` grants them rights."""
    return f"{_RESERVED_PREFIX}tenant:{tenant}"


def tenant_groups(tenant: str) -> tuple[str, ...]:
    """The groups that being of `tenant` alone gives."""
    return () if tenant in ("", SYSTEM_TENANT) else (TENANTS, tenant_group(tenant))


def claimable(tenant: str, groups: Iterable[str]) -> tuple[str, ...]:
    """Those of `groups` that a credential of `tenant` may claim."""
    refused = (_RESERVED_PREFIX,) if tenant == SYSTEM_TENANT else (_RESERVED_PREFIX, _SYSTEM_PREFIX)
    return tuple(group for group in groups if group and not group.startswith(refused))


def authenticated(tenant: str, claimed: Iterable[str], given: Iterable[str] = ()) -> tuple[str, ...]:
    """All groups of an authenticated user, each once: `given` by the server, what may be `claimed`, and everyone's."""
    every = (*given, *claimable(tenant, claimed), AUTHENTICATED, *tenant_groups(tenant))
    return tuple(dict.fromkeys(every))


def service_account_name(namespace: str, name: str) -> str:
    """The user name of a service account."""
    return f"system:serviceaccount:{namespace}:{name}"


def service_account_groups(tenant: str, namespace: str) -> tuple[str, ...]:
    """All groups of a service account of `namespace`."""
    return authenticated(tenant, (), (SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{namespace}"))
