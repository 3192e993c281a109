"""Stateful sets."""

from __future__ import annotations

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    Errors,
    check_messages,
    check_not_negative,
    forbidden,
    invalid,
    required,
)
from arktos.model.validation.claims import check_claim_spec
from arktos.model.validation.formats import dns_label, dns_subdomain
from arktos.model.validation.labels import check_selector, is_empty, selects
from arktos.model.validation.pod_spec import check_template
from arktos.model.validation.rules import Rules
from arktos.model.validation.workloads import check_part, check_running

_CHANGEABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_COUNTS = ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")


def _check(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    check_not_negative(errs, spec, "spec", "replicas", "minReadySeconds", "revisionHistoryLimit")
    check_not_negative(errs, spec.get("ordinals") or {}, "spec.ordinals", "start")
    _check_strategy(errs, spec.get("updateStrategy") or {})
    selector = spec.get("selector")
    if selector is None:
        errs.append(required("spec.selector"))
    else:
        check_selector(errs, "spec.selector", selector)
        if is_empty(selector):
            errs.append(invalid("spec.selector", selector, "empty selector is invalid for statefulset"))
    template = spec.get("template")
    if template is None:
        errs.append(required("spec.template"))
    else:
        _check_template(errs, spec, template, selector)
    for i, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        check_claim_spec(errs, f"spec.volumeClaimTemplates[{i}].spec", claim.get("spec") or {})
    name = spec.get("serviceName")
    if name:
        check_messages(errs, "spec.serviceName", name, dns_subdomain(name))


def _check_template(errs: Errors, spec: Obj, template: Obj, selector: Obj | None) -> None:
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector and not is_empty(selector) and not selects(selector, labels):
        errs.append(invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"))
    check_template(errs, "spec.template", with_claims(template, spec.get("volumeClaimTemplates") or []))
    check_running(errs, template, "StatefulSet")


def with_claims(template: Obj, claims: list[Obj]) -> Obj:
    """The template as its pods will be: each claim template is a volume of the same name."""
    if not claims:
        return template
    pod = template.get("spec") or {}
    names = {(each.get("metadata") or {}).get("name", "") for each in claims}
    volumes = [each for each in pod.get("volumes") or () if each.get("name") not in names]
    volumes += [{"name": n, "persistentVolumeClaim": {"claimName": n}} for n in sorted(names) if n and not dns_label(n)]
    return {**template, "spec": {**pod, "volumes": volumes}}


def _check_strategy(errs: Errors, strategy: Obj) -> None:
    rolling, path = strategy.get("rollingUpdate"), "spec.updateStrategy.rollingUpdate"
    if rolling is None:
        return
    if strategy.get("type") == "OnDelete":
        errs.append(invalid(path, rolling, "only allowed for updateStrategy 'RollingUpdate'"))
        return
    check_not_negative(errs, rolling, path, "partition")
    value = rolling.get("maxUnavailable")
    percent = check_part(errs, f"{path}.maxUnavailable", value)
    if value == 0 or percent == 0:
        errs.append(invalid(f"{path}.maxUnavailable", value, "cannot be 0"))
    if percent is not None and percent > 100:
        errs.append(invalid(f"{path}.maxUnavailable", value, "must not be greater than 100%"))


def _check_update(errs: Errors, obj: Obj, old: Obj) -> None:
    new_spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
    if any(
        (new_spec.get(name) or None) != (old_spec.get(name) or None)
        for name in {*new_spec, *old_spec}
        if name not in _CHANGEABLE
    ):
        listed = ", ".join(f"'{name}'" for name in _CHANGEABLE[:-1])
        detail = f"updates to statefulset spec for fields other than {listed} and '{_CHANGEABLE[-1]}' are forbidden"
        errs.append(forbidden("spec", detail))


def _check_status(errs: Errors, obj: Obj, old: Obj) -> None:
    status = obj.get("status") or {}
    check_not_negative(errs, status, "status", *_COUNTS, "observedGeneration", "collisionCount")
    total = status.get("replicas", 0)
    for name in _COUNTS[1:]:
        count = status.get(name, 0)
        if count > max(total, 0):
            errs.append(invalid(f"status.{name}", count, "cannot be greater than status.replicas"))
    if status.get("availableReplicas", 0) > max(status.get("readyReplicas", 0), 0):
        detail = "cannot be greater than status.readyReplicas"
        errs.append(invalid("status.availableReplicas", status["availableReplicas"], detail))


STATEFUL_SET = Rules(always=_check, update=_check_update, subresources={"status": _check_status})
