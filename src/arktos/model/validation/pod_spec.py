"""Pod specs, in pods and in the templates of workloads."""

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
)
from arktos.model.validation.containers import (
    PodFacts,
    check_containers,
    check_ephemeral_containers,
    check_init_containers,
)
from arktos.model.validation.formats import dns_label, dns_search, dns_subdomain, ip, qualified_name
from arktos.model.validation.labels import check_annotations, check_labels
from arktos.model.validation.machines import check_machine, check_nics
from arktos.model.validation.mounts import check_volumes
from arktos.model.validation.resources import amount, check_pod_name, check_requirements
from arktos.model.validation.scheduling import check_affinity, check_gates, check_spread, check_tolerations
from arktos.model.validation.security import check_os, check_pod_security

_MAX_INT32 = 2**31 - 1
_MIRROR = "kubernetes.io/config.mirror"
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_COST = re.compile(r"0|-?[1-9][0-9]*").fullmatch
_MAX_HOST_NAME = 64


def check_pod_spec(errs: Errors, path: str, spec: Obj, pod_name: str = "", *, is_pod: bool = False) -> None:
    """A pod spec; `is_pod` adds what is asked of pods and not of templates."""
    volumes: Obj = {}
    if spec.get("volumes"):
        volumes = check_volumes(errs, f"{path}.volumes", spec["volumes"], pod_name)
    claims: frozenset[str] = frozenset()
    if spec.get("resourceClaims"):
        claims = _check_claims(errs, f"{path}.resourceClaims", spec["resourceClaims"])
    host_users = spec.get("hostUsers") is not False
    facts = PodFacts(
        volumes,
        claims,
        spec.get("terminationGracePeriodSeconds"),
        spec.get("restartPolicy", ""),
        host_users,
        is_pod,
    )
    _check_workload(errs, path, spec, facts)
    if spec.get("resources"):
        _check_pod_resources(errs, f"{path}.resources", spec)
    if spec.get("hostNetwork"):
        _check_host_network(errs, path, spec, is_pod)
    _check_rest(errs, path, spec)


def _check_workload(errs: Errors, path: str, spec: Obj, facts: PodFacts) -> None:
    if "virtualMachine" in spec:
        check_machine(errs, path, spec)
    elif not spec.get("containers"):
        errs.append(required(f"{path}.containers"))
    if spec.get("containers"):
        check_containers(errs, f"{path}.containers", spec["containers"], facts)
    if spec.get("initContainers"):
        check_init_containers(errs, f"{path}.initContainers", spec, facts)
    if spec.get("ephemeralContainers"):
        check_ephemeral_containers(errs, f"{path}.ephemeralContainers", spec, facts)
    if spec.get("nics"):
        check_nics(errs, f"{path}.nics", spec["nics"])


def _check_rest(errs: Errors, path: str, spec: Obj) -> None:
    for field, check in _FIELDS:
        value = spec.get(field)
        if value:
            check(errs, f"{path}.{field}", value)
    for field in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"):
        name = spec.get(field)
        if name is not None and (name or field == "runtimeClassName"):
            check_messages(errs, f"{path}.{field}", name, dns_subdomain(name))
    _check_host(errs, path, spec)
    context = spec.get("securityContext")
    if context:
        check_pod_security(errs, f"{path}.securityContext", context, spec)
    if spec.get("dnsConfig") is not None or spec.get("dnsPolicy") == "None":
        _check_dns(errs, f"{path}.dnsConfig", spec.get("dnsConfig"), spec.get("dnsPolicy"))
    seconds = spec.get("activeDeadlineSeconds")
    if seconds is not None and not 1 <= seconds <= _MAX_INT32:
        errs.append(invalid(f"{path}.activeDeadlineSeconds", seconds, between(1, _MAX_INT32)))
    if spec.get("os") is not None:
        check_os(errs, path, spec)


