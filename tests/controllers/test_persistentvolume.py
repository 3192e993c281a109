"""Which volume a claim gets, and what becomes of either."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.controllers.persistentvolume import claims, matching, provisioning, volumes
from arktos.controllers.persistentvolume.claims import World

Obj = dict[str, Any]
LATE = {
    "metadata": {"name": "local", "tenant": "system"},
    "provisioner": provisioning.PROVISIONER,
    "volumeBindingMode": "WaitForFirstConsumer",
    "parameters": {"path": "/data/"},
}
NODE = {"metadata": {"name": "n1", "labels": {}}}


def volume(name: str, size: str = "1Gi", storage_class: str = "", **spec: Any) -> Obj:
    meta = {
        "name": name,
        "uid": f"u-{name}",
        "labels": spec.pop("labels", {}),
        "annotations": spec.pop("annotations", {}),
    }
    told = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": storage_class}
    return {"metadata": meta, "spec": {**told, **spec}, "status": {"phase": "Available"}}


def claim(size: str = "1Gi", storage_class: str = "", **spec: Any) -> Obj:
    meta = {
        "name": "data",
        "namespace": "default",
        "tenant": "acme",
        "uid": "c1",
        "annotations": spec.pop("annotations", {}),
    }
    told = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {
        "metadata": meta,
        "spec": {**told, "storageClassName": storage_class, **spec},
        "status": spec.pop("status", {}),
    }


def name_of(found: Obj | None) -> str:
    return "" if found is None else str(found["metadata"]["name"])


def test_the_smallest_that_fits() -> None:
    around = [volume("big", "9Gi"), volume("tiny", "1Mi"), volume("right", "2Gi")]
    assert name_of(matching.best(claim(), around, None)) == "right"
    assert name_of(matching.best(claim("10Gi"), around, None)) == ""


@pytest.mark.parametrize(
    ("offered", "wanted"),
    [
        ({"storage_class": "fast"}, {}),
        ({"accessModes": ["ReadOnlyMany"]}, {}),
        ({"volumeMode": "Block"}, {}),
        ({"claimRef": {"namespace": "default", "name": "other"}}, {}),
        ({}, {"selector": {"matchLabels": {"tier": "gold"}}}),
        ({"phase": "Released"}, {}),
    ],
)
def test_what_does_not_fit(offered: Obj, wanted: Obj) -> None:
    found = volume("v", **{key: value for key, value in offered.items() if key != "phase"})
    if "phase" in offered:
        found["status"]["phase"] = offered["phase"]
    assert matching.best(claim(**wanted), [found], None) is None


def test_one_that_names_the_claim_comes_first() -> None:
    named = volume("mine", "9Gi", claimRef={"namespace": "default", "name": "data"})
    assert name_of(matching.best(claim(), [volume("right"), named], None)) == "mine"
    taken = volume("mine", "9Gi", claimRef={"namespace": "default", "name": "data", "uid": "before"})
    assert name_of(matching.best(claim(), [taken], None)) == ""


def test_a_node_that_was_chosen_must_be_reached() -> None:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}
    far = volume("far", nodeAffinity={"required": {"nodeSelectorTerms": [term]}})
    assert matching.best(claim(), [far], NODE) is None
    assert name_of(matching.best(claim(), [far], None)) == "far"


def stepped(owner: Obj, *around: Obj, storage_class: Obj | None = None, node: Obj | None = None) -> claims.Step:
    return claims.step(owner, World(around, storage_class, node, wanted=False))


def reasons(step: claims.Step | volumes.Step) -> list[str]:
    return [reason for _, reason, _ in step.events]


def test_a_claim_is_bound_or_says_what_it_waits_for() -> None:
    assert name_of(stepped(claim(), volume("v")).bind) == "v"
    alone = stepped(claim())
    assert alone.status == {"phase": "Pending"} and reasons(alone) == ["FailedBinding"]
    assert reasons(stepped(claim(storage_class="none"))) == ["ProvisioningFailed"]
    waiting = stepped(claim(storage_class="local"), volume("v", storage_class="local"), storage_class=LATE)
    assert waiting.bind is None and reasons(waiting) == ["WaitForFirstConsumer"]
    other = {**LATE, "provisioner": "example.com/disks", "volumeBindingMode": "Immediate"}
    asked = stepped(claim(storage_class="local"), storage_class=other)
    assert reasons(asked) == ["ExternalProvisioning"] and asked.annotate == {claims.PROVISIONER: "example.com/disks"}


def test_a_volume_is_made_on_the_node_that_was_chosen() -> None:
    wanting = claim(storage_class="local", annotations={claims.SELECTED_NODE: "n1"})
    made = stepped(wanting, storage_class=LATE, node=NODE).make
    assert made is not None and made["spec"]["hostPath"]["path"] == "/data/acme/pvc-c1"
    assert matching.reaches(made, NODE) and not matching.reaches(made, {"metadata": {"name": "n2"}})
    assert matching.is_for(made, wanting) and matching.fits(made, wanting)
    own = stepped(wanting, storage_class={**LATE, "metadata": {"name": "local", "tenant": "acme"}}, node=NODE).make
    assert own is not None and own["spec"]["hostPath"]["path"] == "/var/lib/arktos/local-volumes/acme/pvc-c1"
    gone = stepped(wanting, storage_class=LATE, node=None)
    assert gone.annotate == {claims.SELECTED_NODE: None}


def test_a_volume_by_name() -> None:
    assert name_of(stepped(claim(volumeName="v"), volume("v")).bind) == "v"
    taken = volume("v", claimRef={"namespace": "default", "name": "data", "uid": "other"})
    assert reasons(stepped(claim(volumeName="v"), taken)) == ["FailedBinding"]
    assert reasons(stepped(claim("9Gi", volumeName="v"), volume("v"))) == ["VolumeMismatch"]


def bound_claim(**more: Any) -> Obj:
    return claim(annotations={claims.BIND_COMPLETED: "yes"}, volumeName="v", **more)


def test_a_bound_claim_has_its_volume_or_is_lost() -> None:
    mine = volume("v", claimRef={"namespace": "default", "name": "data", "uid": "c1"})
    told = stepped(bound_claim(), mine)
    assert told.status is not None and told.status["phase"] == "Bound" and told.status["capacity"] == {"storage": "1Gi"}
    lost = stepped(bound_claim())
    assert lost.status == {"phase": "Lost"} and reasons(lost) == ["ClaimLost"]


def test_a_volume_follows_its_claim() -> None:
    assert volumes.step(volume("v"), None).status is None
    named = {"claimRef": {"namespace": "default", "name": "data", "uid": "c1"}}
    bound = volumes.step(volume("v", **named), bound_claim())
    assert bound.status is not None and bound.status["phase"] == "Bound"
    kept = volumes.step(volume("v", **named), None)
    assert kept.status is not None and kept.status["phase"] == "Released" and not kept.delete
    ours = {provisioning.PROVISIONED_BY: provisioning.PROVISIONER}
    gone = volumes.step(volume("v", annotations=ours, persistentVolumeReclaimPolicy="Delete", **named), None)
    assert gone.delete
    nobody = volumes.step(volume("v", persistentVolumeReclaimPolicy="Delete", **named), None)
    assert (
        nobody.status is not None and nobody.status["phase"] == "Failed" and reasons(nobody) == ["VolumeFailedDelete"]
    )


def test_a_volume_whose_claim_went_elsewhere_is_free_again() -> None:
    named = {"claimRef": {"namespace": "default", "name": "data", "uid": "c1"}}
    elsewhere = claim(volumeName="other")
    assert volumes.step(volume("v", annotations={claims.BOUND_BY_US: "yes"}, **named), elsewhere).free
    assert not volumes.step(volume("v", **named), elsewhere).free
