"""Pods: what a new one must be, and what little may change in one that exists."""

from __future__ import annotations

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    Errors,
    between,
    check_immutable,
    check_messages,
    duplicate,
    forbidden,
    invalid,
    not_supported,
)
from arktos.model.validation.formats import dns_subdomain, ip, parse_ip, qualified_name
from arktos.model.validation.machines import check_machine_update
from arktos.model.validation.pod_spec import check_pod_annotations, check_pod_spec
from arktos.model.validation.resources import amount
from arktos.model.validation.rules import Rules

_MIRROR = "kubernetes.io/config.mirror"
_MAX_INT32 = 2**31 - 1
_CHANGEABLE = (
    "`spec.containers[*].image`",
    "`spec.initContainers[*].image`",
    "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    "`spec.virtualMachine`",
    "`spec.nics`",
)


def _spec(pod: Obj) -> Obj:
    return pod.get("spec") or {}


def _check(errs: Errors, pod: Obj) -> None:
    metadata, spec = pod.get("metadata") or {}, _spec(pod)
    annotations = metadata.get("annotations")
    if annotations:
        check_pod_annotations(errs, "metadata.annotations", annotations, spec)


def _check_desired(errs: Errors, pod: Obj) -> None:
    metadata, spec = pod.get("metadata") or {}, _spec(pod)
    check_pod_spec(errs, "spec", spec, metadata.get("name", ""), is_pod=True)
    if not spec.get("serviceAccountName"):
        _check_no_tokens(errs, spec)


def _check_no_tokens(errs: Errors, spec: Obj) -> None:
    for i, volume in enumerate(spec.get("volumes") or ()):
        for j, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            if "serviceAccountToken" in source:
                field = f"spec.volumes[{i}].projected.sources[{j}].serviceAccountToken"
                errs.append(forbidden(field, "must not be specified when serviceAccountName is not set"))


def _check_create(errs: Errors, pod: Obj) -> None:
    spec = _spec(pod)
    if spec.get("ephemeralContainers"):
        errs.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        errs.append(forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))


def _check_update(errs: Errors, pod: Obj, old: Obj) -> None:
    _check_annotation_changes(errs, pod, old)
    new_spec, old_spec = _spec(pod), _spec(old)
    for kind in ("containers", "initContainers"):
        if len(new_spec.get(kind) or ()) != len(old_spec.get(kind) or ()):
            errs.append(forbidden(f"spec.{kind}", "pod updates may not add or remove containers"))
            return
    _check_deadline(errs, new_spec.get("activeDeadlineSeconds"), old_spec.get("activeDeadlineSeconds"))
    _check_tolerations(errs, new_spec.get("tolerations") or [], old_spec.get("tolerations") or [])
    _check_gates(errs, new_spec.get("schedulingGates") or [], old_spec.get("schedulingGates") or [])
    check_machine_update(errs, new_spec, old_spec)
    if new_spec == old_spec:
        return
    frozen = _without_changeable(new_spec, old_spec)
    if old_spec.get("schedulingGates"):
        _check_gated(errs, frozen, old_spec)
    if frozen != _normal(old_spec):
        listed = ",".join(_CHANGEABLE)
        changed = sorted(k for k in {*frozen, *old_spec} if frozen.get(k) != _normal(old_spec).get(k))
        detail = f"pod updates may not change fields other than {listed}\n{', '.join('spec.' + k for k in changed)}"
        errs.append(forbidden("spec", detail))


def _normal(spec: Obj) -> Obj:
    """A spec without what is there but empty: absent and empty are the same to a client."""
    return {k: v for k, v in spec.items() if v not in (None, "", [], {})}


def _without_changeable(spec: Obj, old: Obj) -> Obj:
    """The new spec with the old one's value in each place that may change."""
    frozen = dict(spec)
    for kind in ("containers", "initContainers"):
        if spec.get(kind):
            frozen[kind] = [
                {**new, "image": before.get("image")} if "image" in new else new
                for new, before in zip(spec[kind], old.get(kind) or (), strict=True)
            ]
    fields = ["activeDeadlineSeconds", "schedulingGates", "tolerations", "virtualMachine", "nics", "vpc"]
    if (old.get("terminationGracePeriodSeconds") or 0) < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        fields.append("terminationGracePeriodSeconds")
    for field in fields:
        if field in old:
            frozen[field] = old[field]
        else:
            frozen.pop(field, None)
    return _normal(frozen)


