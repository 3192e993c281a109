"""What a tenant's webhooks make of the writes of nodes and controllers: nothing that the tenant might not write."""

from __future__ import annotations

from typing import Any

import pytest

VOLUMES = "/tenants/acme/api/v1/persistentvolumes"
PODS = "/tenants/acme/api/v1/namespaces/default/pods"
SERVICES = "/tenants/acme/api/v1/namespaces/default/services"


@pytest.fixture
async def changed(asking: Any, webhook: Any) -> Any:
    """Tenant acme, whose webhook patches what `webhook.answer` says."""
    await asking.api.tenant("acme")
    resources = ["persistentvolumes", "pods", "pods/status", "services"]
    rules = [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": resources}]
    webhook.answer = lambda request: {"allowed": True}
    await asking.hook(webhook, "Mutating", "acme", rules=rules)

    def patches(path: str, value: Any) -> None:
        patch = [{"op": "add", "path": path, "value": value}]
        webhook.answer = lambda request: {"allowed": True, "patch": patch}

    return asking.api, patches


def volume(path: str) -> dict[str, Any]:
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": path}}
    return {"metadata": {"name": "v"}, "spec": spec}


async def test_a_volume_that_was_made_on_a_node_leads_nowhere_else(changed: Any) -> None:
    api, patches = changed
    patches("/spec/hostPath", {"path": "/"})
    (await api.post(VOLUMES, volume("/var/lib/arktos/local-volumes/acme/v"))).refused(403, "made by the cluster's")
    patches("/metadata/labels", {"seen": "yes"})
    made = (await api.post(VOLUMES, volume("/var/lib/arktos/local-volumes/acme/v"))).ok(201)
    assert made["metadata"]["labels"] == {"seen": "yes"} and made["spec"]["hostPath"]["path"].endswith("/acme/v")
    patches("/spec/hostPath", {"path": "/"})
    (await api.patch(f"{VOLUMES}/v", {"metadata": {"labels": {"a": "b"}}})).refused(403, "made by the cluster's")


async def test_a_pods_addresses_are_those_that_its_node_states(changed: Any) -> None:
    api, patches = changed
    (await api.post(PODS, api.pod("p"))).ok(201)
    patches("/status/podIP", "192.0.2.7")
    status = {"status": {"podIP": "10.1.2.3", "podIPs": [{"ip": "10.1.2.3"}]}}
    (await api.patch(f"{PODS}/p/status", status)).refused(403, "status.podIP is stated by the pod's node")
    patches("/status/message", "seen")
    answered = (await api.patch(f"{PODS}/p/status", status)).ok()
    assert (answered["status"]["podIP"], answered["status"]["message"]) == ("10.1.2.3", "seen")


async def test_a_service_takes_no_address_that_its_writer_did_not_give_it(changed: Any) -> None:
    api, patches = changed
    patches("/spec/externalIPs", ["192.0.2.7"])
    service = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    (await api.post(SERVICES, service)).refused(403, "external IPs")
