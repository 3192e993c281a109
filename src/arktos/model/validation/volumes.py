"""Volume sources, in pods and in persistent volumes, as far as both have the same rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

from arktos.model.kinds import Obj
from arktos.model.validation.causes import Errors, between, check_messages, forbidden, invalid, not_supported, required
from arktos.model.validation.environment import VOLUME_FIELDS, check_field, check_resource_field
from arktos.model.validation.formats import Messages, absolute_path, dns_subdomain, local_path, no_backsteps
from arktos.model.validation.labels import check_selector
from arktos.model.validation.resources import ZERO, amount

_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_PARTITION = "must be a number between 0 and 255 (with 0 meaning the whole disk)"
_IQN = re.compile(r"iqn\.\d{4}-\d{2}\.([a-zA-Z0-9.-]+)(:[^,;*&$|\s]+)", re.ASCII)
_EUI = re.compile(r"eui\.[0-9a-fA-F]{16}")
_NAA = re.compile(r"naa\.[0-9a-fA-F]{32}")

_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "awsElasticBlockStore": ("volumeID",),
    "azureDisk": ("diskName", "diskURI"),
    "azureFile": ("secretName", "shareName"),
    "cephfs": ("monitors",),
    "cinder": ("volumeID",),
    "configMap": ("name",),
    "flexVolume": ("driver",),
    "gcePersistentDisk": ("pdName",),
    "gitRepo": ("repository",),
    "glusterfs": ("endpoints", "path"),
    "hostPath": ("path",),
    "iscsi": ("targetPortal", "iqn"),
    "local": ("path",),
    "nfs": ("server", "path"),
    "persistentVolumeClaim": ("claimName",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "quobyte": ("registry", "volume"),
    "rbd": ("monitors", "image"),
    "scaleIO": ("gateway", "system", "volumeName"),
    "secret": ("secretName",),
    "storageos": ("volumeName",),
    "vsphereVolume": ("volumePath",),
}


_encode = msgspec.json.Encoder().encode
_sound: set[bytes] = set()
"""Sources that have been found right, encoded. Pods of one template have the same, and all have their token's."""
_MOST_SOUND = 4096


def check_source(errs: Errors, path: str, name: str, source: Obj) -> None:
    """One volume source, called `name` in its volume."""
    key = _encode((name, source))
    if key in _sound:
        return
    found = len(errs)
    _check_source(errs, path, name, source)
    if len(errs) == found and len(key) < 1024:
        if len(_sound) >= _MOST_SOUND:
            _sound.clear()
        _sound.add(key)


def _check_source(errs: Errors, path: str, name: str, source: Obj) -> None:
    for field in _REQUIRED.get(name, ()):
        if not source.get(field):
            errs.append(required(f"{path}.{field}"))
    check = _CHECKS.get(name)
    if check is not None:
        check(errs, path, source)


def non_reserved(path: str) -> Messages:
    """A relative path that neither leaves its root nor starts like one that would."""
    found = local_path(path)
    if path.startswith("..") and not path.startswith("../") and path != "..":
        return (*found, "must not start with '..'")
    return found


def check_mode(errs: Errors, field: str, mode: int | None) -> None:
    """Permission bits of a file."""
    if mode is not None and not 0 <= mode <= 0o777:
        errs.append(invalid(field, mode, _MODE))


def _check_items(errs: Errors, path: str, source: Obj) -> None:
    for i, item in enumerate(source.get("items") or ()):
        field = f"{path}.items[{i}]"
        if not item.get("key"):
            errs.append(required(f"{field}.key"))
        if not item.get("path"):
            errs.append(required(f"{field}.path"))
        else:
            check_messages(errs, f"{field}.path", item["path"], non_reserved(item["path"]))
        check_mode(errs, f"{field}.mode", item.get("mode"))


def _keyed(errs: Errors, path: str, source: Obj) -> None:
    check_mode(errs, f"{path}.defaultMode", source.get("defaultMode"))
    _check_items(errs, path, source)


