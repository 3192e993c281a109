"""Jobs and cron jobs."""

from __future__ import annotations

import re
from functools import cache

from arktos.model import cron
from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    Errors,
    check_immutable,
    check_messages,
    check_not_negative,
    duplicate,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
)
from arktos.model.validation.formats import dns_label, dns_subdomain, domain_prefixed, qualified_name
from arktos.model.validation.labels import check_selector, selects
from arktos.model.validation.pod_spec import check_template
from arktos.model.validation.rules import Rules

_MAX_COMPLETIONS = 100_000
_MAX_INDEXED = 1_000_000
_MAX_RULES = 20
_MAX_CODES = 255
_MAX_PATTERNS = 20
_MAX_MANAGED_BY = 63
_CRON_NAME = 52
_UID = "batch.kubernetes.io/controller-uid"
_indexes = re.compile(r"\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*", re.ASCII).fullmatch


def _check_spec(errs: Errors, path: str, spec: Obj) -> None:
    check_not_negative(
        errs,
        spec,
        path,
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    )
    manager = spec.get("managedBy")
    if manager is not None:
        check_messages(errs, f"{path}.managedBy", manager, domain_prefixed(manager))
        if len(manager) > _MAX_MANAGED_BY:
            errs.append(too_long(f"{path}.managedBy", _MAX_MANAGED_BY))
    _check_completion(errs, path, spec)
    template = spec.get("template")
    if template is None:
        errs.append(required(f"{path}.template"))
        return
    check_template(errs, f"{path}.template", template)
    restart = (template.get("spec") or {}).get("restartPolicy")
    if restart in (None, "Always"):
        supported = ("Never", "OnFailure")
        errs.append(not_supported(f"{path}.template.spec.restartPolicy", restart or "", supported))
    elif restart != "Never" and "podFailurePolicy" in spec:
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        errs.append(invalid(f"{path}.template.spec.restartPolicy", restart, detail))
    _check_failure_policy(errs, path, spec)
    _check_success_policy(errs, path, spec)


def _check_completion(errs: Errors, path: str, spec: Obj) -> None:
    indexed = spec.get("completionMode") == "Indexed"
    completions, parallelism = spec.get("completions"), spec.get("parallelism") or 0
    if indexed:
        if completions is None:
            errs.append(required(f"{path}.completions", "when completion mode is Indexed"))
        elif completions > _MAX_INDEXED and "backoffLimitPerIndex" not in spec:
            errs.append(invalid(f"{path}.completions", completions, f"must be less than or equal to {_MAX_INDEXED}"))
        if parallelism > _MAX_COMPLETIONS:
            detail = f"must be less than or equal to {_MAX_COMPLETIONS} when completion mode is Indexed"
            errs.append(invalid(f"{path}.parallelism", parallelism, detail))
    per_index, failed = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    if per_index is not None and not indexed:
        errs.append(invalid(f"{path}.backoffLimitPerIndex", per_index, "requires indexed completion mode"))
    if failed is not None:
        if per_index is None:
            errs.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
        if completions is not None and failed > completions:
            detail = "must be less than or equal to completions"
            errs.append(invalid(f"{path}.maxFailedIndexes", failed, detail))
    if "podFailurePolicy" in spec and spec.get("podReplacementPolicy") == "TerminatingOrFailed":
        errs.append(not_supported(f"{path}.podReplacementPolicy", "TerminatingOrFailed", ("Failed",)))


def _check_failure_policy(errs: Errors, path: str, spec: Obj) -> None:
    policy = spec.get("podFailurePolicy")
    if policy is None:
        return
    rules = policy.get("rules") or []
    if len(rules) > _MAX_RULES:
        errs.append(too_many(f"{path}.podFailurePolicy.rules", len(rules), _MAX_RULES))
    pod = (spec.get("template") or {}).get("spec") or {}
    names = {each.get("name") for kind in ("containers", "initContainers") for each in pod.get(kind) or ()}
    for i, rule in enumerate(rules):
        _check_failure_rule(errs, f"{path}.podFailurePolicy.rules[{i}]", rule, spec, names)


