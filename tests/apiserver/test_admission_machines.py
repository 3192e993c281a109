"""What a tenant's objects may not claim of the machines and the network that tenants share."""

from __future__ import annotations

from typing import Any

import pytest

VOLUMES = "/api/v1/persistentvolumes"
SERVICES = "/api/v1/namespaces/default/services"
PODS = "/api/v1/namespaces/default/pods"
ENFORCE = "pod-security.kubernetes.io/enforce"


@pytest.fixture
async def tenant(api: Any) -> Any:
    """Tenant acme, and its admin."""
    await api.tenant("acme")
    return api.admin_of("acme")


async def lift(api: Any) -> None:
    labels = {"metadata": {"labels": {ENFORCE: "privileged"}}}
    (await api("PATCH", "/api/v1/tenants/acme", labels, type=api.MERGE)).ok()


def volume(name: str, **source: Any) -> dict[str, Any]:
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], **source}
    if "local" in source:
        terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n"]}]}]
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    return {"metadata": {"name": name}, "spec": spec}


NFS = {"nfs": {"server": "203.0.113.7", "path": "/"}}


@pytest.mark.parametrize(
    "source",
    [
        {"hostPath": {"path": "/"}},
        {"local": {"path": "/var/lib"}},
        {"flexVolume": {"driver": "a/b"}},
        {"csi": {"driver": "example.com", "volumeHandle": "vol-of-another"}},
    ],
)
async def test_volumes_on_nodes_are_the_operators_to_make(api: Any, tenant: Any, source: dict[str, Any]) -> None:
    kind = next(iter(source))
    refused = (await api.post(VOLUMES, volume("v", **source), user=tenant)).refused(403)
    assert refused["message"] == (
        f'persistentvolumes "v" is forbidden: volumes on nodes ({kind}) are made by the cluster\'s operators'
    )
    # By those who run the cluster, in the tenant; and by the tenant where they have lifted the floor.
    (await api.post(f"/tenants/acme{VOLUMES}", volume("theirs", **source))).ok(201)
    await lift(api)
    (await api.post(VOLUMES, volume("v", **source), user=tenant)).ok(201)


async def test_a_volume_does_not_become_one_on_a_node(api: Any, tenant: Any) -> None:
    (await api.post(VOLUMES, volume("far", **NFS), user=tenant)).ok(201)
    for patch in ({"spec": {"hostPath": {"path": "/"}}}, {"spec": {"nfs": None, "hostPath": {"path": "/"}}}):
        (await api("PATCH", f"{VOLUMES}/far", patch, type=api.MERGE, user=tenant)).refused(403, "volumes on nodes")
    (await api.post(f"/tenants/acme{VOLUMES}", volume("theirs", hostPath={"path": "/srv/acme"}))).ok(201)
    labels = {"metadata": {"labels": {"a": "b"}}}
    (await api("PATCH", f"{VOLUMES}/theirs", labels, type=api.MERGE, user=tenant)).ok()
    moved = {"spec": {"hostPath": {"path": "/etc"}}}
    (await api("PATCH", f"{VOLUMES}/theirs", moved, type=api.MERGE, user=tenant)).refused(403, "volumes on nodes")
    (await api("DELETE", f"{VOLUMES}/theirs", user=tenant)).ok()


def service(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], **spec}}


async def test_nobody_takes_addresses_of_others(api: Any, tenant: Any) -> None:
    """CVE-2020-8554."""
    said = "Use of external IPs is denied by admission control."
    (await api.post(SERVICES, service(externalIPs=["203.0.113.7"]), user=tenant)).refused(403, said)
    (await api.post(SERVICES, service(type="LoadBalancer"), user=tenant)).ok(201)
    wanted = {"spec": {"externalIPs": ["203.0.113.7"]}}
    (await api("PATCH", f"{SERVICES}/s", wanted, type=api.MERGE, user=tenant)).refused(403, said)
    balanced = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.8"}]}}}
    status = f"{SERVICES}/s/status"
    (await api("PATCH", status, balanced, type=api.MERGE, user=tenant)).refused(403, "stated by its controller")
    # A controller may, and what stands does not hinder other changes.
    (await api("PATCH", f"/tenants/acme{status}", balanced, type=api.MERGE)).ok()
    (await api("PATCH", f"/tenants/acme{SERVICES}/s", wanted, type=api.MERGE)).ok()
    labels = {"metadata": {"labels": {"a": "b"}}}
    (await api("PATCH", f"{SERVICES}/s", labels, type=api.MERGE, user=tenant)).ok()
    more = {"spec": {"externalIPs": ["203.0.113.7", "203.0.113.9"]}}
    (await api("PATCH", f"{SERVICES}/s", more, type=api.MERGE, user=tenant)).refused(403, said)
    await lift(api)
    (await api("PATCH", f"{SERVICES}/s", more, type=api.MERGE, user=tenant)).ok()


async def test_where_a_pod_is_its_node_says(api: Any, tenant: Any) -> None:
    (await api.post(f"/tenants/acme{PODS}", api.pod("p"))).ok(201)
    status = f"{PODS}/p/status"
    addressed = {"status": {"podIP": "10.244.0.9", "podIPs": [{"ip": "10.244.0.9"}]}}
    (await api("PATCH", status, addressed, type=api.MERGE, user=tenant)).refused(403, "stated by the pod's node")
    for forged in ({"podIPs": [{"ip": "10.244.0.9"}]}, {"hostIP": "192.0.2.1"}, {"hostIPs": [{"ip": "192.0.2.1"}]}):
        answer = await api("PATCH", status, {"status": forged}, type=api.MERGE, user=tenant)
        answer.refused(403, "stated by the pod's node")
    (await api("PATCH", f"/tenants/acme{status}", addressed, type=api.MERGE)).ok()
    # The rest of the status stays the tenant's own to spoil.
    (await api("PATCH", status, {"status": {"message": "hello"}}, type=api.MERGE, user=tenant)).ok()
    (await api("PATCH", status, {"status": {"podIP": None}}, type=api.MERGE, user=tenant)).refused(403)
    await lift(api)
    moved = {"status": {"podIP": "10.244.0.10", "podIPs": [{"ip": "10.244.0.10"}]}}
    (await api("PATCH", status, moved, type=api.MERGE, user=tenant)).refused(403)


async def test_a_profile_is_not_taken_off_by_annotation(api: Any, tenant: Any) -> None:
    name = "container.apparmor.security.beta.kubernetes.io/c"
    made = api.pod("p")
    made["metadata"]["annotations"] = {name: "unconfined"}
    (await api.post(PODS, made, user=tenant)).refused(403, f'forbidden AppArmor profile ({name}="unconfined")')
    made["metadata"]["annotations"] = {name: "runtime/default"}
    (await api.post(PODS, made, user=tenant)).ok(201)
    changed = {"metadata": {"annotations": {name: "unconfined"}}}
    (await api("PATCH", f"{PODS}/p", changed, type=api.MERGE, user=tenant)).refused(403, "AppArmor")
