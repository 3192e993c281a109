"""The volumes of a pod and how its containers mount them."""

from __future__ import annotations

from arktos.model.kinds import Obj
from arktos.model.validation.causes import Errors, check_messages, duplicate, forbidden, invalid, not_found, required
from arktos.model.validation.claims import check_claim_template
from arktos.model.validation.formats import dns_label, dns_subdomain, local_path, no_backsteps
from arktos.model.validation.volumes import check_source

_EPHEMERAL = "must not reference a PVC that gets created for an ephemeral volume"


def check_volumes(errs: Errors, path: str, volumes: list[Obj], pod_name: str) -> Obj:
    """`spec.volumes`. Returns the sound ones by name; `pod_name` is empty in a template."""
    sound: Obj = {}
    made = {f"{pod_name}-{v.get('name', '')}" for v in volumes if "ephemeral" in v} if pod_name else set()
    for i, volume in enumerate(volumes):
        field, found = f"{path}[{i}]", len(errs)
        name = volume.get("name", "")
        _check_volume(errs, field, volume, name, pod_name)
        if not name:
            errs.append(required(f"{field}.name"))
        else:
            check_messages(errs, f"{field}.name", name, dns_label(name))
        if name in sound:
            errs.append(duplicate(f"{field}.name", name))
        if len(errs) == found:
            sound[name] = volume
        claim = volume.get("persistentVolumeClaim")
        if claim and made and claim.get("claimName") in made:
            errs.append(invalid(f"{field}.persistentVolumeClaim.claimName", claim["claimName"], _EPHEMERAL))
    return sound


def _check_volume(errs: Errors, path: str, volume: Obj, name: str, pod_name: str) -> None:
    sources = [each for each in volume if each != "name"]
    if not sources:
        errs.append(required(path, "must specify a volume type"))
        return
    for extra in sources[1:]:
        errs.append(forbidden(f"{path}.{extra}", "may not specify more than 1 volume type"))
    source = sources[0]
    value = volume[source]
    check_source(errs, f"{path}.{source}", source, value)
    if source == "ephemeral":
        _check_ephemeral(errs, path, value, name, pod_name)
    elif source == "image" and pod_name and not value.get("reference"):
        errs.append(required(f"{path}.image.reference"))


def _check_ephemeral(errs: Errors, path: str, source: Obj, name: str, pod_name: str) -> None:
    template = source.get("volumeClaimTemplate")
    if template is None:
        errs.append(required(f"{path}.ephemeral.volumeClaimTemplate"))
    else:
        check_claim_template(errs, f"{path}.ephemeral.volumeClaimTemplate", template)
    if pod_name and name:
        claim = f"{pod_name}-{name}"
        for message in dns_subdomain(claim):
            errs.append(invalid(f"{path}.name", name, f'PVC name "{claim}": {message}'))


def check_mounts(errs: Errors, path: str, container: Obj, volumes: Obj) -> None:
    """`volumeMounts` and `volumeDevices` of one container."""
    mounts = container.get("volumeMounts") or ()
    devices = container.get("volumeDevices") or ()
    if mounts:
        names = {each.get("name", "") for each in devices}
        paths = {each.get("devicePath", "") for each in devices}
        seen: set[str] = set()
        for i, mount in enumerate(mounts):
            _check_mount(errs, f"{path}.volumeMounts[{i}]", f"{path}.volumeMounts", mount, container, volumes)
            at = mount.get("mountPath", "")
            if at in seen:
                errs.append(invalid(f"{path}.volumeMounts[{i}].mountPath", at, "must be unique"))
            seen.add(at)
            if mount.get("name", "") in names:
                detail = "must not already exist in volumeDevices"
                errs.append(invalid(f"{path}.volumeMounts[{i}].name", mount.get("name", ""), detail))
            if at in paths:
                detail = "must not already exist as a path in volumeDevices"
                errs.append(invalid(f"{path}.volumeMounts[{i}].mountPath", at, detail))
    if devices:
        _check_devices(errs, f"{path}.volumeDevices", list(devices), list(mounts), volumes)


def _check_mount(errs: Errors, path: str, root: str, mount: Obj, container: Obj, volumes: Obj) -> None:
    name = mount.get("name", "")
    if not name:
        errs.append(required(f"{path}.name"))
    if name not in volumes:
        errs.append(not_found(f"{path}.name", name))
    if not mount.get("mountPath"):
        errs.append(required(f"{path}.mountPath"))
    for field in ("subPath", "subPathExpr"):
        below = mount.get(field)
        if below:
            if "image" in volumes.get(name, ()):
                errs.append(invalid(f"{path}.{field}", below, "not allowed in image volume sources"))
            check_messages(errs, f"{root}.{field}", below, local_path(below))
    if mount.get("subPath") and mount.get("subPathExpr"):
        detail = "subPathExpr and subPath are mutually exclusive"
        errs.append(invalid(f"{path}.subPathExpr", mount["subPathExpr"], detail))
    propagation = mount.get("mountPropagation")
    if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        detail = "Bidirectional mount propagation is available only to privileged containers"
        errs.append(forbidden(f"{root}.mountPropagation", detail))
    if mount.get("recursiveReadOnly") in ("Enabled", "IfPossible"):
        if not mount.get("readOnly"):
            errs.append(forbidden(f"{root}.recursiveReadOnly", "may only be specified when readOnly is true"))
        if propagation not in (None, "None"):
            detail = "may only be specified when mountPropagation is None or not specified"
            errs.append(forbidden(f"{root}.recursiveReadOnly", detail))


def _check_devices(errs: Errors, path: str, devices: list[Obj], mounts: list[Obj], volumes: Obj) -> None:
    names: set[str] = set()
    paths: set[str] = set()
    mounted = {each.get("name", "") for each in mounts}
    mount_paths = {each.get("mountPath", "") for each in mounts}
    for i, device in enumerate(devices):
        field = f"{path}[{i}]"
        name, at = device.get("name", ""), device.get("devicePath", "")
        if not name:
            errs.append(required(f"{field}.name"))
        if name in names:
            errs.append(invalid(f"{field}.name", name, "must be unique"))
        if name not in volumes:
            errs.append(not_found(f"{field}.name", name))
        elif "persistentVolumeClaim" not in volumes[name] and "ephemeral" not in volumes[name]:
            detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errs.append(invalid(f"{field}.name", name, detail))
        _check_device_path(errs, f"{field}.devicePath", at, paths)
        if name in mounted:
            errs.append(invalid(f"{field}.name", name, "must not already exist in volumeMounts"))
        if at in mount_paths:
            errs.append(invalid(f"{field}.devicePath", at, "must not already exist as a path in volumeMounts"))
        if name:
            names.add(name)


def _check_device_path(errs: Errors, field: str, at: str, seen: set[str]) -> None:
    if not at:
        errs.append(required(field))
    if at in seen:
        errs.append(invalid(field, at, "must be unique"))
    if no_backsteps(at):
        errs.append(invalid(field, at, "can not contain backsteps ('..')"))
    else:
        seen.add(at)
