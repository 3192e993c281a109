"""Claims: which volume a pod's persistentVolumeClaim or ephemeral volume means, and whether it may have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from arktos.agent.volumes.provisioned import PROVISIONED_BY, PROVISIONER
from arktos.agent.volumes.volume import VolumeError
from arktos.model import quantity
from arktos.model.kinds import Obj

_GROUP_ANNOTATION = "pv.beta.kubernetes.io/gid"


class Reader(Protocol):
    """Reads objects as they are now."""

    async def read(self, resource: str, tenant: str, namespace: str, name: str) -> Obj | None:
        """None for what does not exist. Raises ApiError or ConnectionFailed if that cannot be learnt."""
        ...


@dataclass(frozen=True, slots=True)
class Claimed:
    """A persistent volume that lies on this node: `path`, to be made or checked as `host_path_type` says (None for a
    local volume, which must be there). `provisioned` is the name of one that was made for its claim, whose directory we
    make if it can have `size` bytes."""

    path: str
    block: bool
    read_only: bool
    filesystem: str = ""
    mount_options: tuple[str, ...] = ()
    host_path_type: str | None = None
    group: int | None = None
    provisioned: str = ""
    size: int = 0


def claim_name(pod: Obj, volume: Obj) -> str:
    """The claim that a volume means: the one that it names, or the one made for it."""
    if volume.get("ephemeral"):
        return f"{pod['metadata']['name']}-{volume['name']}"
    return str(volume["persistentVolumeClaim"].get("claimName", ""))


async def claimed(pod: Obj, volume: Obj, reader: Reader) -> Claimed:
    """What a claim of a pod is bound to. Raises VolumeError until it is bound, and for volumes that are not of this
    node; what the reader raises."""
    meta, name = pod["metadata"], claim_name(pod, volume)
    tenant, namespace = meta.get("tenant", ""), meta.get("namespace", "")
    where = f"error processing PVC {namespace}/{name}"
    claim = await reader.read("persistentvolumeclaims", tenant, namespace, name)
    if claim is None:
        raise VolumeError(f'{where}: failed to fetch PVC from API server: persistentvolumeclaims "{name}" not found')
    _check_claim(pod, volume, claim, where)
    volume_name = claim["spec"].get("volumeName", "")
    found = await reader.read("persistentvolumes", tenant, "", volume_name)
    if found is None:
        raise VolumeError(
            f'{where}: failed to fetch PV {volume_name} from API server: persistentvolumes "{volume_name}" not found'
        )
    bound_to = (found["spec"].get("claimRef") or {}).get("uid")
    if bound_to != claim["metadata"].get("uid"):
        raise VolumeError(
            f"{where}: PV {volume_name} claimRef.uid {bound_to or ''} does not match PVC uid "
            f"{claim['metadata'].get('uid', '')}"
        )
    read_only = bool((volume.get("persistentVolumeClaim") or {}).get("readOnly"))
    return _placed(found, claim, read_only or _only_read(found))


def _check_claim(pod: Obj, volume: Obj, claim: Obj, where: str) -> None:
    meta = claim["metadata"]
    if volume.get("ephemeral"):
        owners = meta.get("ownerReferences") or ()
        if not any(each.get("controller") and each.get("uid") == pod["metadata"]["uid"] for each in owners):
            raise VolumeError(
                f"PVC {meta.get('namespace', '')}/{meta['name']} was not created for pod "
                f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']} (pod is not owner)"
            )
    if meta.get("deletionTimestamp"):
        raise VolumeError(f"{where}: PVC is being deleted")
    if (claim.get("status") or {}).get("phase") != "Bound" or not claim["spec"].get("volumeName"):
        raise VolumeError(f"{where}: PVC is not bound")


def _placed(found: Obj, claim: Obj, read_only: bool) -> Claimed:
    spec = found["spec"]
    block = (claim["spec"].get("volumeMode") or spec.get("volumeMode")) == "Block"
    options, group = tuple(spec.get("mountOptions") or ()), _group(found)
    if local := spec.get("local"):
        return Claimed(local["path"], block, read_only, local.get("fsType") or "", options, None, group)
    host = spec.get("hostPath")
    if host and (found["metadata"].get("annotations") or {}).get(PROVISIONED_BY) == PROVISIONER:
        size = quantity.parse(str((spec.get("capacity") or {}).get("storage") or "0")).value
        return Claimed(host["path"], block, read_only, "", options, None, group, found["metadata"]["name"], size)
    if host:
        return Claimed(host["path"], block, read_only, "", options, host.get("type") or "", group)
    kinds = ", ".join(key for key, value in sorted(spec.items()) if isinstance(value, dict) and key not in _NO_SOURCES)
    raise VolumeError(
        f"no volume plugin matched: PersistentVolume {found['metadata']['name']} is of type {kinds or 'unknown'}; "
        "this node has local and hostPath"
    )


_NO_SOURCES = frozenset({"capacity", "claimRef", "nodeAffinity"})


def _only_read(found: Obj) -> bool:
    return set(found["spec"].get("accessModes") or ()) == {"ReadOnlyMany"}


def _group(found: Obj) -> int | None:
    stated = (found["metadata"].get("annotations") or {}).get(_GROUP_ANNOTATION, "")
    return int(stated) if stated.isascii() and stated.isdigit() else None