def _check_annotation_changes(errs: Errors, pod: Obj, old: Obj) -> None:
    now = (pod.get("metadata") or {}).get("annotations") or {}
    before = (old.get("metadata") or {}).get("annotations") or {}
    if now.get(_MIRROR) != before.get(_MIRROR):
        verb = "remove or update" if _MIRROR in before else "add"
        errs.append(forbidden(f"metadata.annotations[{_MIRROR}]", f"may not {verb} mirror pod annotation"))


def _check_deadline(errs: Errors, new: int | None, old: int | None) -> None:
    field = "spec.activeDeadlineSeconds"
    if new is None:
        if old is not None:
            errs.append(invalid(field, None, "must not update from a positive integer to nil value"))
    elif not 0 <= new <= _MAX_INT32:
        errs.append(invalid(field, new, between(0, _MAX_INT32)))
    elif old is not None and old < new:
        errs.append(invalid(field, new, "must be less than or equal to previous value"))


def _check_tolerations(errs: Errors, new: list[Obj], old: list[Obj]) -> None:
    kept = [{k: v for k, v in each.items() if k != "tolerationSeconds"} for each in new]
    for each in old:
        if {k: v for k, v in each.items() if k != "tolerationSeconds"} not in kept:
            detail = "existing toleration can not be modified except its tolerationSeconds"
            errs.append(forbidden("spec.tolerations", detail))
            return


def _check_gates(errs: Errors, new: list[Obj], old: list[Obj]) -> None:
    known = {each.get("name") for each in old}
    for i, gate in enumerate(new):
        name = gate.get("name", "")
        if name not in known:
            detail = f"only deletion is allowed, but found new scheduling gate '{name}'"
            errs.append(forbidden(f"spec.schedulingGates[{i}].name", detail))


def _check_gated(errs: Errors, frozen: Obj, old: Obj) -> None:
    """A gated pod may still be narrowed: by more node selector labels and more node affinity."""
    before, now = old.get("nodeSelector") or {}, frozen.get("nodeSelector") or {}
    if now != before:
        if any(now.get(k) != v for k, v in before.items()):
            detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
            errs.append(invalid("spec.nodeSelector", now, detail))
        _put_back(frozen, old, "nodeSelector")
    now_affinity, before_affinity = frozen.get("affinity") or {}, old.get("affinity") or {}
    if now_affinity.get("nodeAffinity") != before_affinity.get("nodeAffinity"):
        _check_node_affinity(errs, now_affinity.get("nodeAffinity") or {}, before_affinity.get("nodeAffinity") or {})
        rest = {k: v for k, v in now_affinity.items() if k != "nodeAffinity"}
        if rest == {k: v for k, v in before_affinity.items() if k != "nodeAffinity"}:
            _put_back(frozen, old, "affinity")


def _put_back(frozen: Obj, old: Obj, field: str) -> None:
    if old.get(field):
        frozen[field] = old[field]
    else:
        frozen.pop(field, None)


def _check_node_affinity(errs: Errors, new: Obj, old: Obj) -> None:
    name = "requiredDuringSchedulingIgnoredDuringExecution"
    before = (old.get(name) or {}).get("nodeSelectorTerms") or []
    now = (new.get(name) or {}).get("nodeSelectorTerms") or []
    path = f"spec.affinity.nodeAffinity.{name}.nodeSelectorTerms"
    if not before:
        return
    if len(before) != len(now):
        detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        errs.append(invalid(path, now, detail))
        return
    for i, (term, was) in enumerate(zip(now, before, strict=True)):
        if not _only_adds(term, was):
            errs.append(invalid(f"{path}[{i}]", term, "only additions are allowed (no mutations or deletions)"))


