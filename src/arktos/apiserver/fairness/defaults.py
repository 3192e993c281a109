"""The flow schemas and priority levels of a new installation: Kubernetes' mandatory and suggested ones. Data."""

from __future__ import annotations

from collections.abc import Iterable

from arktos.model.kinds import Obj

API_VERSION = "flowcontrol.apiserver.k8s.io/v1"
SCHEMAS, LEVELS = "flowschemas.flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io"
MANDATORY = frozenset({"exempt", "catch-all"})
"""Names of the schemas and of the levels without which there is no order; stored ones cannot change what they mean."""
AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"

_ALL = ["*"]
_EVERYTHING: list[Obj] = [
    {"verbs": _ALL, "apiGroups": _ALL, "resources": _ALL, "clusterScope": True, "namespaces": _ALL}
]
_EVERY_PATH: list[Obj] = [{"verbs": _ALL, "nonResourceURLs": _ALL}]
_LEASES: Obj = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "namespaces": _ALL}
_ELECTION: list[Obj] = [{"verbs": ["get", "create", "update"], **_LEASES}]


def _groups(*names: str) -> list[Obj]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> list[Obj]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


def _accounts(name: str = "*") -> list[Obj]:
    return [{"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": name}}]


_EVERYBODY = _groups("system:unauthenticated", "system:authenticated")


def _object(kind: str, name: str, spec: Obj) -> Obj:
    annotations = {AUTOUPDATE: "true"}
    return {
        "kind": kind,
        "apiVersion": API_VERSION,
        "metadata": {"name": name, "annotations": annotations},
        "spec": spec,
    }


def _schema(
    name: str,
    level: str,
    precedence: int,
    by: str,
    subjects: list[Obj],
    resources: Iterable[Obj] = (),
    paths: Iterable[Obj] = (),
) -> Obj:
    rule: Obj = {"subjects": subjects}
    if resources:
        rule["resourceRules"] = list(resources)
    if paths:
        rule["nonResourceRules"] = list(paths)
    spec: Obj = {
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": [rule],
    }
    if by:
        spec["distinguisherMethod"] = {"type": by}
    return _object("FlowSchema", name, spec)


def _all(name: str, level: str, precedence: int, by: str, subjects: list[Obj]) -> Obj:
    return _schema(name, level, precedence, by, subjects, _EVERYTHING, _EVERY_PATH)


def _level(name: str, shares: int, lendable: int, queues: int, hand: int) -> Obj:
    queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": 50}
    limited = {
        "nominalConcurrencyShares": shares,
        "lendablePercent": lendable,
        "limitResponse": {"type": "Queue", "queuing": queuing} if queues else {"type": "Reject"},
    }
    return _object("PriorityLevelConfiguration", name, {"type": "Limited", "limited": limited})


def schemas() -> list[Obj]:
    """The FlowSchemas; the first that matches by precedence decides."""
    return [
        _all("exempt", "exempt", 1, "", _groups("system:masters")),
        _schema(
            "probes",
            "exempt",
            2,
            "",
            _EVERYBODY,
            paths=[{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}],
        ),
        _schema(
            "system-leader-election",
            "leader-election",
            100,
            "ByUser",
            [*_users("system:kube-controller-manager", "system:kube-scheduler"), *_accounts()],
            _ELECTION,
        ),
        _schema(
            "endpoint-controller",
            "workload-high",
            150,
            "ByUser",
            [*_users("system:kube-controller-manager"), *_accounts("endpoint-controller")],
            [
                {
                    "verbs": ["get", "create", "update"],
                    "apiGroups": [""],
                    "resources": ["endpoints"],
                    "namespaces": _ALL,
                }
            ],
        ),
        _schema("workload-leader-election", "leader-election", 200, "ByUser", _accounts(), _ELECTION),
        _schema(
            "system-node-high",
            "node-high",
            400,
            "ByUser",
            _groups("system:nodes"),
            [
                {
                    "verbs": _ALL,
                    "apiGroups": [""],
                    "resources": ["nodes", "nodes/status"],
                    "clusterScope": True,
                    "namespaces": _ALL,
                },
                {"verbs": _ALL, **_LEASES},
            ],
        ),
        _all("system-nodes", "system", 500, "ByUser", _groups("system:nodes")),
        _all("kube-controller-manager", "workload-high", 800, "ByNamespace", _users("system:kube-controller-manager")),
        _all("kube-scheduler", "workload-high", 800, "ByNamespace", _users("system:kube-scheduler")),
        _all("kube-system-service-accounts", "workload-high", 900, "ByNamespace", _accounts()),
        _all("service-accounts", "workload-low", 9000, "ByUser", _groups("system:serviceaccounts")),
        _all("global-default", "global-default", 9900, "ByUser", _EVERYBODY),
        _all("catch-all", "catch-all", 10000, "ByUser", _EVERYBODY),
    ]


def levels() -> list[Obj]:
    """The PriorityLevelConfigurations."""
    exempt: Obj = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    return [
        _object("PriorityLevelConfiguration", "exempt", exempt),
        _level("catch-all", 5, 0, 0, 0),
        _level("system", 30, 33, 64, 6),
        _level("node-high", 40, 25, 64, 6),
        _level("leader-election", 10, 0, 16, 4),
        _level("workload-high", 40, 50, 128, 6),
        _level("workload-low", 100, 90, 128, 6),
        _level("global-default", 20, 50, 128, 6),
    ]
