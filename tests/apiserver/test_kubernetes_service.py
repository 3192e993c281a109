"""The Service `kubernetes` that every tenant has without storing it, and the addresses that nobody else may take."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arktos.apiserver.kubernetes_service import KubernetesService, advertised
from arktos.apiserver.serviceips import parse_ranges


@pytest.mark.parametrize(
    ("address", "found"),
    [("192.0.2.7", "192.0.2.7"), ("127.0.0.1", ""), ("0.0.0.0", ""), ("::1", ""), ("localhost", "")],
)
def test_what_others_can_reach(address: str, found: str) -> None:
    assert advertised(address) == found


def test_without_an_address_there_is_the_service_alone() -> None:
    source = KubernetesService(None, parse_ranges("10.96.0.0/12")[0], "", 6443)  # type: ignore[arg-type]
    assert set(source._contents) == {"services"}


def test_every_tenant_has_it(cluster: Any) -> None:
    cluster.arktos("tenant", "create", "acme")
    acme = cluster.tenant("acme")
    found = acme.json("get", "service", "kubernetes")
    assert found["spec"]["clusterIP"] == "10.96.0.1"
    assert found["metadata"]["tenant"] == "acme"
    listed = acme("get", "services", "-A", "-o", "name").split()
    assert listed == ["service/kubernetes"]
    assert "kubernetes" in acme("get", "services", "-l", "component=apiserver")
    assert acme.json("get", "services", "-n", "kube-system")["items"] == []
    acme("delete", "service", "kubernetes")
    assert acme.json("get", "service", "kubernetes")["metadata"]["uid"] == found["metadata"]["uid"]
    cluster.arktos("tenant", "delete", "acme")


@pytest.mark.parametrize("address", ["10.96.0.1", "10.96.0.10"])
def test_reserved_addresses_are_taken(shared_apiserver: Any, address: str) -> None:
    made = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "mine", "namespace": "default"},
        "spec": {"clusterIP": address, "ports": [{"port": 80}]},
    }
    refused = shared_apiserver.admin.run("create", "-f", "-", input=json.dumps(made))
    assert "provided IP is already allocated" in refused.stderr
