"""Every kubectl with the kinds that few people write by hand: applied, listed, described, explained, deleted."""

from __future__ import annotations

import json

import pytest
from tests.clients.conftest import OPERATOR, Obj, Tenant, World

CLAIM: Obj = {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]}}
VOLUMES: Obj = {"driverName": "d.example.com", "parameters": {"speed": "fast"}}
POD: Obj = {"metadata": {"labels": {"app": "old"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}


def manifests(name: str) -> dict[str, Obj]:
    """By resource: an object of each kind that a tenant may write. Names of one tenant's are its own."""
    device = {"name": "gpu-0", "attributes": {"model": {"string": "a100"}}, "capacity": {"memory": {"value": "40Gi"}}}
    pool = {"name": "n1", "generation": 1, "resourceSliceCount": 1}
    rule = {
        "subjects": [{"kind": "User", "user": {"name": "jane"}}],
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}],
    }
    limited = {"limitResponse": {"type": "Queue", "queuing": {"queues": 8, "handSize": 2}}}
    kinds: dict[str, tuple[str, str, Obj]] = {
        "prioritylevelconfigurations": (
            "flowcontrol.apiserver.k8s.io/v1",
            "PriorityLevelConfiguration",
            {"spec": {"type": "Limited", "limited": limited}},
        ),
        "flowschemas": (
            "flowcontrol.apiserver.k8s.io/v1",
            "FlowSchema",
            {"spec": {"priorityLevelConfiguration": {"name": name}, "rules": [rule]}},
        ),
        "deviceclasses": ("resource.k8s.io/v1", "DeviceClass", {"spec": {}}),
        "resourceclaims": ("resource.k8s.io/v1", "ResourceClaim", {"spec": CLAIM}),
        "resourceclaimtemplates": ("resource.k8s.io/v1", "ResourceClaimTemplate", {"spec": {"spec": CLAIM}}),
        "resourceslices": (
            "resource.k8s.io/v1",
            "ResourceSlice",
            {"spec": {"driver": "gpu.example.com", "nodeName": "n1", "pool": pool, "devices": [device]}},
        ),
        "servicecidrs": ("networking.k8s.io/v1", "ServiceCIDR", {"spec": {"cidrs": ["10.250.0.0/24"]}}),
        "csidrivers": ("storage.k8s.io/v1", "CSIDriver", {"spec": {"attachRequired": False}}),
        "csinodes": ("storage.k8s.io/v1", "CSINode", {"spec": {"drivers": []}}),
        "csistoragecapacities": ("storage.k8s.io/v1", "CSIStorageCapacity", {"storageClassName": "s"}),
        "volumeattributesclasses": ("storage.k8s.io/v1", "VolumeAttributesClass", VOLUMES),
        "runtimeclasses": ("node.k8s.io/v1", "RuntimeClass", {"handler": "runc"}),
        "priorityclasses": ("scheduling.k8s.io/v1", "PriorityClass", {"value": 7}),
        "podtemplates": ("v1", "PodTemplate", {"template": POD}),
        "controllerrevisions": ("apps/v1", "ControllerRevision", {"revision": 3, "data": {"a": 1}}),
        "leases": ("coordination.k8s.io/v1", "Lease", {"spec": {"holderIdentity": "me"}}),
    }
    return {
        plural: {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields}
        for plural, (version, kind, fields) in kinds.items()
    }


HEADS = {
    "prioritylevelconfigurations": "NAME TYPE NOMINALCONCURRENCYSHARES QUEUES HANDSIZE QUEUELENGTHLIMIT AGE",
    "flowschemas": "NAME PRIORITYLEVEL MATCHINGPRECEDENCE DISTINGUISHERMETHOD AGE MISSINGPL",
    "deviceclasses": "NAME AGE",
    "resourceclaims": "NAME STATE AGE",
    "resourceclaimtemplates": "NAME AGE",
    "resourceslices": "NAME NODE DRIVER POOL AGE",
}


YOUNG = {"servicecidrs", "volumeattributesclasses"}
"""Kinds of which some of these kubectls describe an alpha or beta version only."""


