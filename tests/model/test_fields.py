"""Selectable fields: every label of a kind, as text, with the zero of its type where the object has no value."""

from dataclasses import replace

from arktos.model import registry
from arktos.model.fields import selectable

POD = registry.by_resource("pods")


def test_a_pod() -> None:
    pod = {"spec": {"nodeName": "n1", "hostNetwork": True}, "status": {"phase": "Running"}}
    assert selectable(POD, pod) == {
        "spec.nodeName": "n1",
        "spec.restartPolicy": "",
        "spec.schedulerName": "",
        "spec.serviceAccountName": "",
        "spec.hostNetwork": "true",
        "status.phase": "Running",
        "status.podIP": "",
        "status.nominatedNodeName": "",
    }


def test_zeros() -> None:
    assert selectable(registry.by_resource("nodes"), {"spec": {}}) == {"spec.unschedulable": "false"}
    assert selectable(registry.by_resource("replicasets.apps"), {}) == {"status.replicas": "0"}
    assert selectable(registry.by_resource("jobs.batch"), {"status": {"succeeded": 3}}) == {"status.successful": "3"}
    assert selectable(registry.by_resource("actions"), {})["status.complete"] == "false"


def test_the_source_of_an_event() -> None:
    events = registry.by_resource("events")
    assert selectable(events, {"source": {"component": "kubelet"}})["source"] == "kubelet"
    assert selectable(events, {"reportingComponent": "x", "source": {}})["source"] == "x"
    assert selectable(events, {"involvedObject": {"name": "p"}})["involvedObject.name"] == "p"


def test_kinds_without_labels_and_kinds_without_a_schema() -> None:
    assert selectable(registry.by_resource("configmaps"), {"data": {}}) == {}
    custom = replace(POD, schema="example.com.Widget", selectable={"spec.color": "spec.color"})
    assert selectable(custom, {"spec": {"color": "red"}}) == {"spec.color": "red"}
    assert selectable(custom, {"spec": 7}) == {"spec.color": ""}
