"""Which flow schema a request matches, with the schemas that a new installation has."""

from __future__ import annotations

import json

import pytest

from arktos.apiserver.fairness import defaults
from arktos.apiserver.fairness.schemas import Asked, read_level, read_schema
from arktos.apiserver.identity import ANONYMOUS, User
from arktos.apiserver.membership import authenticated, service_account_groups
from arktos.model import defaults as model_defaults
from arktos.model import registry, validation

SCHEMAS = sorted((read_schema(json.dumps(obj).encode()) for obj in defaults.schemas()), key=lambda s: s.order)

ADMIN = User("admin", "system", ("system:masters", "system:authenticated"))
NODE = User("system:node:n1", "system", ("system:nodes", "system:authenticated"))
MANAGER = User("system:kube-controller-manager", "system", ("system:authenticated",))
SCHEDULER = User("system:kube-scheduler", "system", ("system:authenticated",))
OPERATOR = User("system:serviceaccount:kube-system:op", "system", service_account_groups("system", "kube-system"))
ALICE = User("alice", "acme", authenticated("acme", ("system:masters", "system:nodes")))
ROBOT = User("system:serviceaccount:kube-system:op", "acme", service_account_groups("acme", "kube-system"))
POSER = User("system:kube-scheduler", "acme", ("system:masters", "system:authenticated"))


def pods(user: User, verb: str = "get") -> Asked:
    return Asked(user, verb, "", "pods", "", "default")


def lease(user: User, verb: str = "update") -> Asked:
    return Asked(user, verb, "coordination.k8s.io", "leases", "", "kube-system")


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (pods(ADMIN), "exempt"),
        (Asked(ADMIN, "get", path="/version"), "exempt"),
        (Asked(ANONYMOUS, "get", path="/readyz"), "probes"),
        (Asked(ANONYMOUS, "get", path="/version"), "global-default"),
        (lease(MANAGER), "system-leader-election"),
        (lease(MANAGER, "list"), "kube-controller-manager"),
        (Asked(MANAGER, "update", "", "endpoints", "", "default"), "endpoint-controller"),
        (pods(MANAGER), "kube-controller-manager"),
        (pods(SCHEDULER), "kube-scheduler"),
        (Asked(NODE, "patch", "", "nodes", "status"), "system-node-high"),
        (lease(NODE), "system-node-high"),
        (pods(NODE), "system-nodes"),
        (pods(OPERATOR), "kube-system-service-accounts"),
        (pods(ALICE), "global-default"),
        (pods(ROBOT), "service-accounts"),
        (lease(ROBOT), "service-accounts"),
        (pods(POSER), "global-default"),
    ],
)
def test_the_schema_of_a_request(asked: Asked, name: str) -> None:
    assert next(schema for schema in SCHEMAS if schema.matches(asked)).name == name


def test_distinguishers() -> None:
    found = {schema.name: schema for schema in SCHEMAS}
    assert found["global-default"].distinguisher(pods(ALICE)) == "alice"
    assert found["kube-scheduler"].distinguisher(pods(SCHEDULER)) == "default"
    assert found["exempt"].distinguisher(pods(ADMIN)) == ""


@pytest.mark.parametrize("obj", [*defaults.schemas(), *defaults.levels()], ids=lambda obj: obj["metadata"]["name"])
def test_the_defaults_are_valid(obj: dict[str, object]) -> None:
    resource = defaults.SCHEMAS if obj["kind"] == "FlowSchema" else defaults.LEVELS
    kind = registry.by_resource(resource)
    model_defaults.apply(kind, obj)
    assert not validation.validate_create(kind, obj)


def test_levels() -> None:
    found = {level.name: level for level in (read_level(json.dumps(obj).encode()) for obj in defaults.levels())}
    assert {schema.level for schema in SCHEMAS} <= set(found)
    assert found["exempt"].exempt and not found["system"].exempt
    assert found["catch-all"].queuing is None and found["catch-all"].shares == 5
    queuing = found["workload-low"].queuing
    assert queuing is not None and (queuing.queues, queuing.hand_size, queuing.queue_length_limit) == (128, 6, 50)