def _check_failure_rule(errs: Errors, path: str, rule: Obj, spec: Obj, names: set[object]) -> None:
    if rule.get("action") == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        errs.append(invalid(f"{path}.action", "FailIndex", "requires the backoffLimitPerIndex to be set"))
    codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions") or []
    if codes is None and not patterns:
        errs.append(invalid(path, rule, "specifying one of OnExitCodes and OnPodConditions is required"))
    elif codes is not None and patterns:
        errs.append(invalid(path, rule, "specifying both OnExitCodes and OnPodConditions is not supported"))
    if codes is not None:
        _check_codes(errs, f"{path}.onExitCodes", codes, names)
    if len(patterns) > _MAX_PATTERNS:
        errs.append(too_many(f"{path}.onPodConditions", len(patterns), _MAX_PATTERNS))
    for i, pattern in enumerate(patterns):
        kind, status = pattern.get("type", ""), pattern.get("status", "")
        check_messages(errs, f"{path}.onPodConditions[{i}].type", kind, qualified_name(kind))
        if status not in ("True", "False", "Unknown"):
            errs.append(not_supported(f"{path}.onPodConditions[{i}].status", status, ("False", "True", "Unknown")))


def _check_codes(errs: Errors, path: str, codes: Obj, names: set[object]) -> None:
    values, container = codes.get("values") or [], codes.get("containerName")
    if container is not None and container not in names:
        detail = "must be one of the container or initContainer names in the pod template"
        errs.append(invalid(f"{path}.containerName", container, detail))
    if not values:
        errs.append(invalid(f"{path}.values", values, "at least one value is required"))
    elif len(values) > _MAX_CODES:
        errs.append(too_many(f"{path}.values", len(values), _MAX_CODES))
    for i, value in enumerate(values[:_MAX_CODES]):
        if value in values[:i]:
            errs.append(duplicate(f"{path}.values[{i}]", value))
        if value == 0 and codes.get("operator") == "In":
            errs.append(invalid(f"{path}.values[{i}]", 0, "must not be 0 for the In operator"))
    if values != sorted(values):
        errs.append(invalid(f"{path}.values", values, "must be ordered"))


def _check_success_policy(errs: Errors, path: str, spec: Obj) -> None:
    policy = spec.get("successPolicy")
    if policy is None:
        return
    at = f"{path}.successPolicy"
    if spec.get("completionMode") != "Indexed":
        errs.append(invalid(at, policy, "requires indexed completion mode"))
        return
    rules = policy.get("rules") or []
    if not rules:
        errs.append(required(f"{at}.rules", "at least one rules must be specified when the successPolicy is specified"))
    if len(rules) > _MAX_RULES:
        errs.append(too_many(f"{at}.rules", len(rules), _MAX_RULES))
    for i, rule in enumerate(rules):
        indexes, count = rule.get("succeededIndexes"), rule.get("succeededCount")
        if indexes is None and count is None:
            detail = "at least one of succeededCount or succeededIndexes must be specified"
            errs.append(required(f"{at}.rules[{i}]", detail))
        if indexes is not None and not _indexes(indexes):
            errs.append(invalid(f"{at}.rules[{i}].succeededIndexes", indexes, "error parsing succeededIndexes"))
        if count is not None:
            check_not_negative(errs, rule, f"{at}.rules[{i}]", "succeededCount")
            total = spec.get("completions") or 0
            if count > total:
                detail = f"must be less than or equal to {total} (the number of specified completions)"
                errs.append(invalid(f"{at}.rules[{i}].succeededCount", count, detail))


