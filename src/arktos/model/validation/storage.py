"""Persistent volumes, classes and CSI objects."""

from __future__ import annotations

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    IMMUTABLE,
    Errors,
    check_immutable,
    check_messages,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from arktos.model.validation.claims import check_access_modes
from arktos.model.validation.formats import dns_label, dns_subdomain, qualified_name
from arktos.model.validation.labels import check_label_name, check_selector
from arktos.model.validation.resources import check_amount, check_positive
from arktos.model.validation.rules import Rules
from arktos.model.validation.scheduling import check_node_selector
from arktos.model.validation.volumes import check_driver, check_source

_SOURCES = (
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
)
_CSI_SECRETS = (
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
    "nodeStageSecretRef",
    "nodePublishSecretRef",
    "nodeExpandSecretRef",
)


def _check_volume(errs: Errors, volume: Obj) -> None:
    spec = volume.get("spec") or {}
    modes = spec.get("accessModes") or []
    if not modes:
        errs.append(required("spec.accessModes"))
    check_access_modes(errs, "spec.accessModes", modes)
    capacity = spec.get("capacity") or {}
    if not capacity:
        errs.append(required("spec.capacity"))
    if set(capacity) != {"storage"}:
        errs.append(not_supported("spec.capacity", capacity, ("storage",)))
    for name, value in capacity.items():
        check_positive(errs, f"spec.capacity[{name}]", value)
    affinity = spec.get("nodeAffinity")
    if affinity is not None:
        if "required" in affinity:
            check_node_selector(errs, "spec.nodeAffinity.required", affinity["required"])
        else:
            errs.append(required("spec.nodeAffinity.required", "must specify required node constraints"))
    _check_volume_source(errs, spec)
    name = spec.get("storageClassName")
    if name:
        check_messages(errs, "spec.storageClassName", name, dns_subdomain(name))
    attributes = spec.get("volumeAttributesClassName")
    if attributes is not None:
        if not attributes:
            errs.append(required("spec.volumeAttributesClassName", "an empty string is disallowed"))
        if "csi" not in spec:
            errs.append(required("spec.csi", "has to be specified when using volumeAttributesClassName"))


def _check_volume_source(errs: Errors, spec: Obj) -> None:
    found = [name for name in _SOURCES if name in spec]
    if not found:
        errs.append(required("spec", "must specify a volume type"))
        return
    for name in found[1:]:
        errs.append(forbidden(f"spec.{name}", "may not specify more than 1 volume type"))
    name = found[0]
    source = spec[name]
    check_source(errs, f"spec.{name}", name, source)
    if name == "csi":
        _check_csi(errs, source)
    elif name == "local" and "nodeAffinity" not in spec:
        errs.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
    elif name == "hostPath":
        root = source.get("path", "") and not source["path"].strip("/.")
        if root and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
            detail = "may not be 'recycle' for a hostPath mount of '/'"
            errs.append(forbidden("spec.persistentVolumeReclaimPolicy", detail))


def _check_csi(errs: Errors, source: Obj) -> None:
    if not source.get("volumeHandle"):
        errs.append(required("spec.csi.volumeHandle"))
    for name in _CSI_SECRETS:
        reference = source.get(name)
        if reference is None:
            continue
        for field, check in (("name", dns_subdomain), ("namespace", dns_label)):
            value = reference.get(field, "")
            if not value:
                errs.append(required(f"spec.csi.{name}.{field}"))
            else:
                check_messages(errs, f"spec.csi.{name}.{field}", value, check(value))


def _check_volume_update(errs: Errors, volume: Obj, old: Obj) -> None:
    new_spec, old_spec = volume.get("spec") or {}, old.get("spec") or {}
    sources = [{name: spec[name] for name in _SOURCES if name in spec} for spec in (new_spec, old_spec)]
    secret = "controllerExpandSecretRef"
    if "csi" in sources[0] and secret not in (sources[1].get("csi") or {secret: None}):
        sources[0]["csi"] = {k: v for k, v in sources[0]["csi"].items() if k != secret}
    if sources[0] != sources[1]:
        detail = "spec.persistentvolumesource is immutable after creation"
        errs.append(forbidden("spec.persistentvolumesource", detail))
    check_immutable(errs, "volumeMode", new_spec.get("volumeMode"), old_spec.get("volumeMode"))
    if "nodeAffinity" in old_spec and new_spec.get("nodeAffinity") != old_spec["nodeAffinity"]:
        detail = f"{IMMUTABLE}, except for updating from beta label to GA"
        errs.append(invalid("nodeAffinity", new_spec.get("nodeAffinity"), detail))
    attributes = "volumeAttributesClassName"
    if old_spec.get(attributes) is not None and new_spec.get(attributes) is None:
        errs.append(forbidden(f"spec.{attributes}", "update from non-nil value to nil is forbidden"))


