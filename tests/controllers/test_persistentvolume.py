"""Which volume a claim gets, and what becomes of either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from arktos.controllers.persistentvolume import claims, provisioning, volumes
from arktos.controllers.persistentvolume.claims import World
from arktos.model import volumematching as matching

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
    status = spec.pop("status", {})
    told = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"metadata": meta, "spec": {**told, "storageClassName": storage_class, **spec}, "status": status}


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


def stepped(
    owner: Obj,
    *around: Obj,
    storage_class: Obj | None = None,
    node: Obj | None = None,
    waiting: Sequence[str] = (),
    default: str = "",
) -> claims.Step:
    return claims.step(owner, World(around, storage_class, node, waiting, default))


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
    assert reasons(asked) == ["ExternalProvisioning"] and asked.annotate == {
        "volume.beta.kubernetes.io/storage-provisioner": "example.com/disks",
        "volume.kubernetes.io/storage-provisioner": "example.com/disks",
    }


def test_a_volume_is_made_on_the_node_that_was_chosen() -> None:
    wanting = claim(storage_class="local", annotations={claims.SELECTED_NODE: "n1"})
    made = stepped(wanting, storage_class=LATE, node=NODE).make
    assert made is not None and made["spec"]["hostPath"]["path"] == "/data/acme/pvc-c1"
    assert matching.reaches(made, NODE) and not matching.reaches(made, {"metadata": {"name": "n2"}})
    assert matching.is_for(made, wanting) and not matching.mismatch(made, wanting)
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
    named: Obj = {"claimRef": {"namespace": "default", "name": "data", "uid": "c1"}}
    bound = volumes.step(volume("v", **named), bound_claim())
    assert bound.status is not None and bound.status["phase"] == "Bound"
    kept = volumes.step(volume("v", **named), None)
    assert kept.status is not None and kept.status["phase"] == "Released" and not kept.delete
    ours = {provisioning.PROVISIONED_BY: provisioning.PROVISIONER}
    there: Obj = {"annotations": ours, "persistentVolumeReclaimPolicy": "Delete", "hostPath": {"path": "/x"}}
    gone = volumes.step(volume("v", **there, **named), None)
    assert gone.delete
    nobody = volumes.step(volume("v", persistentVolumeReclaimPolicy="Delete", **named), None)
    assert (
        nobody.status is not None and nobody.status["phase"] == "Failed" and reasons(nobody) == ["VolumeFailedDelete"]
    )


def test_a_volume_whose_claim_went_elsewhere_is_free_again() -> None:
    named: Obj = {"claimRef": {"namespace": "default", "name": "data", "uid": "c1"}}
    elsewhere = claim(volumeName="other")
    found = volumes.step(volume("v", annotations={claims.BOUND_BY_US: "yes"}, **named), elsewhere)
    assert found.free == {"metadata": {"annotations": {claims.BOUND_BY_US: None}}, "spec": {"claimRef": None}}
    # Tied by hand: it stays tied to the name.
    by_hand = volumes.step(volume("v", **named), elsewhere)
    assert by_hand.free == {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}}


def test_of_equal_fit_the_volume_with_fewer_access_modes() -> None:
    both = volume("both", "1Gi", accessModes=["ReadWriteOnce", "ReadOnlyMany"])
    assert name_of(matching.best(claim(), [both, volume("one", "5Gi")], None)) == "one"
    assert name_of(matching.best(claim(), [both], None)) == "both"


@pytest.mark.parametrize(
    ("offered", "wanted", "why"),
    [
        ({"size": "1Mi"}, {}, "requested PV is too small"),
        ({"storage_class": "fast"}, {}, "storageClassName does not match"),
        ({"volumeMode": "Block"}, {}, "incompatible volumeMode"),
        ({"accessModes": ["ReadOnlyMany"]}, {}, "incompatible accessMode"),
        ({}, {"volumeAttributesClassName": "gold"}, "volumeAttributesClassName does not match"),
    ],
)
def test_why_a_volume_that_was_asked_for_is_not_given(offered: Obj, wanted: Obj, why: str) -> None:
    found = stepped(claim(volumeName="v", **wanted), volume("v", **offered))
    said = f'Cannot bind to requested volume "v": {why}'
    assert found.bind is None and found.events == [("Warning", "VolumeMismatch", said)]


def test_a_volume_that_names_the_claim_need_not_be_of_its_class() -> None:
    tied = volume("v", storage_class="by-hand", claimRef={"namespace": "default", "name": "data"})
    assert name_of(stepped(claim(storage_class="fast"), tied).bind) == "v"
    small = volume("v", "1Mi", claimRef={"namespace": "default", "name": "data"})
    assert stepped(claim(), small).bind is None


def test_a_claim_that_says_nothing_of_classes_gets_the_default_when_nothing_fits() -> None:
    silent = claim()
    del silent["spec"]["storageClassName"]
    assert stepped(silent, default="std").state_class == "std"
    assert name_of(stepped(silent, volume("v"), default="std").bind) == "v"
    # "" says: none.
    assert not stepped(claim(), default="std").state_class and reasons(stepped(claim(), default="std"))
    marked = {"storageclass.kubernetes.io/is-default-class": "true"}
    many = [
        {"metadata": {"name": name, "creationTimestamp": at, "annotations": marked}}
        for name, at in (("old", "2026-01-01T00:00:00Z"), ("b", "2026-01-02T00:00:00Z"), ("a", "2026-01-02T00:00:00Z"))
    ]
    assert matching.default_class(many) == "a" and matching.default_class([]) == ""


def test_who_is_waited_for() -> None:
    def said(*pods: str) -> tuple[str, str]:
        found = stepped(claim(storage_class="local"), storage_class=LATE, waiting=pods)
        assert found.status == {"phase": "Pending"}
        return found.events[0][1:]

    assert said() == ("WaitForFirstConsumer", "waiting for first consumer to be created before binding")
    assert said("web") == ("WaitForPodScheduled", "waiting for pod web to be scheduled")
    assert said("web-1", "web-0") == ("WaitForPodScheduled", "waiting for pods web-0,web-1 to be scheduled")


def test_volumes_by_hand_only_are_not_made() -> None:
    by_hand = {**LATE, "provisioner": "kubernetes.io/no-provisioner"}
    chosen = claim(storage_class="local", annotations={claims.SELECTED_NODE: "n1"})
    found = stepped(chosen, storage_class=by_hand, node=NODE)
    assert found.annotate == {claims.SELECTED_NODE: None}
    assert found.events == [
        ("Warning", "ProvisioningFailed", "no volume plugin matched name: kubernetes.io/no-provisioner")
    ]
    assert name_of(stepped(chosen, volume("v", storage_class="local"), storage_class=by_hand, node=NODE).bind) == "v"


@pytest.mark.parametrize(
    ("wanted", "options", "why"),
    [
        ({"dataSource": {"kind": "PersistentVolumeClaim", "name": "x"}}, [], "Only CSI plugin can provision"),
        ({"accessModes": ["ReadWriteMany"]}, [], "invalid AccessModes [ReadWriteMany]: only AccessModes "),
        ({"volumeMode": "Block"}, [], "does not support block volume provisioning"),
        ({"selector": {"matchLabels": {"a": "b"}}}, [], "claim Selector is not supported"),
        ({"volumeAttributesClassName": "gold"}, [], "does not support VolumeAttributesClass"),
        ({}, ["ro", "noatime"], 'StorageClass "local" has mount options [ro noatime]'),
    ],
)
def test_what_no_node_can_give_is_refused(wanted: Obj, options: list[str], why: str) -> None:
    asked = claim(storage_class="local", annotations={claims.SELECTED_NODE: "n1"}, **wanted)
    found = stepped(asked, storage_class={**LATE, "mountOptions": options}, node=NODE)
    assert found.make is None and reasons(found) == ["ProvisioningFailed"] and why in found.events[0][2]


def test_the_name_of_a_node_may_be_longer_than_a_label() -> None:
    host = {"metadata": {"name": "n" * 64}}
    made = provisioning.volume(claim(), LATE, host)
    assert "labels" not in made["metadata"] and matching.reaches(made, host)


def test_what_a_claim_holds_is_said_when_it_is_bound_and_forgotten_when_it_is_lost() -> None:
    mine = volume("v", "5Gi", claimRef={"namespace": "default", "name": "data", "uid": "c1"})
    held: Obj = {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    assert stepped(bound_claim(status=held), mine).status is None
    lost = stepped(bound_claim(status=held))
    assert lost.status == {"phase": "Lost", "accessModes": None, "capacity": None}
    silent = bound_claim(status=held)
    del silent["spec"]["volumeName"]
    assert stepped(silent).events[0][2] == (
        "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
    )
    other = volume("v", claimRef={"namespace": "default", "name": "data", "uid": "c2"})
    assert reasons(stepped(bound_claim(status=held), other)) == ["ClaimMisbound"]


def test_more_is_given_where_a_directory_is_the_volume_and_waited_for_elsewhere() -> None:
    ref = {"namespace": "default", "name": "data", "uid": "c1"}
    held: Obj = {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    wanting = bound_claim(size="2Gi", status=held)
    ours = volume(
        "v",
        claimRef=ref,
        hostPath={"path": "/x"},
        annotations={provisioning.PROVISIONED_BY: provisioning.PROVISIONER},
    )
    assert stepped(wanting, ours).grow == "2Gi"
    assert stepped(bound_claim(status=held), ours).grow == ""
    grows = {**LATE, "allowVolumeExpansion": True}
    waits = stepped(wanting, volume("v", claimRef=ref), storage_class=grows)
    assert waits.events == [("Normal", "ExternalExpanding", "waiting for an external controller to expand this PVC")]
    assert not waits.grow and not stepped(wanting, volume("v", claimRef=ref), storage_class=LATE).events


def test_a_volume_and_a_claim_of_different_modes_are_told_both() -> None:
    named = volume("v", volumeMode="Block", claimRef={"namespace": "default", "name": "data", "uid": "c1"})
    found = volumes.step(named, claim())
    assert reasons(found) == ["VolumeMismatch"] and [reason for _, reason, _ in found.claim_events] == reasons(found)
    assert volumes.step(volume("v", claimRef=named["spec"]["claimRef"]), claim()).look


@pytest.mark.parametrize(
    ("policy", "annotations", "phase"),
    [
        ("Retain", {}, "Released"),
        ("Recycle", {}, "Failed"),
        ("Delete", {}, "Failed"),
        ("Delete", {provisioning.PROVISIONED_BY: "example.com/disks"}, "Released"),
        ("Sell", {}, "Failed"),
    ],
)
def test_what_becomes_of_a_volume_whose_claim_has_gone(policy: str, annotations: Obj, phase: str) -> None:
    named: Obj = {"claimRef": {"namespace": "default", "name": "data", "uid": "c1"}}
    left = volume("v", persistentVolumeReclaimPolicy=policy, annotations=annotations, **named)
    found = volumes.step(left, None)
    assert found.status is not None and found.status["phase"] == phase and not found.delete
    if phase == "Failed":
        # It is said once, and stays to be seen.
        left["status"]["phase"] = "Failed"
        again = volumes.step(left, None)
        assert again.status is None and not again.events