def _check_host(errs: Errors, path: str, spec: Obj) -> None:
    """What a pod is called, and what it shares with its host."""
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            check_messages(errs, f"{path}.{field}", spec[field], dns_label(spec[field]))
    if spec.get("hostnameOverride") is not None:
        _check_host_name(errs, path, spec)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        errs.append(invalid(f"{path}.securityContext.shareProcessNamespace", True, detail))
    if spec.get("hostUsers") is False:
        _check_user_namespace(errs, path, spec)


def _check_user_namespace(errs: Errors, path: str, spec: Obj) -> None:
    for field, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
        if spec.get(field):
            errs.append(forbidden(f"{path}.{shown}", "when `pod.Spec.HostUsers` is false"))
    for kind in ("initContainers", "containers"):
        for i, container in enumerate(spec.get(kind) or ()):
            if container.get("volumeDevices"):
                errs.append(forbidden(f"{path}.{kind}[{i}].volumeDevices", "when `hostUsers` is false"))


def _check_host_name(errs: Errors, path: str, spec: Obj) -> None:
    name, field = spec["hostnameOverride"], f"{path}.hostnameOverride"
    check_messages(errs, field, name, dns_subdomain(name))
    if len(name) > _MAX_HOST_NAME:
        errs.append(invalid(field, name, f"must be no more than {_MAX_HOST_NAME} characters"))
    if spec.get("setHostnameAsFQDN"):
        errs.append(forbidden(f"{path}.setHostnameAsFQDN", "may not be specified when `hostnameOverride` is specified"))
    if spec.get("hostNetwork"):
        errs.append(forbidden(field, "may not be specified when `hostNetwork` is true"))


def _check_host_network(errs: Errors, path: str, spec: Obj, is_pod: bool) -> None:
    for i, container in enumerate(spec.get("containers") or ()):
        for j, port in enumerate(container.get("ports") or ()):
            host, inner = port.get("hostPort", 0), port.get("containerPort", 0)
            if (is_pod or host) and host != inner:
                detail = "must match `containerPort` when `hostNetwork` is true"
                errs.append(invalid(f"{path}.containers[{i}].ports[{j}].hostPort", host, detail))


def _check_claims(errs: Errors, path: str, claims: list[Obj]) -> frozenset[str]:
    names: set[str] = set()
    for i, claim in enumerate(claims):
        name, field = claim.get("name", ""), f"{path}[{i}]"
        if not name:
            errs.append(required(f"{field}.name"))
        elif name in names:
            errs.append(duplicate(f"{field}.name", name))
        else:
            check_messages(errs, f"{field}.name", name, dns_label(name))
            names.add(name)
        found = [each for each in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(each) is not None]
        if len(found) == 2:
            detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            errs.append(invalid(field, claim, detail))
        elif not found:
            detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errs.append(invalid(field, claim, detail))
        for each in found:
            check_messages(errs, f"{field}.{each}", claim[each], dns_subdomain(claim[each]))
    return frozenset(names)


def _check_pod_resources(errs: Errors, path: str, spec: Obj) -> None:
    """Pod-level resources (KEP-2837): names, amounts, and limits that no container exceeds."""
    needs = spec["resources"]
    if needs.get("claims"):
        errs.append(forbidden(f"{path}.claims", "claims cannot be set for Resources at pod-level"))
    check_requirements(errs, path, {k: v for k, v in needs.items() if k != "claims"}, name_check=check_pod_name)
    limits = needs.get("limits") or {}
    for i, container in enumerate(spec.get("containers") or ()):
        for name, value in ((container.get("resources") or {}).get("limits") or {}).items():
            limit, own = amount(limits.get(name, "")), amount(value)
            if limit is not None and own is not None and own > limit:
                field = f"{path}.containers[{i}][{name}].limits"
                errs.append(invalid(field, str(own), f"must be less than or equal to pod limits of {limit}"))


