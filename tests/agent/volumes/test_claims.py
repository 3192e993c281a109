"""Claims, and what they are bound to."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from agent.spec.pods import pod
from arktos.agent.volumes.claims import Claimed, claimed
from arktos.agent.volumes.volume import VolumeError

VOLUME = {"name": "data", "persistentVolumeClaim": {"claimName": "disk"}}
CLAIM: dict[str, Any] = {
    "metadata": {"name": "disk", "namespace": "shop", "uid": "c-1"},
    "spec": {"volumeName": "pv-1", "volumeMode": "Filesystem"},
    "status": {"phase": "Bound"},
}
BOUND: dict[str, Any] = {
    "metadata": {"name": "pv-1", "annotations": {"pv.beta.kubernetes.io/gid": "77"}},
    "spec": {"claimRef": {"uid": "c-1"}, "local": {"path": "/mnt/disk"}, "accessModes": ["ReadWriteOnce"]},
}


class Reader:
    def __init__(self, claim: dict[str, Any] | None, volume: dict[str, Any] | None) -> None:
        self._found = {"persistentvolumeclaims": claim, "persistentvolumes": volume}
        self.asked: list[tuple[str, ...]] = []

    async def read(self, *asked: str) -> dict[str, Any] | None:
        self.asked.append(asked)
        return self._found[asked[0]]


def changed(document: dict[str, Any], **parts: Any) -> dict[str, Any]:
    made = copy.deepcopy(document)
    for path, value in parts.items():
        *above, last = path.split("__")
        at = made
        for step in above:
            at = at[step]
        if value is None:
            at.pop(last)
        else:
            at[last] = value
    return made


async def test_a_local_volume() -> None:
    reader = Reader(CLAIM, BOUND)
    found = await claimed(pod(), VOLUME, reader)
    assert found == Claimed("/mnt/disk", False, False, group=77)
    assert reader.asked == [
        ("persistentvolumeclaims", "acme", "shop", "disk"),
        ("persistentvolumes", "acme", "", "pv-1"),
    ]


async def test_other_forms() -> None:
    host = changed(BOUND, spec__local=None, spec__hostPath={"path": "/srv", "type": "Directory"})
    assert (await claimed(pod(), VOLUME, Reader(CLAIM, host))).host_path_type == "Directory"
    block = changed(CLAIM, spec__volumeMode="Block")
    assert (await claimed(pod(), VOLUME, Reader(block, BOUND))).block
    only_read = changed(BOUND, spec__accessModes=["ReadOnlyMany"])
    assert (await claimed(pod(), VOLUME, Reader(CLAIM, only_read))).read_only
    asked = {"name": "data", "persistentVolumeClaim": {"claimName": "disk", "readOnly": True}}
    assert (await claimed(pod(), asked, Reader(CLAIM, BOUND))).read_only


@pytest.mark.parametrize(
    ("claim", "volume", "message"),
    [
        (
            None,
            BOUND,
            "error processing PVC shop/disk: failed to fetch PVC from API server: "
            'persistentvolumeclaims "disk" not found',
        ),
        (changed(CLAIM, status__phase="Pending"), BOUND, "error processing PVC shop/disk: PVC is not bound"),
        (changed(CLAIM, spec__volumeName=None), BOUND, "error processing PVC shop/disk: PVC is not bound"),
        (
            changed(CLAIM, metadata__deletionTimestamp="2026-01-01T00:00:00Z"),
            BOUND,
            "error processing PVC shop/disk: PVC is being deleted",
        ),
        (
            CLAIM,
            None,
            "error processing PVC shop/disk: failed to fetch PV pv-1 from API server: "
            'persistentvolumes "pv-1" not found',
        ),
        (
            CLAIM,
            changed(BOUND, spec__claimRef={"uid": "other"}),
            "error processing PVC shop/disk: PV pv-1 claimRef.uid other does not match PVC uid c-1",
        ),
        (
            CLAIM,
            changed(BOUND, spec__local=None, spec__nfs={"server": "x"}),
            "no volume plugin matched: PersistentVolume pv-1 is of type nfs; this node has local and hostPath",
        ),
    ],
)
async def test_what_a_pod_may_not_have(claim: Any, volume: Any, message: str) -> None:
    with pytest.raises(VolumeError) as caught:
        await claimed(pod(), VOLUME, Reader(claim, volume))
    assert caught.value.message == message


async def test_an_ephemeral_claim_must_be_the_pods_own() -> None:
    asked = {"name": "data", "ephemeral": {"volumeClaimTemplate": {}}}
    own = changed(CLAIM, metadata__ownerReferences=[{"uid": "u-1", "controller": True}])
    reader = Reader(own, BOUND)
    assert (await claimed(pod(), asked, reader)).path == "/mnt/disk"
    assert reader.asked[0][3] == "web-data"
    with pytest.raises(VolumeError) as caught:
        await claimed(pod(), asked, Reader(CLAIM, BOUND))
    assert caught.value.message == "PVC shop/disk was not created for pod shop/web (pod is not owner)"