PERSISTENT_VOLUME = Rules(always=_check_volume, update=_check_volume_update)

_PARAMETERS = 512
_PARAMETERS_SIZE = 256 * 1024


def _check_parameters(errs: Errors, parameters: Obj, *, needed: bool) -> None:
    if needed and not parameters:
        errs.append(required("parameters", "must contain at least one key/value pair"))
    if len(parameters) > _PARAMETERS:
        errs.append(invalid("parameters", len(parameters), f"must have at most {_PARAMETERS} entries"))
    if "" in parameters:
        errs.append(invalid("parameters", "", "field can not be empty."))
    if sum(len(k) + len(v) for k, v in parameters.items()) > _PARAMETERS_SIZE:
        errs.append(invalid("parameters", len(parameters), f"must be no more than {_PARAMETERS_SIZE} bytes in all"))


def _check_class(errs: Errors, obj: Obj) -> None:
    provisioner = obj.get("provisioner", "")
    if not provisioner:
        errs.append(required("provisioner"))
    else:
        check_messages(errs, "provisioner", provisioner, qualified_name(provisioner.lower()))
    _check_parameters(errs, obj.get("parameters") or {}, needed=False)
    seen: list[Obj] = []
    for i, term in enumerate(obj.get("allowedTopologies") or ()):
        _check_topology(errs, f"allowedTopologies[{i}]", term)
        if term in seen:
            errs.append(duplicate(f"allowedTopologies[{i}].matchLabelExpressions", ""))
        seen.append(term)


def _check_topology(errs: Errors, path: str, term: Obj) -> None:
    keys: set[str] = set()
    for i, requirement in enumerate(term.get("matchLabelExpressions") or ()):
        field = f"{path}.matchLabelExpressions[{i}]"
        key, values = requirement.get("key", ""), requirement.get("values") or []
        if not values:
            errs.append(required(f"{field}.values"))
        for j, value in enumerate(values):
            if value in values[:j]:
                errs.append(duplicate(f"{field}.values[{j}]", value))
        check_label_name(errs, f"{field}.key", key)
        if key in keys:
            errs.append(duplicate(f"{field}.key", key))
        keys.add(key)


