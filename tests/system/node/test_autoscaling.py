"""An autoscaler on a node: real load, measured by the agent, makes replicas."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.heavy
def test_load_makes_replicas(shared_node: Any, until: Callable[..., Any]) -> None:
    shared_node.arktos("tenant", "create", "busy")
    kubectl = shared_node.tenant("busy")
    container = {
        "name": "c",
        "image": "busybox",
        "command": ["sh", "-c", "while true; do :; done"],
        "resources": {"requests": {"cpu": "10m"}, "limits": {"cpu": "50m"}},
    }
    template = {
        "metadata": {"labels": {"app": "burn"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "burn"}}, "template": template}
    whole = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "burn"}, "spec": spec}
    kubectl("apply", "-f", "-", input=json.dumps(whole))
    kubectl("autoscale", "deployment", "burn", "--cpu-percent=50", "--min=1", "--max=3")
    until(lambda: kubectl.json("get", "deployment", "burn")["spec"]["replicas"] == 3, 150, "more replicas")
    status = kubectl.json("get", "hpa", "burn")["status"]
    assert status["currentMetrics"][0]["resource"]["current"]["averageUtilization"] > 100
    found = {each["type"]: each["status"] for each in status["conditions"]}
    assert found["ScalingActive"] == "True" and found["AbleToScale"] == "True"
    kubectl("delete", "hpa,deployment", "--all")
