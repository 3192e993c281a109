"""Kinds that keep pods running: deployments, replica sets, daemon sets, replication controllers, pod templates."""

from __future__ import annotations

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    Errors,
    check_immutable,
    check_not_negative,
    forbidden,
    invalid,
    not_supported,
    required,
)
from arktos.model.validation.labels import check_selector, is_empty, selects
from arktos.model.validation.pod_spec import check_template
from arktos.model.validation.rules import Rules

_NO_MATCH = "`selector` does not match template `labels`"
_PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' "
    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)


def check_owned_template(errs: Errors, spec: Obj, noun: str) -> None:
    """Selector and template of a kind that keeps pods running: they fit, and the pods restart always."""
    selector = spec.get("selector")
    if selector is None:
        errs.append(required("spec.selector"))
    else:
        check_selector(errs, "spec.selector", selector)
        if is_empty(selector):
            errs.append(invalid("spec.selector", selector, f"empty selector is invalid for {noun}"))
    template = spec.get("template")
    if template is None:
        errs.append(required("spec.template"))
        return
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector and not is_empty(selector) and not selects(selector, labels):
        errs.append(invalid("spec.template.metadata.labels", labels, _NO_MATCH))
    check_template(errs, "spec.template", template)
    check_running(errs, template, noun)


def check_running(errs: Errors, template: Obj, noun: str) -> None:
    """Pods that are kept running restart always and have no deadline."""
    pod = template.get("spec") or {}
    if pod.get("restartPolicy", "Always") != "Always":
        errs.append(not_supported("spec.template.spec.restartPolicy", pod["restartPolicy"], ("Always",)))
    if pod.get("activeDeadlineSeconds") is not None:
        detail = f"activeDeadlineSeconds in {noun} is not Supported"
        errs.append(forbidden("spec.template.spec.activeDeadlineSeconds", detail))


def check_part(errs: Errors, field: str, value: int | str | None) -> int | None:
    """A number or a percentage of pods; returns the percentage, or None where it is a number or is wrong."""
    if isinstance(value, str):
        digits = value[:-1]
        if not value.endswith("%") or not (digits.isascii() and digits.isdigit()):
            errs.append(invalid(field, value, _PERCENT))
            return None
        return int(digits[:9])
    if value is not None and value < 0:
        errs.append(invalid(field, value, "must be greater than or equal to 0"))
    return None


def _check_at_most_all(errs: Errors, field: str, value: int | str | None, percent: int | None) -> None:
    if percent is not None and percent > 100:
        errs.append(invalid(field, value, "must not be greater than 100%"))


def _is_zero(value: int | str | None) -> bool:
    return value in (0, None) or (isinstance(value, str) and not value.rstrip("%").strip("0"))


def _check_deployment(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    check_not_negative(errs, spec, "spec", "replicas", "minReadySeconds", "revisionHistoryLimit")
    check_owned_template(errs, spec, "deployment")
    strategy = spec.get("strategy") or {}
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") == "Recreate":
        if rolling is not None:
            detail = "may not be specified when strategy `type` is 'Recreate'"
            errs.append(forbidden("spec.strategy.rollingUpdate", detail))
    elif strategy.get("type") == "RollingUpdate":
        _check_rolling(errs, "spec.strategy.rollingUpdate", rolling, both=False)
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        check_not_negative(errs, spec, "spec", "progressDeadlineSeconds")
        if deadline <= spec.get("minReadySeconds", 0):
            errs.append(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))


def _check_rolling(errs: Errors, path: str, rolling: Obj | None, *, both: bool) -> None:
    if rolling is None:
        errs.append(required(path, "this should be defaulted and never be nil"))
        return
    down, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    down_percent = check_part(errs, f"{path}.maxUnavailable", down)
    surge_percent = check_part(errs, f"{path}.maxSurge", surge)
    if not both:
        if _is_zero(down) and _is_zero(surge):
            errs.append(invalid(f"{path}.maxUnavailable", down, "may not be 0 when `maxSurge` is 0"))
        _check_at_most_all(errs, f"{path}.maxUnavailable", down, down_percent)
        return
    _check_at_most_all(errs, f"{path}.maxUnavailable", down, down_percent)
    _check_at_most_all(errs, f"{path}.maxSurge", surge, surge_percent)
    if not _is_zero(down) and not _is_zero(surge):
        errs.append(invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero"))
    elif _is_zero(down) and _is_zero(surge):
        errs.append(required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))


