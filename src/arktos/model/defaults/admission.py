"""Defaults of webhook configurations and admission policies."""

from __future__ import annotations

from arktos.model.kinds import Obj

_TIMEOUT = 10


def validating_webhooks(obj: Obj) -> None:
    for hook in obj.get("webhooks") or ():
        _webhook(hook)


def mutating_webhooks(obj: Obj) -> None:
    for hook in obj.get("webhooks") or ():
        _webhook(hook)
        if not hook.get("reinvocationPolicy"):
            hook["reinvocationPolicy"] = "Never"


def _webhook(hook: Obj) -> None:
    if not hook.get("failurePolicy"):
        hook["failurePolicy"] = "Fail"
    _matching(hook)
    if hook.get("timeoutSeconds") is None:
        hook["timeoutSeconds"] = _TIMEOUT
    for rule in hook.get("rules") or ():
        _rule(rule)
    service = (hook.get("clientConfig") or {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = 443


def _matching(part: Obj) -> None:
    if not part.get("matchPolicy"):
        part["matchPolicy"] = "Equivalent"
    for name in ("namespaceSelector", "objectSelector"):
        if part.get(name) is None:
            part[name] = {}


def _rule(rule: Obj) -> None:
    if not rule.get("scope"):
        rule["scope"] = "*"


def _resources(part: Obj) -> None:
    _matching(part)
    for name in ("resourceRules", "excludeResourceRules"):
        for rule in part.get(name) or ():
            _rule(rule)


def policy(obj: Obj) -> None:
    """A validating or a mutating one."""
    spec = obj.get("spec")
    if spec is None:
        return
    if not spec.get("failurePolicy"):
        spec["failurePolicy"] = "Fail"
    if spec.get("matchConstraints") is not None:
        _resources(spec["matchConstraints"])


def binding(obj: Obj) -> None:
    resources = (obj.get("spec") or {}).get("matchResources")
    if resources is not None:
        _resources(resources)
