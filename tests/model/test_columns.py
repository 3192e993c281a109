"""Printer columns: what users read in lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arktos.model import columns, registry, schema
from arktos.model.columns_cell import human_duration, label_selector
from arktos.model.kinds import Column, Kind, Scope

Obj = dict[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY, YEAR = 1, 60, 3600, 86400, 365 * 86400


def ago(**spent: float) -> str:
    return (NOW - timedelta(**spent)).strftime("%Y-%m-%dT%H:%M:%SZ")


def meta(name: str = "x", **more: Any) -> Obj:
    return {"name": name, "creationTimestamp": ago(minutes=5), **more}


def row(resource: str, obj: Obj) -> dict[str, Any]:
    kind = registry.by_resource(resource)
    names = [column.name for column in columns.columns_for(kind)]
    return dict(zip(names, columns.cells(kind, obj, NOW.timestamp()), strict=True))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-2, "<invalid>"),
        (-1.5, "0s"),
        (0.4, "0s"),
        (119, "119s"),
        (120, "2m"),
        (9 * MINUTE + 59, "9m59s"),
        (10 * MINUTE, "10m"),
        (10 * MINUTE + 59, "10m"),
        (3 * HOUR - 1, "179m"),
        (3 * HOUR, "3h"),
        (7 * HOUR + 59 * MINUTE + 59, "7h59m"),
        (8 * HOUR + 1, "8h"),
        (48 * HOUR - 1, "47h"),
        (3 * DAY + 4 * HOUR, "3d4h"),
        (8 * DAY + 5 * HOUR, "8d"),
        (2 * YEAR - 1, "729d"),
        (2 * YEAR, "2y"),
        (2 * YEAR + 5 * DAY, "2y5d"),
        (8 * YEAR + 5 * DAY, "8y"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def waiting(reason: str, **more: Any) -> Obj:
    return {"name": "a", "state": {"waiting": {"reason": reason}}, "restartCount": 0, **more}


def terminated(**ended: Any) -> Obj:
    return {"name": "a", "state": {"terminated": ended}, "restartCount": 0}


def running(name: str = "a", ready: bool = True, restarts: int = 0, **more: Any) -> Obj:
    return {"name": name, "state": {"running": {}}, "ready": ready, "restartCount": restarts, **more}


TWO = {"containers": [{"name": "a"}, {"name": "b"}]}
INIT = {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "j"}]}
SIDECAR = {"containers": [{"name": "a"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
LAST = {"lastState": {"terminated": {"finishedAt": ago(minutes=5)}}}


@pytest.mark.parametrize(
    ("spec", "status", "ready", "state", "restarts"),
    [
        (TWO, {}, "0/2", "", "0"),
        (TWO, {"phase": "Pending"}, "0/2", "Pending", "0"),
        (TWO, {"phase": "Running", "containerStatuses": [running("a"), running("b")]}, "2/2", "Running", "0"),
        (
            TWO,
            {"phase": "Running", "containerStatuses": [running("a", restarts=3, **LAST), running("b", ready=False)]},
            "1/2",
            "Running",
            "3 (5m ago)",
        ),
        (
            TWO,
            {"phase": "Running", "containerStatuses": [waiting("CrashLoopBackOff", restartCount=2)]},
            "0/2",
            "CrashLoopBackOff",
            "2",
        ),
        (TWO, {"phase": "Failed", "reason": "Evicted"}, "0/2", "Evicted", "0"),
        (
            TWO,
            {"phase": "Succeeded", "containerStatuses": [terminated(reason="Completed", exitCode=0)]},
            "0/2",
            "Completed",
            "0",
        ),
        (TWO, {"phase": "Failed", "containerStatuses": [terminated(exitCode=7)]}, "0/2", "ExitCode:7", "0"),
        (TWO, {"phase": "Failed", "containerStatuses": [terminated(exitCode=137, signal=9)]}, "0/2", "Signal:9", "0"),
        (
            TWO,
            {"phase": "Running", **READY, "containerStatuses": [terminated(reason="Completed"), running("b")]},
            "1/2",
            "Running",
            "0",
        ),
        (
            TWO,
            {"phase": "Running", "containerStatuses": [terminated(reason="Completed"), running("b")]},
            "1/2",
            "NotReady",
            "0",
        ),
        (
            TWO,
            {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
            },
            "0/2",
            "SchedulingGated",
            "0",
        ),
        (
            INIT,
            {"phase": "Pending", "initContainerStatuses": [waiting("PodInitializing", name="i")]},
            "0/1",
            "Init:0/2",
            "0",
        ),
        (
            INIT,
            {
                "phase": "Pending",
                "initContainerStatuses": [
                    terminated(exitCode=0, reason="Completed"),
                    waiting("ErrImagePull", name="j"),
                ],
                "containerStatuses": [waiting("PodInitializing")],
            },
            "0/1",
            "Init:ErrImagePull",
            "0",
        ),
        (INIT, {"phase": "Pending", "initContainerStatuses": [terminated(exitCode=2)]}, "0/1", "Init:ExitCode:2", "0"),
        (
            INIT,
            {"phase": "Pending", "initContainerStatuses": [terminated(exitCode=2, signal=9)]},
            "0/1",
            "Init:Signal:9",
            "0",
        ),
        (
            INIT,
            {"phase": "Pending", "initContainerStatuses": [terminated(exitCode=1, reason="Error")]},
            "0/1",
            "Init:Error",
            "0",
        ),
        (
            SIDECAR,
            {
                "phase": "Running",
                "initContainerStatuses": [running("s", started=True, restarts=1, **LAST)],
                "containerStatuses": [running("a", restarts=1)],
            },
            "2/2",
            "Running",
            "2 (5m ago)",
        ),
    ],
)
def test_pod_states(spec: Obj, status: Obj, ready: str, state: str, restarts: str) -> None:
    shown = row("pods", {"metadata": meta(), "spec": spec, "status": status})
    assert (shown["Ready"], shown["Status"], shown["Restarts"]) == (ready, state, restarts)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({"phase": "Running"}, "Terminating"),
        ({"phase": "Succeeded"}, "Succeeded"),
        ({"phase": "Running", "reason": "NodeLost"}, "Unknown"),
    ],
)
def test_pods_that_are_being_deleted(status: Obj, state: str) -> None:
    assert row("pods", {"metadata": meta(deletionTimestamp=ago()), "spec": TWO, "status": status})["Status"] == state


def machine(phase: str, power: str = "Running", **found: Any) -> Obj:
    return {
        "metadata": meta(),
        "spec": {"virtualMachine": {"name": "vm", "image": "i", "powerSpec": power}, "containers": []},
        "status": {"phase": phase, "virtualMachineStatus": found},
    }


@pytest.mark.parametrize(
    ("pod", "ready", "state", "restarts"),
    [
        (machine("Pending"), "0/1", "Pending", "0"),
        (machine("Running", ready=True, powerState="running", restartCount=2), "1/1", "Running", "2"),
        (machine("Running", powerState="paused"), "0/1", "Paused", "0"),
        (machine("Running", powerState="crashed"), "0/1", "Crashed", "0"),
        (machine("NoSchedule", "Shutdown", powerState="shutdown"), "0/1", "Stopped", "0"),
        (machine("NoSchedule", "Suspended"), "0/1", "Suspended", "0"),
    ],
)
def test_a_virtual_machine_counts_as_one_container(pod: Obj, ready: str, state: str, restarts: str) -> None:
    shown = row("pods", pod)
    assert (shown["Ready"], shown["Status"], shown["Restarts"]) == (ready, state, restarts)


def test_wide_cells_of_a_pod() -> None:
    gates = [{"conditionType": "one"}, {"conditionType": "two"}]
    status = {"podIPs": [{"ip": "10.0.0.7"}], "conditions": [{"type": "one", "status": "True"}]}
    shown = row("pods", {"metadata": meta(), "spec": {"nodeName": "n", "readinessGates": gates}, "status": status})
    assert [shown[c] for c in ("Age", "IP", "Node", "Nominated Node", "Readiness Gates")] == [
        "5m",
        "10.0.0.7",
        "n",
        "<none>",
        "1/2",
    ]


def test_workloads() -> None:
    template = {"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}}
    spec = {"replicas": 3, "template": template, "selector": {"matchLabels": {"app": "web"}}}
    status = {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1, "replicas": 3}
    obj = {"metadata": meta(), "spec": spec, "status": status}
    assert list(row("deployments.apps", obj).values()) == ["x", "1/3", 2, 1, "5m", "a,b", "x,y", "app=web"]
    assert list(row("replicasets.apps", obj).values()) == ["x", 3, 3, 1, "5m", "a,b", "x,y", "app=web"]
    assert list(row("statefulsets.apps", obj).values()) == ["x", "1/3", "5m", "a,b", "x,y"]
    spec["template"] = {"spec": {"virtualMachine": {"name": "vm", "image": "disk"}}}
    assert row("deployments.apps", obj)["Containers"] == "vm"


@pytest.mark.parametrize(
    ("spec", "status", "shown"),
    [
        ({"completions": 3}, {"succeeded": 1, "startTime": ago(seconds=90)}, ["Running", "1/3", "90s"]),
        ({"parallelism": 4}, {}, ["Running", "0/1 of 4", ""]),
        (
            {"completions": 1},
            {
                "succeeded": 1,
                "startTime": ago(minutes=9),
                "completionTime": ago(minutes=4),
                "conditions": [{"type": "Complete", "status": "True"}],
            },
            ["Complete", "1/1", "5m"],
        ),
        ({}, {"conditions": [{"type": "Suspended", "status": "True"}]}, ["Suspended", "0/1", ""]),
    ],
)
def test_jobs(spec: Obj, status: Obj, shown: list[str]) -> None:
    found = row("jobs.batch", {"metadata": meta(), "spec": spec, "status": status})
    assert [found[c] for c in ("Status", "Completions", "Duration")] == shown


def test_cron_jobs() -> None:
    spec = {"schedule": "* * * * *", "suspend": False, "jobTemplate": {"spec": {"template": {}}}}
    shown = row("cronjobs.batch", {"metadata": meta(), "spec": spec, "status": {"lastScheduleTime": ago(seconds=30)}})
    assert [shown[c] for c in ("Suspend", "Active", "Last Schedule", "Timezone")] == ["False", 0, "30s", "<none>"]


@pytest.mark.parametrize(
    ("spec", "status", "external", "ports"),
    [
        ({"type": "ClusterIP", "ports": [{"port": 80, "protocol": "TCP"}]}, {}, "<none>", "80/TCP"),
        (
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]},
            {},
            "<none>",
            "80:30080/TCP",
        ),
        ({"type": "LoadBalancer"}, {}, "<pending>", "<none>"),
        (
            {"type": "LoadBalancer", "externalIPs": ["9.9.9.9"]},
            {"loadBalancer": {"ingress": [{"ip": "1.1.1.1"}]}},
            "1.1.1.1,9.9.9.9",
            "<none>",
        ),
        ({"type": "ExternalName", "externalName": "a.example"}, {}, "a.example", "<none>"),
    ],
)
def test_services(spec: Obj, status: Obj, external: str, ports: str) -> None:
    shown = row("services", {"metadata": meta(), "spec": spec, "status": status})
    assert (shown["External-IP"], shown["Port(s)"]) == (external, ports)


def test_endpoints_show_three_at_most() -> None:
    subset = {"addresses": [{"ip": f"10.0.0.{i}"} for i in range(4)], "ports": [{"port": 80}]}
    shown = row("endpoints", {"metadata": meta(), "subsets": [subset]})
    assert shown["Endpoints"] == "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 1 more..."
    assert row("endpoints", {"metadata": meta()})["Endpoints"] == "<none>"
    slices = {"metadata": meta(), "addressType": "IPv6", "ports": [{}], "endpoints": [{"addresses": ["fd::1"]}]}
    shown = row("endpointslices.discovery.k8s.io", slices)
    assert [shown[c] for c in ("AddressType", "Ports", "Endpoints")] == ["IPv6", "*", "fd::1"]


def test_nodes() -> None:
    labels = {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "edge"}
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "nodeInfo": {"kubeletVersion": "v1"},
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
    }
    shown = row("nodes", {"metadata": meta(labels=labels), "spec": {"unschedulable": True}, "status": status})
    assert [shown[c] for c in ("Status", "Roles", "Version", "Internal-IP", "External-IP", "OS-Image")] == [
        "Ready,SchedulingDisabled",
        "control-plane,edge",
        "v1",
        "10.0.0.1",
        "<none>",
        "<unknown>",
    ]
    assert row("nodes", {"metadata": meta()})["Status"] == "Unknown"


def test_events_of_both_versions_look_alike() -> None:
    core = {
        "metadata": meta("e"),
        "lastTimestamp": ago(seconds=10),
        "firstTimestamp": ago(hours=1),
        "count": 4,
        "type": "Warning",
        "reason": "Failed",
        "message": " broke\n",
        "involvedObject": {"kind": "Pod", "name": "p"},
        "source": {"component": "agent", "host": "n1"},
    }
    newer = {
        "metadata": meta("e"),
        "deprecatedLastTimestamp": ago(seconds=10),
        "deprecatedFirstTimestamp": ago(hours=1),
        "deprecatedCount": 4,
        "type": "Warning",
        "reason": "Failed",
        "note": " broke\n",
        "regarding": {"kind": "Pod", "name": "p"},
        "deprecatedSource": {"component": "agent", "host": "n1"},
    }
    shown = list(row("events", core).values())
    assert shown == ["10s", "Warning", "Failed", "pod/p", "", "agent, n1", "broke", "60m", "4", "e"]
    assert list(row("events", newer).values()) == shown


def test_events_in_a_series() -> None:
    event = {"metadata": meta(), "eventTime": ago(hours=4), "series": {"count": 9, "lastObservedTime": ago(seconds=3)}}
    shown = row("events", event)
    assert (shown["Last Seen"], shown["First Seen"], shown["Count"]) == ("3s", "4h", "9")


def test_volumes() -> None:
    spec = {
        "capacity": {"storage": "5Gi"},
        "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
        "claimRef": {"namespace": "n", "name": "c"},
    }
    shown = row("persistentvolumes", {"metadata": meta(), "spec": spec, "status": {"phase": "Bound"}})
    assert [shown[c] for c in ("Capacity", "Access Modes", "Status", "Claim")] == ["5Gi", "RWO,RWX", "Bound", "n/c"]
    default = meta(annotations={"storageclass.kubernetes.io/is-default-class": "true"})
    assert row("storageclasses.storage.k8s.io", {"metadata": default, "provisioner": "p"})["Name"] == "x (default)"


def test_autoscalers_of_both_versions() -> None:
    target = {"type": "Utilization", "averageUtilization": 80}
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    current = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 25}}}
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 5, "metrics": [metric] * 3}
    obj = {"metadata": meta(), "spec": spec, "status": {"currentMetrics": [current]}}
    shown = row("horizontalpodautoscalers.autoscaling", obj)
    assert shown["Targets"] == "cpu: 25%/80%, cpu: <unknown>/80% + 1 more..."
    assert (shown["Reference"], shown["MinPods"]) == ("Deployment/d", "<unset>")
    older = {"metadata": meta(), "spec": {"targetCPUUtilizationPercentage": 80}}
    assert row("horizontalpodautoscalers.autoscaling", older)["Targets"] == "cpu: <unknown>/80%"


def test_bindings_list_their_subjects() -> None:
    subjects = [
        {"kind": "User", "name": "u"},
        {"kind": "Group", "name": "g"},
        {"kind": "ServiceAccount", "namespace": "n", "name": "s"},
    ]
    obj = {"metadata": meta(), "roleRef": {"kind": "Role", "name": "r"}, "subjects": subjects}
    assert list(row("rolebindings.rbac.authorization.k8s.io", obj).values()) == ["x", "Role/r", "5m", "u", "g", "n/s"]


def test_quotas_have_requests_and_limits_apart() -> None:
    status = {"hard": {"pods": "5", "limits.cpu": "2"}, "used": {"pods": "1"}}
    shown = row("resourcequotas", {"metadata": meta(), "status": status})
    assert (shown["Request"], shown["Limit"]) == ("pods: 1/5", "limits.cpu: 0/2")


def test_our_own_kinds() -> None:
    assert list(row("tenants", {"metadata": meta(), "status": {"phase": "Active"}}).values()) == ["x", "Active", "5m"]
    spec = {"podName": "p", "nodeName": "n", "rebootAction": {}}
    shown = row("actions", {"metadata": meta(), "spec": spec, "status": {"complete": True, "error": "no"}})
    assert list(shown.values()) == ["x", "p", "reboot", "Yes", "n", "no", "5m"]
    member = {"metadata": meta(uid="u"), "controllerType": "ReplicaSet", "controllerKey": 7, "isLocked": True}
    assert list(row("controllerinstances", member).values()) == ["x", "ReplicaSet", "u", 7, 0, True, "5m"]


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        (None, "<none>"),
        ({}, "<none>"),
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        ({"matchExpressions": [{"key": "k", "operator": "In", "values": ["y", "x"]}]}, "k in (x,y)"),
        (
            {"matchLabels": {"m": "1"}, "matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]},
            "!a,m=1",
        ),
        ({"matchExpressions": [{"key": "k", "operator": "?"}]}, "<error>"),
    ],
)
def test_selectors(selector: Obj | None, text: str) -> None:
    assert label_selector(selector) == text


def test_a_kind_without_a_printer_shows_name_and_age() -> None:
    kind = Kind("example.com", "v1", "Thing", "things", Scope.NAMESPACE, "x")
    assert [c.name for c in columns.columns_for(kind)] == ["Name", "Age"]
    assert columns.cells(kind, {"metadata": meta()}, NOW.timestamp()) == ["x", "5m"]


def test_a_kind_with_columns_of_its_own_is_read_by_their_paths() -> None:
    declared = (Column("Size", "integer", path=".spec.size"), Column("Since", "date", path=".status.at"))
    kind = Kind("example.com", "v1", "Thing", "things", Scope.NAMESPACE, "x", columns=declared)
    obj = {"metadata": meta(), "spec": {"size": 4}, "status": {"at": ago(hours=2)}}
    assert columns.cells(kind, obj, NOW.timestamp()) == ["x", 4, "120m"]
    assert columns.cells(kind, {"metadata": meta()}, NOW.timestamp()) == ["x", None, None]


def values(node: schema.Schema, depth: int = 7) -> st.SearchStrategy[Any]:
    """Any value that the structure check lets pass."""
    word = st.sampled_from(["", "a", "Running", "True", "Completed", "2026-01-01T00:00:00Z", "1Gi"])
    match node.type:
        case "object" if depth:
            fields = {
                name: st.deferred(lambda n=found: values(n, depth - 1)) for name, found in node.properties.items()
            }
            return st.fixed_dictionaries({}, optional=fields)
        case "map" if depth and node.items is not None:
            return st.dictionaries(word, values(node.items, depth - 1), max_size=2)
        case "array" if depth and node.items is not None:
            return st.lists(values(node.items, depth - 1), max_size=2)
        case "integer":
            return st.integers(-3, 200)
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case "string":
            return st.sampled_from(node.enum) if node.enum else word
        case "int-or-string" | "quantity":
            return st.integers(0, 9) | word
    return st.just({}) if node.type in ("object", "map", "any") else st.just([])


LISTED = [kind for kind in registry.all_kinds() if "list" in kind.verbs]


@pytest.mark.parametrize("kind", LISTED, ids=lambda kind: f"{kind.api_version}/{kind.kind}")
def test_every_kind_has_as_many_cells_as_columns(kind: Kind) -> None:
    @settings(max_examples=8, deadline=None, database=None)
    @given(values(schema.named(kind.schema)))
    def holds(obj: Obj) -> None:
        shown = columns.cells(kind, obj, NOW.timestamp())
        assert len(shown) == len(columns.columns_for(kind))
        assert all(cell is None or isinstance(cell, str | int | float | bool) for cell in shown)

    holds()
