"""Defaults of pod volumes and of the claim specs inside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from arktos.model.defaults import resources
from arktos.model.defaults.images import pull_policy
from arktos.model.kinds import Obj

_FILE_MODE = 0o644


def volume(volume: Obj) -> None:
    """One entry of `spec.volumes`: an `emptyDir` where no source is given, and the source's own defaults."""
    if len(volume) == 1 and "name" in volume:
        volume["emptyDir"] = {}
        return
    for source, value in volume.items():
        defaulter = _SOURCES.get(source)
        if defaulter is not None:
            defaulter(value)


def claim_spec(spec: Obj) -> None:
    """A PersistentVolumeClaim's spec, wherever it stands."""
    if not spec.get("volumeMode"):
        spec["volumeMode"] = "Filesystem"
    if spec.get("resources"):
        resources.requirements(spec["resources"])


def _with_mode(source: Obj) -> None:
    if source.get("defaultMode") is None:
        source["defaultMode"] = _FILE_MODE


def _downward(source: Obj) -> None:
    _with_mode(source)
    _downward_items(source)


def _downward_items(source: Obj) -> None:
    for item in source.get("items") or ():
        if "fieldRef" in item and not item["fieldRef"].get("apiVersion"):
            item["fieldRef"]["apiVersion"] = "v1"
        if "resourceFieldRef" in item:
            item["resourceFieldRef"].setdefault("divisor", "0")


def _projected(source: Obj) -> None:
    _with_mode(source)
    for projection in source.get("sources") or ():
        if "downwardAPI" in projection:
            _downward_items(projection["downwardAPI"])
        if "serviceAccountToken" in projection:
            token = projection["serviceAccountToken"]
            if token.get("expirationSeconds") is None:
                token["expirationSeconds"] = 3600
        if "podCertificate" in projection:
            certificate = projection["podCertificate"]
            if certificate.get("maxExpirationSeconds") is None:
                certificate["maxExpirationSeconds"] = 86400


def _host_path(source: Obj) -> None:
    source.setdefault("type", "")


def _iscsi(source: Obj) -> None:
    if not source.get("iscsiInterface"):
        source["iscsiInterface"] = "default"


def _rbd(source: Obj) -> None:
    if not source.get("pool"):
        source["pool"] = "rbd"
    if not source.get("user"):
        source["user"] = "admin"
    if not source.get("keyring"):
        source["keyring"] = "/etc/ceph/keyring"


def _azure_disk(source: Obj) -> None:
    for name, value in (("cachingMode", "ReadWrite"), ("fsType", "ext4"), ("readOnly", False), ("kind", "Shared")):
        if source.get(name) in (None, ""):
            source[name] = value


def _scale_io(source: Obj) -> None:
    if not source.get("storageMode"):
        source["storageMode"] = "ThinProvisioned"
    if not source.get("fsType"):
        source["fsType"] = "xfs"


def _ephemeral(source: Obj) -> None:
    template = source.get("volumeClaimTemplate")
    if template and "spec" in template:
        claim_spec(template["spec"])


def _image(source: Obj) -> None:
    if not source.get("pullPolicy"):
        source["pullPolicy"] = pull_policy(source.get("reference", ""))


_SOURCES: Mapping[str, Callable[[Obj], None]] = {
    "azureDisk": _azure_disk,
    "configMap": _with_mode,
    "downwardAPI": _downward,
    "ephemeral": _ephemeral,
    "hostPath": _host_path,
    "image": _image,
    "iscsi": _iscsi,
    "projected": _projected,
    "rbd": _rbd,
    "scaleIO": _scale_io,
    "secret": _with_mode,
}


def persistent_source(spec: Obj) -> None:
    """The source inside a PersistentVolume's spec: the same defaults as in pods for those kinds that both have."""
    for source in ("hostPath", "rbd", "iscsi", "azureDisk", "scaleIO"):
        if source in spec:
            _SOURCES[source](spec[source])