def mark(as_: Tenant) -> None:
    """Something that names who made it."""
    as_("create", "configmap", "mine", f"--from-literal=owner={as_.name}")


def test_kinds(world: World) -> None:
    def script(as_: Tenant) -> None:
        # The operator's classes are everybody's to read: each has names of its own.
        mark(as_)
        name = f"k{world.minor}-{world.namespace[-8:]}-{as_.name[:3]}"
        wanted = manifests(name)
        listed = {"apiVersion": "v1", "kind": "List", "items": list(wanted.values())}
        told = as_("apply", "-f", "-", input=json.dumps(listed)).splitlines()
        assert len(told) == len(wanted) and all(line.endswith(" created") for line in told), told
        again = as_("apply", "-f", "-", input=json.dumps(listed)).splitlines()
        # Lists that are replaced as a whole differ by their defaults, so kubectl sends them again.
        assert all(line.endswith((" unchanged", " configured")) for line in again), again
        for plural, obj in wanted.items():
            stored = as_.json("get", plural, name)
            assert (stored["kind"], stored["apiVersion"]) == (obj["kind"], obj["apiVersion"])
            assert stored["metadata"]["tenant"] == as_.tenant
            head, row = as_("get", plural, name).splitlines()
            assert row.split()[0] == name and " ".join(head.split()) == HEADS.get(plural, " ".join(head.split()))
            if plural not in YOUNG:
                assert name in as_("describe", plural, name)
            assert "KIND:" in as_("explain", plural)
            assert "labeled" in as_("label", plural, name, "seen=true")
        assert as_("get", "resourceclaims").split()[4] == "pending"
        # Nobody runs here who would see that nothing uses it.
        unprotected = json.dumps({"metadata": {"finalizers": None}})
        as_("patch", "volumeattributesclasses", name, "--type=merge", f"--patch={unprotected}")
        stopped = as_.kubectl.run(f"-n={world.namespace}", "delete", "-f", "-", input=json.dumps(listed))
        assert stopped.returncode == 0, stopped.stderr

    world.all(script)


def test_what_is_wrong_is_told(world: World) -> None:
    def script(as_: Tenant) -> None:
        mark(as_)
        level = manifests("exempt")["prioritylevelconfigurations"]
        refused = as_.fails("create", "-f", "-", input=json.dumps(level))
        assert "exempt" in refused, refused
        claim = manifests("c")["resourceclaims"]
        claim["spec"] = {"devices": {"requests": [{"name": "gpu"}]}}
        assert "exactly one of" in as_.fails("create", "-f", "-", input=json.dumps(claim))
        claim["spec"] = {"device": {}}
        assert "device" in as_.fails("create", "-f", "-", input=json.dumps(claim))

    world.both(script)


def test_replication_controllers_scale(world: World) -> None:
    def script(as_: Tenant) -> None:
        mark(as_)
        controller = {
            "apiVersion": "v1",
            "kind": "ReplicationController",
            "metadata": {"name": "old"},
            "spec": {"replicas": 0, "selector": {"app": "old"}, "template": POD},
        }
        as_("create", "-f", "-", input=json.dumps(controller))
        assert "scaled" in as_("scale", "rc/old", "--replicas=2")
        assert as_.json("get", "rc", "old")["spec"]["replicas"] == 2
        assert as_("get", "rc", "old").split()[:4] == ["NAME", "DESIRED", "CURRENT", "READY"]
        as_("scale", "rc/old", "--replicas=0")
        as_("delete", "rc", "old")

    world.both(script)


def test_the_parts_of_the_control_plane(world: World) -> None:
    told = world(OPERATOR)("get", "componentstatuses")
    assert "store" in told and "Healthy" in told
    assert "No resources found" in world("acme").run("get", "cs").stderr


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_output_is_input(world: World, form: str) -> None:
    """What `get` prints can be applied again, unchanged."""

    def script(as_: Tenant) -> None:
        mark(as_)
        printed = as_("get", "configmap", "mine", "-o", form)
        assert "configmap/mine" in as_("replace", "-f", "-", input=printed)

    world.both(script)
