"""Security contexts: the container's over the pod's, in the runtime's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from arktos.agent.spec.facts import ConfigError, NodeFacts, described, is_host_network
from arktos.model.kinds import Obj
from arktos.rpc.protos import cri_pb2 as pb

_MASKED = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
_APPARMOR_TYPES = {"runtime/default": "RuntimeDefault", "unconfined": "Unconfined"}

Profile = pb.SecurityProfile
_PROFILE_TYPES = {
    "RuntimeDefault": Profile.RuntimeDefault,
    "Unconfined": Profile.Unconfined,
    "Localhost": Profile.Localhost,
}


@dataclass(frozen=True, slots=True)
class ImageUser:
    """Who an image runs as: a number, or a name that only the image can resolve. `ImageUser(0)` if it says nothing."""

    uid: int | None = 0
    name: str = ""


def effective(pod: Obj, container: Obj, field: str) -> Any:
    """A field that both security contexts have: the container's, else the pod's, else None."""
    own = (container.get("securityContext") or {}).get(field)
    return own if own is not None else (pod["spec"].get("securityContext") or {}).get(field)


def verify_non_root(pod: Obj, container: Obj, image_user: ImageUser) -> None:
    """Raises ConfigError if the pod wants no root and the container would run, or might run, as root."""
    if not effective(pod, container, "runAsNonRoot"):
        return
    where = f'(pod: "{described(pod)}", container: {container["name"]})'
    user = effective(pod, container, "runAsUser")
    if user is not None:
        if user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    if image_user.uid == 0:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    if image_user.uid is None and image_user.name:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image_user.name}), "
            f"cannot verify user is non-root {where}"
        )


def container_context(
    pod: Obj,
    container: Obj,
    image_user: ImageUser,
    facts: NodeFacts,
    *,
    extra_groups: Sequence[int] = (),
    target_id: str = "",
) -> pb.LinuxContainerSecurityContext:
    """The security context of a container. `extra_groups` are those that its volumes bring; `target_id` is the id of
    the container whose processes an ephemeral container sees. Raises ConfigError (`verify_non_root` too)."""
    verify_non_root(pod, container, image_user)
    own = container.get("securityContext") or {}
    unmasked = own.get("procMount") == "Unmasked"
    made = pb.LinuxContainerSecurityContext(
        privileged=bool(own.get("privileged")),
        readonly_rootfs=bool(own.get("readOnlyRootFilesystem")),
        no_new_privs=own.get("allowPrivilegeEscalation") is False,
        namespace_options=namespaces(pod, target_id),
        supplemental_groups=groups(pod, extra_groups),
        supplemental_groups_policy=_groups_policy(pod),
        masked_paths=() if unmasked else _MASKED,
        readonly_paths=() if unmasked else _READ_ONLY,
        seccomp=_profile(effective(pod, container, "seccompProfile"), Profile.Unconfined, facts.seccomp_root),
    )
    _set_user(made, pod, container, image_user)
    asked = own.get("capabilities") or {}
    if asked:
        made.capabilities.add_capabilities.extend(asked.get("add") or ())
        made.capabilities.drop_capabilities.extend(asked.get("drop") or ())
    _set_selinux(made, effective(pod, container, "seLinuxOptions"))
    if facts.apparmor:
        made.apparmor.CopyFrom(_profile(_apparmor(pod, container), Profile.RuntimeDefault, ""))
    return made


def sandbox_context(pod: Obj, extra_groups: Sequence[int] = ()) -> pb.LinuxSandboxSecurityContext:
    """The security context of the sandbox, which itself never runs unconfined."""
    stated = pod["spec"].get("securityContext") or {}
    made = pb.LinuxSandboxSecurityContext(
        namespace_options=namespaces(pod),
        privileged=any(
            (each.get("securityContext") or {}).get("privileged")
            for part in ("containers", "initContainers")
            for each in pod["spec"].get(part) or ()
        ),
        supplemental_groups=groups(pod, extra_groups),
        supplemental_groups_policy=_groups_policy(pod),
        seccomp=Profile(profile_type=Profile.RuntimeDefault),
    )
    if stated.get("runAsUser") is not None:
        made.run_as_user.value = stated["runAsUser"]
        if stated.get("runAsGroup") is not None:
            made.run_as_group.value = stated["runAsGroup"]
    _set_selinux(made, stated.get("seLinuxOptions"))
    return made


def namespaces(pod: Obj, target_id: str = "") -> pb.NamespaceOption:
    """Which namespaces are the pod's own, and which the node's or another container's."""
    spec = pod["spec"]
    processes = pb.CONTAINER
    if spec.get("hostPID"):
        processes = pb.NODE
    elif spec.get("shareProcessNamespace"):
        processes = pb.POD
    elif target_id:
        processes = pb.TARGET
    return pb.NamespaceOption(
        network=pb.NODE if is_host_network(pod) else pb.POD,
        ipc=pb.NODE if spec.get("hostIPC") else pb.POD,
        pid=processes,
        target_id=target_id if processes == pb.TARGET else "",
    )