def _only_adds(term: Obj, was: Obj) -> bool:
    lists = [(term.get(n) or [], was.get(n) or []) for n in ("matchExpressions", "matchFields")]
    if not any(before for _, before in lists):
        return not any(now for now, _ in lists)
    return all(now[: len(before)] == before for now, before in lists)


def _check_status(errs: Errors, pod: Obj, old: Obj) -> None:
    status, before = pod.get("status") or {}, old.get("status") or {}
    _check_annotation_changes(errs, pod, old)
    for i, condition in enumerate(status.get("conditions") or ()):
        kind = condition.get("type", "")
        if kind not in ("PodScheduled", "Ready", "Initialized"):
            check_messages(errs, f"metadata.conditions[{i}].Type", kind, qualified_name(kind))
    node = status.get("nominatedNodeName")
    if node and node != before.get("nominatedNodeName"):
        check_messages(errs, "status.nominatedNodeName", node, dns_subdomain(node))
    if before.get("qosClass"):
        check_immutable(errs, "status.qosClass", status.get("qosClass"), before["qosClass"])
    restart = _spec(old).get("restartPolicy", "Always")
    sidecars = {c.get("name") for c in _spec(old).get("initContainers") or () if c.get("restartPolicy") == "Always"}
    own = {
        c.get("name")
        for kind in ("containers", "initContainers")
        for c in _spec(old).get(kind) or ()
        if c.get("restartPolicy") is not None or c.get("restartPolicyRules")
    }
    _check_states(errs, "containerStatuses", status, before, restart, own)
    _check_states(errs, "initContainerStatuses", status, before, restart, sidecars | own)
    _check_states(errs, "ephemeralContainerStatuses", status, before, "Never", set())
    for name in ("podIPs", "hostIPs"):
        if status.get(name):
            _check_ips(errs, f"status.{name}", status[name])
    hosts = status.get("hostIPs")
    if hosts and status.get("hostIP", "") != hosts[0].get("ip", ""):
        errs.append(invalid("status.hostIPs[0].ip", hosts[0].get("ip", ""), "must be equal to `hostIP`"))


def _check_states(errs: Errors, kind: str, status: Obj, before: Obj, restart: str, free: set[object]) -> None:
    """A container that has ended for good stays ended."""
    if restart == "Always":
        return
    now = {each.get("name"): each for each in status.get(kind) or ()}
    for i, was in enumerate(before.get(kind) or ()):
        ended = (was.get("state") or {}).get("terminated")
        name = was.get("name")
        if ended is None or name in free or name not in now:
            continue
        if restart == "OnFailure" and ended.get("exitCode", 0) != 0:
            continue
        if (now[name].get("state") or {}).get("terminated") is None:
            field = f"status.{kind}[{i}].state"
            errs.append(forbidden(field, "may not be transitioned to non-terminated state"))


def _check_ips(errs: Errors, path: str, entries: list[Obj]) -> None:
    texts = [each.get("ip", "") for each in entries]
    for i, text in enumerate(texts):
        check_messages(errs, f"{path}[{i}]", text, ip(text))
        if text in texts[:i]:
            errs.append(duplicate(f"{path}[{i}]", entries[i]))
    versions = [parsed.version for parsed in map(parse_ip, texts) if parsed]
    if len(set(versions)) != len(versions):
        errs.append(invalid(path, entries, "may specify no more than one IP for each IP family"))


def _check_ephemeral(errs: Errors, pod: Obj, old: Obj) -> None:
    _check_desired(errs, pod)
    _check(errs, pod)
    if _MIRROR in ((old.get("metadata") or {}).get("annotations") or {}):
        errs.append(forbidden("", "static pods do not support ephemeral containers"))
        return
    now = {each.get("name"): each for each in _spec(pod).get("ephemeralContainers") or ()}
    for was in _spec(old).get("ephemeralContainers") or ():
        name = was.get("name", "")
        if name not in now:
            detail = f'existing ephemeral containers "{name}" may not be removed\n'
            errs.append(forbidden("spec.ephemeralContainers", detail))
        elif now[name] != was:
            detail = f'existing ephemeral containers "{name}" may not be changed\n'
            errs.append(forbidden("spec.ephemeralContainers", detail))