def _check_selector_kept(errs: Errors, obj: Obj, old: Obj) -> None:
    new_spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
    check_immutable(errs, "spec.selector", new_spec.get("selector"), old_spec.get("selector"))


_COUNTS = (
    "replicas",
    "fullyLabeledReplicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "terminatingReplicas",
    "observedGeneration",
)


def _check_replica_status(errs: Errors, obj: Obj, old: Obj) -> None:
    status = obj.get("status") or {}
    check_not_negative(errs, status, "status", *_COUNTS)
    total, ready = status.get("replicas", 0), status.get("readyReplicas", 0)
    for name in ("fullyLabeledReplicas", "updatedReplicas", "readyReplicas", "availableReplicas"):
        count = status.get(name, 0)
        if count > max(total, 0):
            errs.append(invalid(f"status.{name}", count, "cannot be greater than status.replicas"))
    if status.get("availableReplicas", 0) > max(ready, 0):
        errs.append(
            invalid("status.availableReplicas", status["availableReplicas"], "cannot be greater than readyReplicas")
        )
    before, after = (old.get("status") or {}).get("collisionCount"), status.get("collisionCount")
    if before is not None and (after is None or after < before):
        errs.append(invalid("status.collisionCount", after or 0, "cannot be decremented"))


_STATUS = {"status": _check_replica_status}

DEPLOYMENT = Rules(always=_check_deployment, update=_check_selector_kept, subresources=_STATUS)


def _check_replica_set(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    check_not_negative(errs, spec, "spec", "replicas", "minReadySeconds")
    check_owned_template(errs, spec, "ReplicaSet")


REPLICA_SET = Rules(always=_check_replica_set, update=_check_selector_kept, subresources=_STATUS)


def _check_daemon_set(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    check_owned_template(errs, spec, "DaemonSet")
    check_not_negative(errs, spec, "spec", "minReadySeconds", "revisionHistoryLimit")
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "RollingUpdate":
        _check_rolling(errs, "spec.updateStrategy.rollingUpdate", strategy.get("rollingUpdate"), both=True)


_DAEMON_COUNTS = (
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
)


def _check_daemon_status(errs: Errors, obj: Obj, old: Obj) -> None:
    check_not_negative(errs, obj.get("status") or {}, "status", *_DAEMON_COUNTS)


DAEMON_SET = Rules(always=_check_daemon_set, update=_check_selector_kept, subresources={"status": _check_daemon_status})


def _check_controller(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    check_not_negative(errs, spec, "spec", "replicas", "minReadySeconds")
    selector = spec.get("selector") or {}
    if not selector:
        errs.append(required("spec.selector"))
    template = spec.get("template")
    if template is None:
        errs.append(required("spec.template"))
        return
    labels = (template.get("metadata") or {}).get("labels") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        errs.append(invalid("spec.template.metadata.labels", labels, _NO_MATCH))
    check_template(errs, "spec.template", template)
    check_running(errs, template, "ReplicationController")


REPLICATION_CONTROLLER = Rules(always=_check_controller, subresources=_STATUS)


def _check_pod_template(errs: Errors, obj: Obj) -> None:
    check_template(errs, "template", obj.get("template") or {})


POD_TEMPLATE = Rules(always=_check_pod_template)


def _check_revision(errs: Errors, obj: Obj) -> None:
    if obj.get("data") is None:
        errs.append(required("data", "data is mandatory"))
    check_not_negative(errs, obj, "", "revision")


def _check_revision_update(errs: Errors, obj: Obj, old: Obj) -> None:
    check_immutable(errs, "data", obj.get("data"), old.get("data"))


CONTROLLER_REVISION = Rules(always=_check_revision, update=_check_revision_update)
