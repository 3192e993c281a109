"""Security contexts of pods and containers, and what an operating system forbids in them."""

from __future__ import annotations

import re

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    Errors,
    between,
    check_messages,
    duplicate,
    forbidden,
    invalid,
    required,
    too_long,
)
from arktos.model.validation.formats import dns_subdomain, local_path

_MAX_ID = 2**31 - 1
_SYSCTL_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = f"({_SYSCTL_SEGMENT}[\\./])*{_SYSCTL_SEGMENT}"
_sysctl = re.compile(_SYSCTL).fullmatch
_IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")
_PROFILE_PATH = 4095
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")


def _check_id(errs: Errors, field: str, value: int | None) -> None:
    if value is not None and not 0 <= value <= _MAX_ID:
        errs.append(invalid(field, value, between(0, _MAX_ID)))


def check_pod_security(errs: Errors, path: str, context: Obj, spec: Obj) -> None:
    """`spec.securityContext`."""
    for name in ("fsGroup", "runAsUser", "runAsGroup"):
        _check_id(errs, f"{path}.{name}", context.get(name))
    for i, group in enumerate(context.get("supplementalGroups") or ()):
        _check_id(errs, f"{path}.supplementalGroups[{i}]", group)
    if context.get("sysctls"):
        _check_sysctls(errs, f"{path}.sysctls", context["sysctls"], spec)
    _check_profiles(errs, path, context)
    if "windowsOptions" in context:
        _check_windows(errs, f"{path}.windowsOptions", context["windowsOptions"])


def _check_sysctls(errs: Errors, path: str, sysctls: list[Obj], spec: Obj) -> None:
    seen: set[str] = set()
    for i, sysctl in enumerate(sysctls):
        name, field = sysctl.get("name", ""), f"{path}[{i}].name"
        if not name:
            errs.append(required(field))
        elif len(name) > 253 or not _sysctl(name):
            errs.append(invalid(field, name, f"must have at most 253 characters and match regex ^{_SYSCTL}$"))
        elif name in seen:
            errs.append(duplicate(field, name))
        seen.add(name)
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith("net."):
            errs.append(invalid(field, name, "may not be specified when 'hostNetwork' is true"))
        if spec.get("hostIPC") and dotted.startswith(_IPC_SYSCTLS):
            errs.append(invalid(field, name, "may not be specified when 'hostIPC' is true"))


def _check_profiles(errs: Errors, path: str, context: Obj) -> None:
    seccomp = context.get("seccompProfile")
    if seccomp is not None:
        _check_seccomp(errs, f"{path}.seccompProfile", seccomp)
    armor = context.get("appArmorProfile")
    if armor is not None:
        _check_armor(errs, f"{path}.appArmorProfile", armor)


def _check_seccomp(errs: Errors, path: str, profile: Obj) -> None:
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    if not kind:
        errs.append(required(f"{path}.type", "type is required when seccompProfile is set"))
    if kind == "Localhost":
        if local is None:
            errs.append(required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost"))
        else:
            check_messages(errs, f"{path}.localhostProfile", local, local_path(local))
    elif local is not None:
        detail = "can only be set when seccomp type is Localhost"
        errs.append(invalid(f"{path}.localhostProfile", profile, detail))


def _check_armor(errs: Errors, path: str, profile: Obj) -> None:
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    field = f"{path}.localhostProfile"
    if not kind:
        errs.append(required(f"{path}.type", "type is required when appArmorProfile is set"))
    elif kind == "Localhost":
        if local is None or not local.strip():
            errs.append(required(field, "must be set when AppArmor type is Localhost"))
        elif local != local.strip():
            errs.append(invalid(field, local, "must not be padded with whitespace"))
        if local is not None and len(local) > _PROFILE_PATH:
            errs.append(too_long(field, _PROFILE_PATH))
    elif kind in _PROFILES and local is not None:
        errs.append(invalid(field, local, "can only be set when AppArmor type is Localhost"))


def _check_windows(errs: Errors, path: str, options: Obj) -> None:
    name = options.get("gmsaCredentialSpecName")
    if name is not None:
        check_messages(errs, f"{path}.gmsaCredentialSpecName", name, dns_subdomain(name))
    spec = options.get("gmsaCredentialSpec")
    if spec == "":
        errs.append(invalid(f"{path}.gmsaCredentialSpec", spec, "gmsaCredentialSpec cannot be an empty string"))
    elif spec is not None and len(spec) > 64 * 1024:
        detail = "gmsaCredentialSpec size must be under 64 KiB"
        errs.append(invalid(f"{path}.gmsaCredentialSpec", spec, detail))
    if options.get("runAsUserName") == "":
        errs.append(invalid(f"{path}.runAsUserName", "", "runAsUserName cannot be an empty string"))


def check_container_security(errs: Errors, path: str, context: Obj, *, host_users: bool) -> None:
    """The `securityContext` of a container."""
    for name in ("runAsUser", "runAsGroup"):
        _check_id(errs, f"{path}.{name}", context.get(name))
    if host_users and context.get("procMount") == "Unmasked":
        errs.append(invalid(f"{path}.procMount", "Unmasked", "`hostUsers` must be false to use `Unmasked`"))
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errs.append(invalid(path, context, detail))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errs.append(invalid(path, context, detail))
    _check_profiles(errs, path, context)
    if "windowsOptions" in context:
        _check_windows(errs, f"{path}.windowsOptions", context["windowsOptions"])


_POD_NOT_WINDOWS = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
)
_CONTAINER_NOT_WINDOWS = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
)
_SPEC_NOT_WINDOWS = ("hostUsers", "hostPID", "hostIPC", "shareProcessNamespace")


def check_os(errs: Errors, path: str, spec: Obj) -> None:
    """What `spec.os` forbids in the pod's and the containers' security contexts."""
    name = spec["os"].get("name", "")
    pod = spec.get("securityContext") or {}
    if name == "linux":
        banned_pod: tuple[str, ...] = ("windowsOptions",)
        banned_container: tuple[str, ...] = ("windowsOptions",)
        detail = "windows options cannot be set for a linux pod"
    elif name == "windows":
        banned_pod, banned_container, detail = (
            _POD_NOT_WINDOWS,
            _CONTAINER_NOT_WINDOWS,
            "cannot be set for a windows pod",
        )
        for field in _SPEC_NOT_WINDOWS:
            if spec.get(field) is not None and (field in ("hostUsers", "shareProcessNamespace") or spec[field]):
                errs.append(forbidden(f"{path}.{field}", detail))
    else:
        if not name:
            errs.append(required(f"{path}.os.name", "cannot be empty"))
        return
    errs.extend(forbidden(f"{path}.securityContext.{f}", detail) for f in banned_pod if pod.get(f) is not None)
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for i, container in enumerate(spec.get(kind) or ()):
            context = container.get("securityContext") or {}
            at = f"{path}.{kind}[{i}].securityContext"
            errs.extend(forbidden(f"{at}.{f}", detail) for f in banned_container if context.get(f) is not None)
