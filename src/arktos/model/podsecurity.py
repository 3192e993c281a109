"""The Pod Security Standards: what a pod may not ask for at each level. Pure, over the spec of a pod or of a template.

Kubernetes' page of that name, `latest`; messages as its admission writes them. A level includes those before it. A
virtual machine is its own wall: of a VM pod only what reaches out of it counts, volumes and the host's namespaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from arktos.model.kinds import Obj

LEVELS = ("privileged", "baseline", "restricted")

_CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP"),
        *("SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
_SYSCTLS = frozenset(
    {
        *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"),
        *("net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports"),
        *("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl"),
        *("net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
    }
)
_SELINUX = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
_VOLUMES = frozenset(
    {
        *("name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim"),
        *("projected", "secret"),
    }
)
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")

Check = Callable[[Obj], Iterator[str]]


def violations(level: str, spec: Obj, annotations: Mapping[str, str] | None = None) -> list[str]:
    """What `level` forbids in a pod's spec and annotations, in the order of Kubernetes' messages; empty if nothing."""
    checks = _BASELINE if level == "baseline" else (*_BASELINE, *_RESTRICTED) if level == "restricted" else ()
    found = [message for check in checks for message in check(spec)]
    return [*found, *_annotated_profiles(annotations or {})] if checks else found


def profiles(annotations: Mapping[str, str] | None) -> dict[str, str]:
    """The AppArmor profiles that annotations name, as was usual before there was a field: by annotation."""
    return {name: value for name, value in (annotations or {}).items() if name.startswith(_APP_ARMOR)}


def stricter(one: str, other: str) -> str:
    """The higher of two levels; one that is not known counts as `restricted`."""
    rank = {level: index for index, level in enumerate(LEVELS)}
    return max(one, other, key=lambda level: rank.get(level, len(LEVELS)))


def _containers(spec: Obj) -> Iterator[Obj]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def _security(holder: Obj) -> Obj:
    found: Obj = holder.get("securityContext") or {}
    return found


def _named(spec: Obj, wrong: Callable[[Obj], bool]) -> str:
    """`container "a"` or `containers "a", "b"` for those that are wrong; "" if none is."""
    names = [f'"{container.get("name", "")}"' for container in _containers(spec) if wrong(container)]
    return f"container{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""


def _volumes(spec: Obj, wrong: Callable[[Obj], bool]) -> str:
    names = [f'"{volume.get("name", "")}"' for volume in spec.get("volumes") or () if wrong(volume)]
    return f"volume{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""


def _quoted(values: Iterable[str]) -> str:
    return ", ".join(f'"{value}"' for value in sorted(set(values)))


# --- baseline --------------------------------------------------------------------------------------------------------


def _host_namespaces(spec: Obj) -> Iterator[str]:
    used = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    if used:
        yield f"host namespaces ({', '.join(used)})"


def _privileged(spec: Obj) -> Iterator[str]:
    if who := _named(spec, lambda c: bool(_security(c).get("privileged"))):
        yield f"privileged ({who} must not set securityContext.privileged=true)"


def _added(container: Obj) -> list[str]:
    return list((_security(container).get("capabilities") or {}).get("add") or ())


def _capabilities(spec: Obj) -> Iterator[str]:
    if who := _named(spec, lambda c: not set(_added(c)) <= _CAPABILITIES):
        extra = _quoted(name for c in _containers(spec) for name in _added(c) if name not in _CAPABILITIES)
        yield f"non-default capabilities ({who} must not include {extra} in securityContext.capabilities.add)"


def _host_paths(spec: Obj) -> Iterator[str]:
    if which := _volumes(spec, lambda v: "hostPath" in v):
        yield f"hostPath volumes ({which})"


def _host_ports(spec: Obj) -> Iterator[str]:
    def ports(container: Obj) -> list[int]:
        return [port["hostPort"] for port in container.get("ports") or () if port.get("hostPort")]

    if who := _named(spec, lambda c: bool(ports(c))):
        used = sorted({port for container in _containers(spec) for port in ports(container)})
        verb, noun = ("use", "hostPorts") if who.startswith("containers") else ("uses", "hostPort")
        yield f"hostPort ({who} {verb} {noun} {', '.join(map(str, used))})"


def _hosts_of(container: Obj) -> Iterator[str]:
    handlers = [container.get(probe) or {} for probe in _PROBES]
    handlers += [handler or {} for handler in (container.get("lifecycle") or {}).values() if isinstance(handler, dict)]
    for handler in handlers:
        for action in ("httpGet", "tcpSocket"):
            host = (handler.get(action) or {}).get("host")
            if host:
                yield host


def _host_probes(spec: Obj) -> Iterator[str]:
    if who := _named(spec, lambda c: any(_hosts_of(c))):
        hosts = _quoted(host for container in _containers(spec) for host in _hosts_of(container))
        yield f"probe or lifecycle host ({who} must not set the host of a probe or lifecycle handler to {hosts})"


def _app_armor(spec: Obj) -> Iterator[str]:
    holders = [spec, *_containers(spec)]
    if any((_security(holder).get("appArmorProfile") or {}).get("type") == "Unconfined" for holder in holders):
        yield 'forbidden AppArmor profile (securityContext.appArmorProfile.type must not be "Unconfined")'


def _annotated_profiles(annotations: Mapping[str, str]) -> Iterator[str]:
    wrong = [
        f'{name}="{value}"'
        for name, value in sorted(profiles(annotations).items())
        if value not in ("", "runtime/default") and not value.startswith("localhost/")
    ]
    if wrong:
        yield f"forbidden AppArmor profile{'s' if len(wrong) > 1 else ''} ({', '.join(wrong)})"


def _selinux(spec: Obj) -> Iterator[str]:
    for holder in (spec, *_containers(spec)):
        options = _security(holder).get("seLinuxOptions") or {}
        if options.get("type", "") not in _SELINUX or options.get("user") or options.get("role"):
            where = f'container "{holder.get("name")}"' if holder is not spec else "pod"
            yield f"seLinuxOptions ({where} sets forbidden securityContext.seLinuxOptions)"
            return


def _proc_mount(spec: Obj) -> Iterator[str]:
    if who := _named(spec, lambda c: _security(c).get("procMount", "Default") not in ("", "Default")):
        yield f'procMount ({who} must not set securityContext.procMount to "Unmasked")'


def _profile(holder: Obj) -> str:
    return str((_security(holder).get("seccompProfile") or {}).get("type") or "")


def _seccomp_baseline(spec: Obj) -> Iterator[str]:
    who = _named(spec, lambda c: _profile(c) == "Unconfined")
    parts = [part for part in ("pod" if _profile(spec) == "Unconfined" else "", who) if part]
    if parts:
        yield f'seccompProfile ({" and ".join(parts)} must not set securityContext.seccompProfile.type to "Unconfined")'


def _sysctls(spec: Obj) -> Iterator[str]:
    names = [sysctl.get("name", "") for sysctl in _security(spec).get("sysctls") or ()]
    if forbidden := [name for name in names if name not in _SYSCTLS]:
        yield f"forbidden sysctls ({', '.join(forbidden)})"


def _host_process(spec: Obj) -> Iterator[str]:
    holders = [spec, *_containers(spec)]
    if any((_security(holder).get("windowsOptions") or {}).get("hostProcess") for holder in holders):
        yield "hostProcess (pod or containers must not set securityContext.windowsOptions.hostProcess=true)"


# --- restricted ------------------------------------------------------------------------------------------------------


def _volume_types(spec: Obj) -> Iterator[str]:
    if which := _volumes(spec, lambda v: not set(v) <= _VOLUMES):
        types = _quoted(name for volume in spec.get("volumes") or () for name in volume if name not in _VOLUMES)
        verb = "use" if which.startswith("volumes") else "uses"
        noun = "types" if "," in types else "type"
        yield f"restricted volume types ({which} {verb} restricted volume {noun} {types})"


def _escalation(spec: Obj) -> Iterator[str]:
    if who := _named(spec, lambda c: _security(c).get("allowPrivilegeEscalation") is not False):
        yield (f"allowPrivilegeEscalation != false ({who} must set securityContext.allowPrivilegeEscalation=false)")


def _dropped(spec: Obj) -> Iterator[str]:
    def keeps(container: Obj) -> bool:
        return "ALL" not in ((_security(container).get("capabilities") or {}).get("drop") or ())

    reasons = []
    if who := _named(spec, keeps):
        reasons.append(f'{who} must set securityContext.capabilities.drop=["ALL"]')
    if who := _named(spec, lambda c: not set(_added(c)) <= {"NET_BIND_SERVICE"}):
        extra = _quoted(name for c in _containers(spec) for name in _added(c) if name != "NET_BIND_SERVICE")
        reasons.append(f"{who} must not include {extra} in securityContext.capabilities.add")
    if reasons:
        yield f"unrestricted capabilities ({'; '.join(reasons)})"


def _non_root(spec: Obj) -> Iterator[str]:
    general = _security(spec).get("runAsNonRoot")
    if who := _named(spec, lambda c: _security(c).get("runAsNonRoot", general) is not True):
        whose = who if general is not None else f"pod or {who}"
        yield f"runAsNonRoot != true ({whose} must set securityContext.runAsNonRoot=true)"


def _root_user(spec: Obj) -> Iterator[str]:
    parts = ["pod"] if _security(spec).get("runAsUser") == 0 else []
    if who := _named(spec, lambda c: _security(c).get("runAsUser") == 0):
        parts.append(who)
    if parts:
        yield f"runAsUser=0 ({' and '.join(parts)} must not set runAsUser=0)"


def _seccomp_restricted(spec: Obj) -> Iterator[str]:
    allowed = ("RuntimeDefault", "Localhost")
    general = _profile(spec)
    if who := _named(spec, lambda c: (_profile(c) or general) not in allowed):
        whose = who if general else f"pod or {who}"
        wanted = '"RuntimeDefault" or "Localhost"'
        yield f"seccompProfile ({whose} must set securityContext.seccompProfile.type to {wanted})"


_BASELINE: tuple[Check, ...] = (
    _host_namespaces,
    _privileged,
    _capabilities,
    _host_paths,
    _host_ports,
    _host_probes,
    _app_armor,
    _selinux,
    _proc_mount,
    _seccomp_baseline,
    _sysctls,
    _host_process,
)
_RESTRICTED: tuple[Check, ...] = (
    _volume_types,
    _escalation,
    _dropped,
    _non_root,
    _root_user,
    _seccomp_restricted,
)
