"""Which writes are heartbeats, and which objects go by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.apiserver.durability import is_renewal, put_of, ttl_of
from arktos.apiserver.encoding import key_of
from arktos.model import registry

LEASES = registry.by_resource("leases.coordination.k8s.io")


def lease(**spec: Any) -> dict[str, Any]:
    meta = {"name": "l", "namespace": "ns", "uid": "u", "resourceVersion": "1", "managedFields": [{"manager": "m"}]}
    return {
        "kind": "Lease",
        "apiVersion": LEASES.api_version,
        "metadata": meta,
        "spec": {"holderIdentity": "a", **spec},
    }


@pytest.mark.parametrize(
    ("changed", "renewal"),
    [
        (lease(renewTime="2026-01-01T00:00:02.000000Z"), True),
        (
            lease(renewTime="2026-01-01T00:00:02.000000Z") | {"metadata": {"name": "l", "namespace": "ns", "uid": "u"}},
            True,
        ),
        (lease(renewTime="2026-01-01T00:00:02.000000Z", holderIdentity="b"), False),
        (lease(), True),
        (lease(leaseTransitions=1), False),
    ],
)
def test_a_renewal_changes_the_time_and_nothing_else(changed: dict[str, Any], renewal: bool) -> None:
    before = lease(renewTime="2026-01-01T00:00:01.000000Z")
    assert is_renewal(LEASES, changed, before) is renewal
    put = put_of(LEASES, key_of(LEASES, "acme", "ns", "l"), changed, before)
    assert put.lazy is renewal
    assert before == lease(renewTime="2026-01-01T00:00:01.000000Z")


def test_the_first_write_of_a_lease_is_durable() -> None:
    assert not put_of(LEASES, key_of(LEASES, "acme", "ns", "l"), lease()).lazy


def test_a_completed_action_expires() -> None:
    actions = registry.by_resource("actions")
    assert ttl_of(actions, {"status": {}}) == 0
    assert ttl_of(actions, {}) == 0
    assert ttl_of(actions, {"status": {"complete": True}}) == actions.done_ttl > 0
