"""Claims on a node: a volume comes with the first pod that wants it, keeps its data, and goes with its claim."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def manifest(name: str) -> str:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    script = "echo $HOSTNAME >> /data/log; sleep 3600"
    container = {
        "name": "c",
        "image": "busybox",
        "command": ["sh", "-c", script],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "securityContext": {"runAsUser": 1000},
    }
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
    spec = {
        "replicas": 2,
        "serviceName": name,
        "selector": {"matchLabels": {"app": name}},
        "template": template,
        "volumeClaimTemplates": [claim],
    }
    whole = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec}
    return json.dumps(whole)


def test_a_stateful_set_keeps_its_data(shared_node: Any, until: Callable[..., Any]) -> None:
    shared_node.arktos("tenant", "create", "keeper")
    kubectl = shared_node.tenant("keeper")
    kubectl("apply", "-f", "-", input=manifest("db"))
    kubectl("rollout", "status", "statefulset/db", "--timeout=90s", timeout=120)
    assert kubectl("exec", "db-1", "--", "cat", "/data/log") == "db-1\n"
    kubectl("delete", "pod", "db-1")
    until(lambda: kubectl.run("exec", "db-1", "--", "cat", "/data/log").stdout == "db-1\ndb-1\n", 60, "its data")
    claims = kubectl.json("get", "pvc")["items"]
    assert {each["status"]["phase"] for each in claims} == {"Bound"} and len(claims) == 2
    paths = [Path(each["spec"]["hostPath"]["path"]) for each in kubectl.json("get", "pv")["items"]]
    assert len(paths) == 2 and all(path.is_dir() for path in paths)
    kubectl("delete", "statefulset", "db")
    kubectl("delete", "pvc", "--all", timeout=90)
    until(lambda: not kubectl.json("get", "pv")["items"], 60, "volumes to go")
    until(lambda: not any(path.exists() for path in paths), 90, "directories to go")