def _downward_file(errs: Errors, path: str, item: Obj) -> None:
    if not item.get("path"):
        errs.append(required(f"{path}.path"))
    else:
        check_messages(errs, f"{path}.path", item["path"], non_reserved(item["path"]))
    if "fieldRef" in item:
        check_field(errs, f"{path}.fieldRef", item["fieldRef"], VOLUME_FIELDS)
        if "resourceFieldRef" in item:
            errs.append(invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
    elif "resourceFieldRef" in item:
        check_resource_field(errs, f"{path}.resourceFieldRef", item["resourceFieldRef"], in_volume=True)
    else:
        errs.append(required(path, "one of fieldRef and resourceFieldRef is required"))
    check_mode(errs, f"{path}.mode", item.get("mode"))


def _downward(errs: Errors, path: str, source: Obj) -> None:
    check_mode(errs, f"{path}.defaultMode", source.get("defaultMode"))
    for item in source.get("items") or ():
        _downward_file(errs, path, item)


def _token(errs: Errors, path: str, source: Obj) -> None:
    seconds = source.get("expirationSeconds", 3600)
    if seconds < 600:
        errs.append(invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
    if seconds > 1 << 32:
        detail = "may not specify a duration larger than 2^32 seconds"
        errs.append(invalid(f"{path}.expirationSeconds", seconds, detail))


def _trust_bundle(errs: Errors, path: str, source: Obj) -> None:
    name, signer = source.get("name"), source.get("signerName")
    if name is not None and signer is not None:
        errs.append(invalid(path, source, "only one of name and signerName may be used"))
    elif name is not None:
        if not name:
            errs.append(required(f"{path}.name", "must be a valid object name"))
        if "labelSelector" in source:
            detail = "labelSelector must be unset if name is specified"
            errs.append(invalid(f"{path}.labelSelector", source["labelSelector"], detail))
    elif signer is not None:
        if not signer:
            errs.append(required(f"{path}.signerName", "must be a valid signer name"))
        if "labelSelector" in source:
            check_selector(errs, f"{path}.labelSelector", source["labelSelector"])
    else:
        errs.append(required(path, "either name or signerName must be specified"))


_PROJECTIONS = ("secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate")


def _projected(errs: Errors, path: str, source: Obj) -> None:
    check_mode(errs, f"{path}.defaultMode", source.get("defaultMode"))
    taken: set[str] = set()
    for i, projection in enumerate(source.get("sources") or ()):
        field = f"{path}.sources[{i}]"
        found = [name for name in _PROJECTIONS if name in projection]
        for name in found:
            _projection(errs, path, f"{field}.{name}", name, projection[name], taken)
        if len(found) > 1:
            errs.append(forbidden(field, "may not specify more than 1 volume type per source"))


def _projection(errs: Errors, root: str, path: str, name: str, source: Obj, taken: set[str]) -> None:
    if name in ("secret", "configMap"):
        if not source.get("name"):
            errs.append(required(f"{path}.name"))
        _check_items(errs, path, source)
    elif name == "downwardAPI":
        for item in source.get("items") or ():
            _downward_file(errs, path, item)
    elif name == "serviceAccountToken":
        _token(errs, path, source)
    elif name == "clusterTrustBundle":
        _trust_bundle(errs, path, source)
    if name in ("serviceAccountToken", "clusterTrustBundle"):
        field = f"{root}.path" if name == "serviceAccountToken" else f"{path}.path"
        if not source.get("path"):
            errs.append(required(field))
        else:
            check_messages(errs, field, source["path"], non_reserved(source["path"]))
    _claim_paths(errs, root, name, source, taken)


def _claim_paths(errs: Errors, root: str, name: str, source: Obj, taken: set[str]) -> None:
    """No two projections write one path."""
    paths = [item.get("path") for item in source.get("items") or ()]
    if name == "clusterTrustBundle":
        paths.append(source.get("path"))
    for each in paths:
        if each and each in taken:
            shown = source.get("name", "") if name in ("secret", "configMap") else each
            errs.append(invalid(root, shown, "conflicting duplicate paths"))
        elif each:
            taken.add(each)


def _empty_dir(errs: Errors, path: str, source: Obj) -> None:
    if "sizeLimit" in source:
        limit = amount(source["sizeLimit"])
        if limit is None or limit < ZERO:
            errs.append(forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity"))


def _below(errs: Errors, path: str, source: Obj) -> None:
    check_messages(errs, f"{path}.path", source.get("path", ""), no_backsteps(source.get("path", "")))


def _git(errs: Errors, path: str, source: Obj) -> None:
    directory = source.get("directory", "")
    check_messages(errs, f"{path}.directory", directory, local_path(directory))


def _nfs(errs: Errors, path: str, source: Obj) -> None:
    if not absolute_path(source.get("path", "")):
        errs.append(invalid(f"{path}.path", source.get("path", ""), "must be an absolute path"))


def _disk(errs: Errors, path: str, source: Obj) -> None:
    partition = source.get("partition", 0)
    if not 0 <= partition <= 255:
        errs.append(invalid(f"{path}.partition", partition, _PARTITION))


def _lun(errs: Errors, path: str, lun: int) -> None:
    if not 0 <= lun <= 255:
        errs.append(invalid(f"{path}.lun", lun, between(0, 255)))


def _initiator(errs: Errors, field: str, name: str) -> None:
    if not name.startswith(("iqn", "eui", "naa")):
        errs.append(invalid(field, name, "must be valid format starting with iqn, eui, or naa"))
    elif not (_IQN.fullmatch(name) or _EUI.fullmatch(name) or _NAA.fullmatch(name)):
        errs.append(invalid(field, name, "must be valid format"))


def _iscsi(errs: Errors, path: str, source: Obj) -> None:
    if source.get("iqn"):
        _initiator(errs, f"{path}.iqn", source["iqn"])
    _lun(errs, path, source.get("lun", 0))
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and "secretRef" not in source:
        errs.append(required(f"{path}.secretRef"))
    if "initiatorName" in source:
        _initiator(errs, f"{path}.initiatorname", source["initiatorName"])


def _fibre(errs: Errors, path: str, source: Obj) -> None:
    names, ids = source.get("targetWWNs"), source.get("wwids")
    if not names and not ids:
        errs.append(required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both"))
    elif names and ids:
        detail = "targetWWNs and wwids can not be specified simultaneously"
        errs.append(invalid(f"{path}.targetWWNs", names, detail))
    if names:
        if source.get("lun") is None:
            errs.append(required(f"{path}.lun", "lun is required if targetWWNs is specified"))
        else:
            _lun(errs, path, source["lun"])


def _flocker(errs: Errors, path: str, source: Obj) -> None:
    name, uuid = source.get("datasetName"), source.get("datasetUUID")
    if not name and not uuid:
        errs.append(required(path, "one of datasetName and datasetUUID is required"))
    elif name and uuid:
        errs.append(invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously"))
    if name and "/" in name:
        errs.append(invalid(f"{path}.datasetName", name, "must not contain '/'"))


def _flex(errs: Errors, path: str, source: Obj) -> None:
    for key in source.get("options") or ():
        domain = "." + key.partition("/")[0].lower()
        if domain.endswith((".kubernetes.io", ".k8s.io")):
            detail = "kubernetes.io and k8s.io namespaces are reserved"
            errs.append(invalid(f"{path}.options[{key}]", key, detail))


def _azure_disk(errs: Errors, path: str, source: Obj) -> None:
    uri, kind = source.get("diskURI", ""), source.get("kind")
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        form = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
        errs.append(not_supported(f"{path}.diskURI", uri, (form,)))
    elif kind not in (None, "Managed") and not uri.startswith("https://"):
        form = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
        errs.append(not_supported(f"{path}.diskURI", uri, (form,)))


def _csi(errs: Errors, path: str, source: Obj) -> None:
    check_driver(errs, f"{path}.driver", source.get("driver", ""))


def check_driver(errs: Errors, field: str, name: str) -> None:
    """The name of a CSI driver: a subdomain of at most 63 bytes, in any case."""
    if not name:
        errs.append(required(field))
        return
    if len(name) > 63:
        check_messages(errs, field, name, ("must be no more than 63 bytes",))
    check_messages(errs, field, name, dns_subdomain(name.lower()))


_CHECKS: Mapping[str, Callable[[Errors, str, Obj], None]] = {
    "awsElasticBlockStore": _disk,
    "azureDisk": _azure_disk,
    "configMap": _keyed,
    "csi": _csi,
    "downwardAPI": _downward,
    "emptyDir": _empty_dir,
    "fc": _fibre,
    "flexVolume": _flex,
    "flocker": _flocker,
    "gcePersistentDisk": _disk,
    "gitRepo": _git,
    "hostPath": _below,
    "iscsi": _iscsi,
    "local": _below,
    "nfs": _nfs,
    "projected": _projected,
    "secret": _keyed,
}