def _check_class_update(errs: Errors, obj: Obj, old: Obj) -> None:
    if (obj.get("parameters") or {}) != (old.get("parameters") or {}):
        errs.append(forbidden("parameters", "updates to parameters are forbidden."))
    if obj.get("provisioner") != old.get("provisioner"):
        errs.append(forbidden("provisioner", "updates to provisioner are forbidden."))
    if obj.get("reclaimPolicy") != old.get("reclaimPolicy"):
        errs.append(forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden."))
    check_immutable(errs, "volumeBindingMode", obj.get("volumeBindingMode"), old.get("volumeBindingMode"))


STORAGE_CLASS = Rules(always=_check_class, update=_check_class_update)


def _check_attributes_class(errs: Errors, obj: Obj) -> None:
    check_driver(errs, "driverName", obj.get("driverName", ""))
    _check_parameters(errs, obj.get("parameters") or {}, needed=True)


def _check_attributes_class_update(errs: Errors, obj: Obj, old: Obj) -> None:
    if obj.get("driverName") != old.get("driverName"):
        errs.append(forbidden("driverName", "updates to driverName are forbidden."))
    if (obj.get("parameters") or {}) != (old.get("parameters") or {}):
        errs.append(forbidden("parameters", "updates to parameters are forbidden."))


VOLUME_ATTRIBUTES_CLASS = Rules(always=_check_attributes_class, update=_check_attributes_class_update)


def _check_attachment(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    attacher = spec.get("attacher", "")
    if not attacher:
        errs.append(required("spec.attacher"))
    else:
        check_messages(errs, "spec.attacher", attacher, qualified_name(attacher.lower()))
    if not spec.get("nodeName"):
        errs.append(required("spec.nodeName"))
    source = spec.get("source") or {}
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    if inline is None and name is None:
        errs.append(required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName"))
    elif inline is not None and name is not None:
        detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        errs.append(forbidden("spec.source", detail))
    elif name == "":
        errs.append(required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName"))


def _check_attachment_update(errs: Errors, obj: Obj, old: Obj) -> None:
    check_immutable(errs, "spec", obj.get("spec"), old.get("spec"))


VOLUME_ATTACHMENT = Rules(always=_check_attachment, update=_check_attachment_update)

_LIFECYCLES = ("Ephemeral", "Persistent")


def _check_driver_object(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    audiences: set[str] = set()
    for i, request in enumerate(spec.get("tokenRequests") or ()):
        audience, seconds = request.get("audience", ""), request.get("expirationSeconds")
        if audience in audiences:
            errs.append(duplicate(f"spec.tokenRequests[{i}].audience", audience))
        audiences.add(audience)
        if seconds is not None and not 600 <= seconds <= 1 << 32:
            what = "less than 10 minutes" if seconds < 600 else "larger than 1<<32 seconds"
            field = f"spec.tokenRequests[{i}].expirationSeconds"
            errs.append(invalid(field, seconds, f"may not specify a duration {what}"))
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in _LIFECYCLES:
            errs.append(not_supported("spec.volumeLifecycleModes", mode, _LIFECYCLES))
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < 10:
        errs.append(
            invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, "must be greater than or equal to 10 seconds")
        )


def _check_driver_update(errs: Errors, obj: Obj, old: Obj) -> None:
    new_spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
    for name in ("attachRequired", "volumeLifecycleModes"):
        check_immutable(errs, f"spec.{name}", new_spec.get(name), old_spec.get(name))


CSI_DRIVER = Rules(always=_check_driver_object, update=_check_driver_update)


def _check_csi_node(errs: Errors, obj: Obj) -> None:
    names: set[str] = set()
    for i, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
        path, name = f"spec.drivers[{i}]", driver.get("name", "")
        check_driver(errs, f"{path}.name", name)
        if name in names:
            errs.append(duplicate(f"{path}.name", name))
        names.add(name)
        node = driver.get("nodeID", "")
        if not node:
            errs.append(required(f"{path}.nodeID"))
        elif len(node) > 256:
            errs.append(invalid(f"{path}.nodeID", node, "must be 256 characters or less"))
        count = (driver.get("allocatable") or {}).get("count")
        if count is not None and count < 0:
            errs.append(invalid(f"{path}.allocatable.count", count, "must be greater than or equal to 0"))
        keys = driver.get("topologyKeys") or []
        for j, key in enumerate(keys):
            if not key:
                errs.append(required(f"{path}.topologyKeys"))
            if key in keys[:j]:
                errs.append(duplicate(f"{path}.topologyKeys", key))
            check_label_name(errs, f"{path}.topologyKeys", key)


def _check_csi_node_update(errs: Errors, obj: Obj, old: Obj) -> None:
    before = {each.get("name"): each for each in (old.get("spec") or {}).get("drivers") or ()}
    for i, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
        was = before.get(driver.get("name"))
        ignored = ("allocatable",)
        if was is not None and any(driver.get(k) != was.get(k) for k in {*driver, *was} if k not in ignored):
            errs.append(invalid(f"spec.drivers[{i}]", driver, IMMUTABLE))


CSI_NODE = Rules(always=_check_csi_node, update=_check_csi_node_update)


def _check_capacity(errs: Errors, obj: Obj) -> None:
    name = obj.get("storageClassName", "")
    check_messages(errs, "storageClassName", name, dns_subdomain(name))
    if "nodeTopology" in obj:
        check_selector(errs, "nodeTopology", obj["nodeTopology"])
    for field in ("capacity", "maximumVolumeSize"):
        if field in obj:
            check_amount(errs, field, "storage", obj[field])


def _check_capacity_update(errs: Errors, obj: Obj, old: Obj) -> None:
    for name in ("nodeTopology", "storageClassName"):
        check_immutable(errs, name, obj.get(name), old.get(name))


CSI_STORAGE_CAPACITY = Rules(always=_check_capacity, update=_check_capacity_update)