def _check_dns(errs: Errors, path: str, config: Obj | None, policy: str | None) -> None:
    if policy == "None":
        if config is None:
            errs.append(required(path, "must provide `dnsConfig` when `dnsPolicy` is None"))
            return
        if not config.get("nameservers"):
            detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            errs.append(required(f"{path}.nameservers", detail))
            return
    if config is not None:
        _check_dns_config(errs, path, config)


def _check_dns_config(errs: Errors, path: str, config: Obj) -> None:
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > 3:
        errs.append(invalid(f"{path}.nameservers", servers, "must not have more than 3 nameservers"))
    for i, server in enumerate(servers):
        check_messages(errs, f"{path}.nameservers[{i}]", server, ip(server))
    if len(searches) > 32:
        errs.append(invalid(f"{path}.searches", searches, "must not have more than 32 search paths"))
    if len(" ".join(searches)) > 2048:
        detail = "must not have more than 2048 characters (including spaces) in the search list"
        errs.append(invalid(f"{path}.searches", searches, detail))
    for i, search in enumerate(searches):
        if search != ".":
            text = search.removesuffix(".")
            check_messages(errs, f"{path}.searches[{i}]", text, dns_search(text))
    for i, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errs.append(required(f"{path}.options[{i}]", "must not be empty"))


def _check_host_aliases(errs: Errors, path: str, aliases: list[Obj]) -> None:
    for i, alias in enumerate(aliases):
        check_messages(errs, f"{path}[{i}].ip", alias.get("ip", ""), ip(alias.get("ip", "")))
        for j, name in enumerate(alias.get("hostnames") or ()):
            check_messages(errs, f"{path}[{i}].hostnames[{j}]", name, dns_subdomain(name))


def _check_readiness_gates(errs: Errors, path: str, gates: list[Obj]) -> None:
    for i, gate in enumerate(gates):
        kind = gate.get("conditionType", "")
        check_messages(errs, f"{path}[{i}].conditionType", kind, qualified_name(kind))


def _check_overhead(errs: Errors, path: str, overhead: Obj) -> None:
    check_requirements(errs, path, {"limits": overhead})


_FIELDS = (
    ("nodeSelector", check_labels),
    ("affinity", check_affinity),
    ("tolerations", check_tolerations),
    ("topologySpreadConstraints", check_spread),
    ("schedulingGates", check_gates),
    ("readinessGates", _check_readiness_gates),
    ("hostAliases", _check_host_aliases),
    ("overhead", _check_overhead),
)


def check_pod_annotations(errs: Errors, path: str, annotations: Obj, spec: Obj) -> None:
    """Annotations that mean something on pods."""
    if _MIRROR in annotations and not spec.get("nodeName"):
        detail = "must set spec.nodeName if mirror pod annotation is set"
        errs.append(invalid(f"{path}[{_MIRROR}]", annotations[_MIRROR], detail))
    cost = annotations.get(_DELETION_COST)
    if cost is not None and not (len(cost) <= 11 and _COST(cost) and -(2**31) <= int(cost) < 2**31):
        errs.append(invalid(f"{path}[{_DELETION_COST}]", cost, "must be a 32bit integer"))


def check_template(errs: Errors, path: str, template: Obj) -> None:
    """A PodTemplateSpec."""
    metadata = template.get("metadata") or {}
    spec = template.get("spec") or {}
    if metadata.get("labels"):
        check_labels(errs, f"{path}.labels", metadata["labels"])
    if metadata.get("annotations"):
        check_annotations(errs, f"{path}.annotations", metadata["annotations"])
        check_pod_annotations(errs, f"{path}.annotations", metadata["annotations"], spec)
    check_pod_spec(errs, f"{path}.spec", spec)
    if spec.get("ephemeralContainers"):
        detail = "ephemeral containers not allowed in pod template"
        errs.append(forbidden(f"{path}.spec.ephemeralContainers", detail))
