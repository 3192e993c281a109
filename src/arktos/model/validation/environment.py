"""Environment variables and where their values come from; field and resource references also serve volumes."""

from __future__ import annotations

import re

from arktos.model.kinds import Obj
from arktos.model.validation.causes import Errors, check_messages, invalid, not_supported, required
from arktos.model.validation.formats import (
    config_key,
    dns_subdomain,
    env_name,
    local_path,
    qualified_name,
)
from arktos.model.validation.resources import ZERO, amount

ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
_KNOWN_FIELDS = frozenset(ENV_FIELDS) | frozenset(VOLUME_FIELDS) | {"spec.host", "spec.restartPolicy"}
_SIDES = ("limits", "requests")
_RESOURCES = tuple(f"{side}.{name}" for side in _SIDES for name in ("cpu", "ephemeral-storage", "memory"))
_HUGE = tuple(f"{side}.hugepages-" for side in _SIDES)
_BYTES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_SUBSCRIPT = re.compile(r"([^\[]+)\['([^']*)'\]")

_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def check_env(errs: Errors, path: str, variables: list[Obj], volumes: Obj) -> None:
    """The `env` list of a container."""
    for i, variable in enumerate(variables):
        name = variable.get("name", "")
        if not name:
            errs.append(required(f"{path}[{i}].name"))
        elif messages := env_name(name):
            check_messages(errs, f"{path}[{i}].name", name, messages)
        source = variable.get("valueFrom")
        if source is not None:
            _check_source(errs, f"{path}[{i}].valueFrom", source, variable.get("value"), volumes)


def _check_source(errs: Errors, path: str, source: Obj, value: str | None, volumes: Obj) -> None:
    found = [name for name in _SOURCES if name in source]
    for name in found:
        reference = source[name]
        if name == "fieldRef":
            check_field(errs, f"{path}.fieldRef", reference, ENV_FIELDS)
        elif name == "resourceFieldRef":
            check_resource_field(errs, f"{path}.resourceFieldRef", reference, in_volume=False)
        elif name == "fileKeyRef":
            _check_file_key(errs, f"{path}.fileKeyRef", reference, volumes)
        else:
            check_key(errs, f"{path}.{name}", reference)
    if not found:
        detail = (
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        )
        errs.append(invalid(path, "", detail))
    elif value:
        errs.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(found) > 1:
        errs.append(invalid(path, "", "may not have more than one field specified at a time"))


def _check_file_key(errs: Errors, path: str, reference: Obj, volumes: Obj) -> None:
    key = reference.get("key", "")
    if not key:
        errs.append(required(f"{path}.key"))
    else:
        check_messages(errs, f"{path}.key", key, env_name(key))
    volume = reference.get("volumeName", "")
    if not volume:
        errs.append(required(f"{path}.volumeName"))
    elif volume in volumes and "emptyDir" not in volumes[volume]:
        errs.append(invalid(f"{path}.volumeName", volume, "referenced volume must be of type emptyDir"))
    if not reference.get("path"):
        errs.append(required(f"{path}.path"))
    else:
        check_messages(errs, f"{path}.path", reference["path"], local_path(reference["path"]))


def check_key(errs: Errors, path: str, reference: Obj) -> None:
    """A key of a ConfigMap or a Secret."""
    name, key = reference.get("name", ""), reference.get("key", "")
    check_messages(errs, f"{path}.name", name, dns_subdomain(name))
    if not key:
        errs.append(required(f"{path}.key"))
    else:
        check_messages(errs, f"{path}.key", key, config_key(key))


def check_field(errs: Errors, path: str, reference: Obj, allowed: tuple[str, ...]) -> None:
    """A reference to a field of the pod."""
    field = reference.get("fieldPath", "")
    if not reference.get("apiVersion"):
        errs.append(required(f"{path}.apiVersion"))
        return
    if not field:
        errs.append(required(f"{path}.fieldPath"))
        return
    if field in allowed and reference["apiVersion"] == "v1":
        return
    subscripted = _SUBSCRIPT.fullmatch(field)
    if reference["apiVersion"] != "v1":
        label = f"error converting fieldPath: unsupported pod version: {reference['apiVersion']}"
        errs.append(invalid(f"{path}.fieldPath", field, label))
    elif subscripted:
        _check_subscript(errs, path, field, subscripted[1], subscripted[2])
    elif field not in _KNOWN_FIELDS:
        detail = f"error converting fieldPath: field label not supported: {field}"
        errs.append(invalid(f"{path}.fieldPath", field, detail))
    else:
        errs.append(not_supported(f"{path}.fieldPath", field, allowed))


def _check_subscript(errs: Errors, path: str, field: str, base: str, key: str) -> None:
    if base == "metadata.annotations":
        check_messages(errs, path, key, qualified_name(key.lower()))
    elif base == "metadata.labels":
        check_messages(errs, path, key, qualified_name(key))
    elif base in _KNOWN_FIELDS:
        errs.append(invalid(path, base, "does not support subscript"))
    else:
        detail = f"error converting fieldPath: field label does not support subscript: {field}"
        errs.append(invalid(f"{path}.fieldPath", field, detail))


def check_resource_field(errs: Errors, path: str, reference: Obj, *, in_volume: bool) -> None:
    """A reference to a container's limit or request."""
    resource = reference.get("resource", "")
    if in_volume and not reference.get("containerName"):
        errs.append(required(f"{path}.containerName"))
    elif not resource:
        errs.append(required(f"{path}.resource"))
    elif resource not in _RESOURCES and not resource.startswith(_HUGE):
        errs.append(not_supported(f"{path}.resource", resource, _RESOURCES))
    _check_divisor(errs, f"{path}.divisor", resource, reference.get("divisor", "0"))


def _check_divisor(errs: Errors, field: str, resource: str, divisor: str) -> None:
    parsed = amount(divisor)
    if parsed is None or parsed == ZERO:
        return
    text = str(parsed)
    if resource.endswith(".cpu"):
        if text not in ("1m", "1"):
            errs.append(invalid(field, resource, "only divisor's values 1m and 1 are supported with the cpu resource"))
        return
    if text in _BYTES:
        return
    for suffix, noun in ((".memory", "memory"), (".ephemeral-storage", "local ephemeral storage")):
        if resource.endswith(suffix):
            detail = f"only divisor's values {', '.join(_BYTES)} are supported with the {noun} resource"
            errs.append(invalid(field, resource, detail))
    if resource.startswith(_HUGE):
        detail = f"only divisor's values {', '.join(_BYTES)} are supported with the hugepages resource"
        errs.append(invalid(field, resource, detail))


def check_env_from(errs: Errors, path: str, sources: list[Obj]) -> None:
    """The `envFrom` list of a container."""
    for i, source in enumerate(sources):
        prefix = source.get("prefix")
        if prefix:
            check_messages(errs, f"{path}[{i}].prefix", prefix, env_name(prefix))
        found = [name for name in ("configMapRef", "secretRef") if name in source]
        for name in found:
            target = source[name].get("name", "")
            if not target:
                errs.append(required(f"{path}[{i}].{name}.name"))
            else:
                check_messages(errs, f"{path}[{i}].{name}.name", target, dns_subdomain(target))
        if not found:
            errs.append(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(found) > 1:
            errs.append(invalid(path, "", "may not have more than one field specified at a time"))
