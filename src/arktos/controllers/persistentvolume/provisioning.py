"""Volumes that are made on a node for a claim: pure.

A volume is a directory on the node that the scheduler chose, below the `path` that the operators' storage class tells.
The node's agent makes the directory when the first pod uses it, and removes it when the volume has gone.
"""

from __future__ import annotations

from arktos.model.kinds import SYSTEM_TENANT, Obj

PROVISIONER = "arktos.io/local-path"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
DEFAULT_PATH = "/var/lib/arktos/local-volumes"


def name_for(claim: Obj) -> str:
    """The same for the same claim: it is made once, whatever crashes."""
    return f"pvc-{claim['metadata']['uid']}"


def volume(claim: Obj, storage_class: Obj, node: Obj) -> Obj:
    """The volume to create, bound to its claim from the start."""
    meta = claim["metadata"]
    name = name_for(claim)
    # A tenant's own class says nothing of the nodes' file systems.
    told = storage_class["metadata"].get("tenant") == SYSTEM_TENANT
    root = ((storage_class.get("parameters") or {}).get("path") if told else "") or DEFAULT_PATH
    host = node["metadata"]["name"]
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [host]}]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "tenant": meta["tenant"],
            "annotations": {PROVISIONED_BY: PROVISIONER},
            "labels": {"kubernetes.io/hostname": host},
        },
        "spec": {
            "capacity": {"storage": (claim["spec"].get("resources") or {}).get("requests", {}).get("storage", "0")},
            "accessModes": claim["spec"].get("accessModes") or ["ReadWriteOnce"],
            "volumeMode": claim["spec"].get("volumeMode") or "Filesystem",
            "storageClassName": storage_class["metadata"]["name"],
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
            "hostPath": {"path": f"{root.rstrip('/')}/{meta['tenant']}/{name}", "type": "DirectoryOrCreate"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
        },
    }