_RESIZABLE = ("cpu", "memory")


def _check_resize(errs: Errors, pod: Obj, old: Obj) -> None:
    """The resize subresource: CPU and memory of running containers, or of the virtual machine."""
    from arktos.model.qos import qos_class

    _check_desired(errs, pod)
    _check(errs, pod)
    if _MIRROR in ((old.get("metadata") or {}).get("annotations") or {}):
        errs.append(forbidden("", "static pods cannot be resized"))
        return
    if (_spec(old).get("os") or {}).get("name") == "windows":
        errs.append(forbidden("", "windows pods cannot be resized"))
        return
    before = (old.get("status") or {}).get("qosClass") or qos_class(_spec(old))
    if before != qos_class(_spec(pod)):
        errs.append(invalid("spec", before, "Pod QOS Class may not change as a result of resizing"))
    for kind in ("containers", "initContainers"):
        _check_resized(errs, kind, _spec(pod).get(kind) or [], _spec(old).get(kind) or [])
    rest = [{k: v for k, v in s.items() if k not in _RESIZED} for s in (_spec(pod), _spec(old))]
    if _normal(rest[0]) != _normal(rest[1]):
        errs.append(forbidden("spec", "only cpu and memory resources are mutable"))


_RESIZED = frozenset({"containers", "initContainers", "virtualMachine"})


def _check_resized(errs: Errors, kind: str, new: list[Obj], old: list[Obj]) -> None:
    if [each.get("name") for each in new] != [each.get("name") for each in old]:
        errs.append(forbidden("spec", f"{kind} may not be renamed or reordered on resize"))
        return
    for i, (now, was) in enumerate(zip(new, old, strict=True)):
        if kind == "initContainers" and was.get("restartPolicy") != "Always":
            if now != was:
                errs.append(forbidden("spec", "resources for non-sidecar init containers are immutable"))
            continue
        _check_requirements(errs, f"spec.{kind}[{i}].resources", now, was)
        if _other_needs(now) != _other_needs(was):
            errs.append(forbidden("spec", "only cpu and memory resources are mutable"))


def _other_needs(container: Obj) -> Obj:
    needs = container.get("resources") or {}
    kept = {
        side: {k: v for k, v in (needs.get(side) or {}).items() if k not in _RESIZABLE}
        for side in ("limits", "requests")
    }
    return {**{k: v for k, v in container.items() if k not in ("resources", "resizePolicy")}, "resources": kept}


def _check_requirements(errs: Errors, path: str, now: Obj, was: Obj) -> None:
    new, old = now.get("resources") or {}, was.get("resources") or {}
    for side, noun in (("requests", "resource requests"), ("limits", "resource limits")):
        if set(old.get(side) or ()) - set(new.get(side) or ()):
            errs.append(forbidden(f"{path}.{side}", f"{noun} cannot be removed"))
    policies = {each.get("resourceName"): each.get("restartPolicy") for each in now.get("resizePolicy") or ()}
    after, before = (amount((each.get("limits") or {}).get("memory", "")) for each in (new, old))
    if policies.get("memory") != "RestartContainer" and after is not None and before is None:
        detail = "memory limits cannot be added unless resizePolicy is RestartContainer"
        errs.append(forbidden(f"{path}.limits[memory]", detail))


def _check_binding(errs: Errors, binding: Obj) -> None:
    # A target without name takes the pod off its node, as on the original's wire.
    target = binding.get("target") or {}
    if target.get("kind") not in (None, "", "Node"):
        errs.append(not_supported("target.kind", target["kind"], ("Node", "<empty>")))


POD = Rules(
    desired=_check_desired,
    always=_check,
    create=_check_create,
    update=_check_update,
    subresources={"status": _check_status, "ephemeralcontainers": _check_ephemeral, "resize": _check_resize},
)
BINDING = Rules(always=_check_binding)