def groups(pod: Obj, extra: Sequence[int] = ()) -> list[int]:
    """Supplemental groups of all processes of a pod, each once: stated, the volumes' own, fsGroup."""
    stated = pod["spec"].get("securityContext") or {}
    found = [*(stated.get("supplementalGroups") or ()), *extra]
    if stated.get("fsGroup") is not None:
        found.append(stated["fsGroup"])
    return list(dict.fromkeys(found))


def sysctls(pod: Obj) -> dict[str, str]:
    """The sysctls of a pod by name, dots between the parts."""
    stated = (pod["spec"].get("securityContext") or {}).get("sysctls") or ()
    return {sysctl_name(each["name"]): str(each.get("value", "")) for each in stated}


def sysctl_name(written: str) -> str:
    """A sysctl's name with dots: it may be written with slashes, and then a dot is part of a name."""
    first = next((each for each in written if each in "./"), ".")
    return written if first == "." else written.translate(str.maketrans("./", "/."))


def apparmor_profiles(pod: Obj) -> list[str]:
    """The types of the AppArmor profiles that a pod asks for, `Unconfined` left out."""
    spec = pod["spec"]
    parts = ("initContainers", "containers", "ephemeralContainers")
    asked = [_apparmor(pod, each) for part in parts for each in spec.get(part) or ()]
    return [each["type"] for each in asked if each and each.get("type") != "Unconfined"]


def _set_user(made: pb.LinuxContainerSecurityContext, pod: Obj, container: Obj, image_user: ImageUser) -> None:
    user, group = effective(pod, container, "runAsUser"), effective(pod, container, "runAsGroup")
    if user is not None:
        made.run_as_user.value = user
    elif image_user.uid is not None:
        made.run_as_user.value = image_user.uid
    else:
        made.run_as_username = image_user.name
    if group is not None:
        made.run_as_group.value = group


def _set_selinux(made: Any, options: Obj | None) -> None:
    for part in ("user", "role", "type", "level"):
        if options and options.get(part):
            setattr(made.selinux_options, part, options[part])


def _groups_policy(pod: Obj) -> Any:
    stated = (pod["spec"].get("securityContext") or {}).get("supplementalGroupsPolicy")
    return pb.Strict if stated == "Strict" else pb.Merge


def _profile(stated: Obj | None, default: Any, root: str) -> Any:
    if not stated:
        return Profile(profile_type=default)
    kind, name = stated.get("type", ""), stated.get("localhostProfile") or ""
    if kind not in _PROFILE_TYPES:
        raise ConfigError(f'unknown profile type "{kind}"')
    if kind != "Localhost":
        return Profile(profile_type=_PROFILE_TYPES[kind])
    if not name or ".." in name.split("/") or (root and name.startswith("/")):
        raise ConfigError("localhostProfile must be set if profile type is Localhost.")
    return Profile(profile_type=Profile.Localhost, localhost_ref=f"{root}/{name}" if root else name)


def _apparmor(pod: Obj, container: Obj) -> Obj | None:
    stated: Obj | None = effective(pod, container, "appArmorProfile")
    if stated:
        return stated
    annotated = (pod["metadata"].get("annotations") or {}).get(_APPARMOR_ANNOTATION + container.get("name", ""), "")
    if not annotated:
        return None
    if annotated in _APPARMOR_TYPES:
        return {"type": _APPARMOR_TYPES[annotated]}
    return {"type": "Localhost", "localhostProfile": annotated.removeprefix("localhost/")}