def _check_job(errs: Errors, obj: Obj) -> None:
    spec, metadata = obj.get("spec") or {}, obj.get("metadata") or {}
    _check_spec(errs, "spec", spec)
    selector = spec.get("selector")
    if selector is None:
        errs.append(required("spec.selector"))
        return
    check_selector(errs, "spec.selector", selector)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if not selects(selector, labels):
        errs.append(invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"))
    if not spec.get("manualSelector"):
        expected = {_UID: metadata.get("uid", ""), "controller-uid": metadata.get("uid", "")}
        if not selects(selector, {**labels, **expected}):
            errs.append(invalid("spec.selector", selector, "`selector` not auto-generated"))
    if spec.get("completionMode") == "Indexed":
        _check_pod_names(errs, metadata.get("name", ""), spec.get("completions") or 0)


def _check_pod_names(errs: Errors, name: str, completions: int) -> None:
    last = f"{name}-{max(completions - 1, 0)}"
    if name and not dns_subdomain(name):
        for message in dns_label(last):
            detail = f"will not able to create pod with invalid DNS label {last}: {message}"
            errs.append(invalid("metadata.name", name, detail))


_SCHEDULING = ("nodeSelector", "affinity", "tolerations", "schedulingGates")
_FIXED = ("selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")


def _check_job_update(errs: Errors, obj: Obj, old: Obj) -> None:
    spec, before = obj.get("spec") or {}, old.get("spec") or {}
    elastic = (
        spec.get("completionMode") == before.get("completionMode") == "Indexed"
        and spec.get("completions") == spec.get("parallelism")
        and spec.get("completions") is not None
    )
    if not elastic:
        check_immutable(errs, "spec.completions", spec.get("completions"), before.get("completions"))
    for name in _FIXED:
        check_immutable(errs, f"spec.{name}", spec.get(name), before.get(name))
    template, was = spec.get("template") or {}, before.get("template") or {}
    started = (old.get("status") or {}).get("startTime")
    if before.get("suspend") and spec.get("suspend") is not None and not started:
        template, was = _rest(template), _rest(was)
    check_immutable(errs, "spec.template", template, was)


def _rest(template: Obj) -> Obj:
    """A template without what a suspended job's may change: where its pods may run, and what they ask for."""
    metadata = {k: v for k, v in (template.get("metadata") or {}).items() if k not in ("labels", "annotations")}
    pod = {k: v for k, v in (template.get("spec") or {}).items() if k not in _SCHEDULING}
    for kind in ("containers", "initContainers"):
        if kind in pod:
            pod[kind] = [{k: v for k, v in each.items() if k != "resources"} for each in pod[kind]]
    return {"metadata": metadata, "spec": pod}


def _check_job_status(errs: Errors, obj: Obj, old: Obj) -> None:
    status, before = obj.get("status") or {}, old.get("status") or {}
    check_not_negative(errs, status, "status", "active", "succeeded", "failed", "ready", "terminating")
    done = {c.get("type") for c in status.get("conditions") or () if c.get("status") == "True"}
    if "Complete" in done and "Failed" in done:
        detail = "cannot set Complete=True and Failed=true conditions"
        errs.append(invalid("status.conditions", status["conditions"], detail))
    if status.get("completionTime") and "Complete" not in done:
        detail = "cannot set completionTime when there is no Complete=True condition"
        errs.append(invalid("status.completionTime", status["completionTime"], detail))
    for condition in before.get("conditions") or ():
        kind = condition.get("type")
        if kind in ("Complete", "Failed") and condition.get("status") == "True" and kind not in done:
            detail = f"cannot disable the terminal {kind}=True condition"
            errs.append(invalid("status.conditions", status.get("conditions") or [], detail))
    for name in ("succeeded", "failed"):
        if before.get(name, 0) > status.get(name, 0) and not before.get("conditions"):
            detail = f"cannot decrease the {name} counter"
            errs.append(invalid(f"status.{name}", status.get(name, 0), detail))


JOB = Rules(always=_check_job, update=_check_job_update, subresources={"status": _check_job_status})


def _check_cron_job(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    schedule = spec.get("schedule", "")
    if not schedule:
        errs.append(required("spec.schedule"))
    else:
        _check_schedule(errs, schedule, spec.get("timeZone"))
    check_not_negative(
        errs, spec, "spec", "startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"
    )
    job = (spec.get("jobTemplate") or {}).get("spec")
    if job is None:
        return
    _check_spec(errs, "spec.jobTemplate.spec", job)
    if "selector" in job:
        errs.append(invalid("spec.jobTemplate.spec.selector", job["selector"], "`selector` will be auto-generated"))
    if job.get("manualSelector"):
        errs.append(not_supported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false")))


def _check_schedule(errs: Errors, schedule: str, zone: str | None) -> None:
    problem = cron.problem(schedule)
    if problem:
        errs.append(invalid("spec.schedule", schedule, problem))
    if "TZ" in schedule:
        detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        errs.append(invalid("spec.schedule", schedule, detail))
    if zone is not None:
        _check_zone(errs, zone)


@cache
def _zones() -> frozenset[str]:
    """Found once: it means to look at hundreds of files."""
    from zoneinfo import available_timezones

    return frozenset(available_timezones())


def _check_zone(errs: Errors, zone: str) -> None:
    if not zone:
        errs.append(invalid("spec.timeZone", zone, "timeZone must be nil or non-empty string"))
    elif zone.lower() == "local":
        errs.append(
            invalid(
                "spec.timeZone",
                zone,
                "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
            )
        )
    elif zone != "UTC" and zone not in _zones():
        errs.append(invalid("spec.timeZone", zone, f"unknown time zone {zone}"))


def _check_new_cron_job(errs: Errors, obj: Obj) -> None:
    name = (obj.get("metadata") or {}).get("name", "")
    if len(name) > _CRON_NAME:
        errs.append(invalid("metadata.name", name, "must be no more than 52 characters"))


CRON_JOB = Rules(always=_check_cron_job, create=_check_new_cron_job)
