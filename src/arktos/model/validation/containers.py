"""The containers of a pod: regular, init and ephemeral ones, and what sets them apart."""

from __future__ import annotations

from dataclasses import dataclass

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    Errors,
    check_messages,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
    too_many,
)
from arktos.model.validation.environment import check_env, check_env_from
from arktos.model.validation.formats import dns_label
from arktos.model.validation.handlers import check_lifecycle, check_ports, check_probes
from arktos.model.validation.mounts import check_mounts
from arktos.model.validation.resources import check_requirements
from arktos.model.validation.security import check_container_security

_ONLY_SIDECARS = "may not be set for init containers without restartPolicy=Always"
_NOT_EPHEMERAL = "cannot be set for an Ephemeral Container"
_HANDLERS = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
_EPHEMERAL_FIELDS = frozenset(
    {
        "name",
        "image",
        "command",
        "args",
        "workingDir",
        "env",
        "envFrom",
        "volumeMounts",
        "volumeDevices",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "imagePullPolicy",
        "securityContext",
        "stdin",
        "stdinOnce",
        "tty",
        "targetContainerName",
    }
)
_RESTART = ("Always", "Never", "OnFailure")


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What containers must know of their pod. `is_pod` tells a pod from a template."""

    volumes: Obj
    claims: frozenset[str]
    grace: int | None
    restart_policy: str
    host_users: bool
    is_pod: bool


def check_containers(errs: Errors, path: str, containers: list[Obj], facts: PodFacts) -> None:
    """`spec.containers`, which share their host ports."""
    names: set[str] = set()
    host_ports: set[tuple[str, str, int]] = set()
    for i, container in enumerate(containers):
        at = f"{path}[{i}]"
        _check_any(errs, at, container, facts)
        name = container.get("name", "")
        if name in names:
            errs.append(duplicate(f"{at}.name", name))
        names.add(name)
        if container.get("lifecycle"):
            check_lifecycle(errs, f"{at}.lifecycle", container["lifecycle"], facts.grace)
        check_probes(errs, at, container, facts.grace)
        _check_restart(errs, at, container)
        if container.get("ports"):
            _check_host_ports(errs, at, container["ports"], host_ports)


def check_init_containers(errs: Errors, path: str, spec: Obj, facts: PodFacts) -> None:
    """`spec.initContainers`: those that always restart are sidecars and may be probed."""
    names = {each.get("name") for each in spec.get("containers") or ()}
    for i, container in enumerate(spec["initContainers"]):
        at = f"{path}[{i}]"
        _check_any(errs, at, container, facts)
        name = container.get("name", "")
        if name in names:
            errs.append(duplicate(f"{at}.name", name))
        elif name:
            names.add(name)
        _check_restart(errs, at, container)
        if container.get("restartPolicy") == "Always":
            if container.get("lifecycle"):
                check_lifecycle(errs, f"{at}.lifecycle", container["lifecycle"], facts.grace)
            check_probes(errs, at, container, facts.grace)
        else:
            errs.extend(forbidden(f"{at}.{each}", _ONLY_SIDECARS) for each in _HANDLERS if each in container)
        if container.get("ports"):
            _check_host_ports(errs, at, container["ports"], set())


def check_ephemeral_containers(errs: Errors, path: str, spec: Obj, facts: PodFacts) -> None:
    """`spec.ephemeralContainers`: for looking at the others, so without ports, probes and resources."""
    others = {each.get("name") for kind in ("containers", "initContainers") for each in spec.get(kind) or ()}
    names = set(others)
    for i, container in enumerate(spec["ephemeralContainers"]):
        at = f"{path}[{i}]"
        _check_any(errs, at, container, facts)
        name, target = container.get("name", ""), container.get("targetContainerName")
        if name in names:
            errs.append(duplicate(f"{at}.name", name))
        names.add(name)
        if target and target not in others:
            errs.append(not_found(f"{at}.targetContainerName", target))
        for field, value in container.items():
            if field not in _EPHEMERAL_FIELDS and value not in ({}, [], None, ""):
                errs.append(forbidden(f"{at}.{field}", _NOT_EPHEMERAL))
        for j, mount in enumerate(container.get("volumeMounts") or ()):
            for field in ("subPath", "subPathExpr"):
                if mount.get(field):
                    errs.append(forbidden(f"{at}.volumeMounts[{j}].{field}", _NOT_EPHEMERAL))


def _check_any(errs: Errors, path: str, container: Obj, facts: PodFacts) -> None:
    name, image = container.get("name"), container.get("image")
    if not name:
        errs.append(required(f"{path}.name"))
    else:
        check_messages(errs, f"{path}.name", name, dns_label(name))
    if not image:
        errs.append(required(f"{path}.image"))
    elif facts.is_pod and image != image.strip():
        errs.append(invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))
    if container.get("ports"):
        check_ports(errs, f"{path}.ports", container["ports"])
    if container.get("env"):
        check_env(errs, f"{path}.env", container["env"], facts.volumes)
    if container.get("envFrom"):
        check_env_from(errs, f"{path}.envFrom", container["envFrom"])
    if container.get("volumeMounts") or container.get("volumeDevices"):
        check_mounts(errs, path, container, facts.volumes)
    if container.get("resources"):
        check_requirements(errs, f"{path}.resources", container["resources"], facts.claims)
    if container.get("resizePolicy"):
        _check_resize(errs, f"{path}.resizePolicy", container["resizePolicy"], facts.restart_policy)
    if container.get("securityContext"):
        at = f"{path}.securityContext"
        check_container_security(errs, at, container["securityContext"], host_users=facts.host_users)


def _check_host_ports(errs: Errors, path: str, ports: list[Obj], taken: set[tuple[str, str, int]]) -> None:
    for i, port in enumerate(ports):
        number = port.get("hostPort")
        if not number:
            continue
        key = (port.get("protocol", ""), port.get("hostIP", ""), number)
        if key in taken:
            errs.append(duplicate(f"{path}.ports[{i}].hostPort", "/".join(map(str, key))))
        taken.add(key)


def _check_resize(errs: Errors, path: str, policies: list[Obj], pod_restart: str) -> None:
    seen: set[str] = set()
    for i, policy in enumerate(policies):
        name, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name in seen:
            errs.append(duplicate(f"{path}[{i}]", name))
        seen.add(name)
        if not name:
            errs.append(required(path))
        elif name not in ("cpu", "memory"):
            errs.append(not_supported(path, name, ("cpu", "memory")))
        if not restart:
            errs.append(required(path))
        if pod_restart == "Never" and restart != "NotRequired":
            errs.append(invalid(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'"))


def _check_restart(errs: Errors, path: str, container: Obj) -> None:
    """A container's own restart policy and its rules (KEP-5307)."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules")
    if policy is not None and policy not in _RESTART:
        errs.append(not_supported(f"{path}.restartPolicy", policy, _RESTART))
    if not rules:
        return
    if policy is None:
        errs.append(required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used"))
    if len(rules) > 20:
        errs.append(too_many(f"{path}.restartPolicyRules", len(rules), 20))
    for i, rule in enumerate(rules):
        at = f"{path}.restartPolicyRules[{i}]"
        if rule.get("action") not in ("Restart", "RestartAllContainers"):
            errs.append(not_supported(f"{at}.action", rule.get("action", ""), ("Restart", "RestartAllContainers")))
        codes = rule.get("exitCodes")
        if codes is None:
            errs.append(required(f"{at}.exitCodes", "must be specified"))
        elif len(codes.get("values") or ()) > 255:
            errs.append(too_many(f"{at}.exitCodes.values", len(codes["values"]), 255))
