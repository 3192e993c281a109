"""Volumes that are made on a node for a claim: pure.

A volume is a directory on the node that the scheduler chose, below the `path` that the operators' storage class tells.
The node's agent makes the directory when the first pod uses it, and removes it when the volume has gone. A directory
has no size of its own: what the volume says is what quotas count, and it grows when it is asked to.
"""

from __future__ import annotations

from arktos.model.kinds import SYSTEM_TENANT, Obj

PROVISIONER = "arktos.io/local-path"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
"""Stands in classes of volumes that are made by hand."""
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
DEFAULT_PATH = "/var/lib/arktos/local-volumes"
ACCESS_MODES = ("ReadWriteOnce", "ReadWriteOncePod")
_HOSTNAME = "kubernetes.io/hostname"
_LONGEST_LABEL = 63


def name_for(claim: Obj) -> str:
    """The same for the same claim: it is made once, whatever crashes."""
    return f"pvc-{claim['metadata']['uid']}"


def is_ours(volume: Obj) -> bool:
    """Whether a volume was made here, as far as it can be told from what its tenant may write."""
    annotations = volume["metadata"].get("annotations") or {}
    return annotations.get(PROVISIONED_BY) == PROVISIONER and bool(volume["spec"].get("hostPath"))


def failed(storage_class: Obj, why: str) -> str:
    """What is said of a volume that could not be made."""
    return f'Failed to provision volume with StorageClass "{storage_class["metadata"]["name"]}": {why}'


def refusal(claim: Obj, storage_class: Obj) -> str:
    """Why no node could ever have such a volume; "" if one can."""
    spec, name = claim["spec"], storage_class["metadata"]["name"]
    if spec.get("dataSource") or spec.get("dataSourceRef"):
        return f'plugin "{PROVISIONER}" is not a CSI plugin. Only CSI plugin can provision a claim with a datasource'
    if storage_class.get("mountOptions"):
        options = _listed(storage_class["mountOptions"])
        return (
            f'Mount options are not supported by the provisioner but StorageClass "{name}" has mount options {options}'
        )
    why = ""
    modes = spec.get("accessModes") or []
    if not set(modes) <= set(ACCESS_MODES):
        why = f"invalid AccessModes {_listed(modes)}: only AccessModes {_listed(ACCESS_MODES)} are supported"
    elif spec.get("volumeMode") == "Block":
        why = f"{PROVISIONER} does not support block volume provisioning"
    elif spec.get("selector") is not None:
        why = "claim Selector is not supported"
    elif spec.get("volumeAttributesClassName"):
        why = f"{PROVISIONER} does not support VolumeAttributesClass"
    return failed(storage_class, why) if why else ""


def _listed(words: list[str] | tuple[str, ...]) -> str:
    return f"[{' '.join(words)}]"


def volume(claim: Obj, storage_class: Obj, node: Obj) -> Obj:
    """The volume to create, bound to its claim from the start."""
    meta = claim["metadata"]
    name = name_for(claim)
    # A tenant's own class says nothing of the nodes' file systems.
    told = storage_class["metadata"].get("tenant") == SYSTEM_TENANT
    root = ((storage_class.get("parameters") or {}).get("path") if told else "") or DEFAULT_PATH
    host = node["metadata"]["name"]
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [host]}]}
    made: Obj = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "tenant": meta["tenant"],
            "annotations": {PROVISIONED_BY: PROVISIONER, "pv.kubernetes.io/bound-by-controller": "yes"},
        },
        "spec": {
            "capacity": {"storage": (claim["spec"].get("resources") or {}).get("requests", {}).get("storage", "0")},
            "accessModes": claim["spec"].get("accessModes") or ["ReadWriteOnce"],
            "volumeMode": claim["spec"].get("volumeMode") or "Filesystem",
            "storageClassName": storage_class["metadata"]["name"],
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
            "hostPath": {"path": f"{root.rstrip('/')}/{meta['tenant']}/{name}", "type": "DirectoryOrCreate"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
            "claimRef": reference(claim),
        },
    }
    if len(host) <= _LONGEST_LABEL:
        made["metadata"]["labels"] = {_HOSTNAME: host}
    return made


def reference(claim: Obj) -> Obj:
    """What a volume says of the claim that has it."""
    meta = claim["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
        **({"resourceVersion": meta["resourceVersion"]} if meta.get("resourceVersion") else {}),
    }
