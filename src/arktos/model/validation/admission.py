"""Webhook configurations and admission policies: rules of matching, clients, and what both kinds of policy share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urlsplit

from arktos.model import cel
from arktos.model.admission.expressions import LONGEST, MATCH_VARIABLES, compiled, length
from arktos.model.kinds import Obj
from arktos.model.status import FieldError
from arktos.model.validation.causes import Errors, check_messages, duplicate, invalid, not_supported, required
from arktos.model.validation.formats import dns_1035_label, dns_label, dns_subdomain, qualified_name
from arktos.model.validation.labels import check_selector
from arktos.model.validation.rules import Rules

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
MATCH_POLICIES = ("Equivalent", "Exact")
FAILURE_POLICIES = ("Fail", "Ignore")
_SIDE_EFFECTS = ("None", "NoneOnDryRun")
REINVOCATIONS = ("IfNeeded", "Never")
_UNDERSTOOD = ("v1", "v1beta1")
_MOST_CONDITIONS = 64


def check_webhooks(errs: Errors, obj: Obj) -> None:
    names: set[str] = set()
    if is_too_long(errs, "webhooks", obj.get("webhooks")):
        return
    for index, hook in enumerate(obj.get("webhooks") or ()):
        path = f"webhooks[{index}]"
        name = hook.get("name") or ""
        if name in names:
            errs.append(duplicate(f"{path}.name", name))
        names.add(name)
        _check_hook(errs, path, hook, obj.get("kind") == "MutatingWebhookConfiguration")


def _check_hook(errs: Errors, path: str, hook: Obj, mutating: bool) -> None:
    name = hook.get("name") or ""
    if not name:
        errs.append(required(f"{path}.name"))
    else:
        messages = list(dns_subdomain(name))
        if not messages and name.count(".") < 2:
            messages = ["should be a domain with at least three segments separated by dots"]
        check_messages(errs, f"{path}.name", name, messages)
    for number, rule in enumerate(hook.get("rules") or ()):
        check_rule(errs, f"{path}.rules[{number}]", rule)
    _one_of(errs, f"{path}.failurePolicy", hook.get("failurePolicy"), FAILURE_POLICIES)
    _one_of(errs, f"{path}.matchPolicy", hook.get("matchPolicy"), MATCH_POLICIES)
    if mutating:
        _one_of(errs, f"{path}.reinvocationPolicy", hook.get("reinvocationPolicy"), REINVOCATIONS)
    if not hook.get("sideEffects"):
        errs.append(required(f"{path}.sideEffects", "must specify one of None, NoneOnDryRun"))
    else:
        _one_of(errs, f"{path}.sideEffects", hook["sideEffects"], _SIDE_EFFECTS)
    timeout = hook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= 30:
        errs.append(invalid(f"{path}.timeoutSeconds", timeout, "the timeout value must be between 1 and 30 seconds"))
    _check_versions(errs, f"{path}.admissionReviewVersions", hook.get("admissionReviewVersions") or [])
    check_selectors(errs, path, hook)
    check_client(errs, f"{path}.clientConfig", hook.get("clientConfig") or {})
    check_conditions(errs, f"{path}.matchConditions", hook.get("matchConditions") or [])


def is_too_long(errs: Errors, path: str, part: Any) -> bool:
    """Whether the expressions are too long to be looked at."""
    total = length(part)
    if total > LONGEST:
        errs.append(
            FieldError(path, "FieldValueTooLong", f"Too long: expressions may have {LONGEST} characters in all")
        )
    return total > LONGEST


def _check_versions(errs: Errors, path: str, versions: list[str]) -> None:
    if not versions:
        errs.append(required(path, "must specify one of v1, v1beta1"))
        return
    for index, version in enumerate(versions):
        check_messages(errs, f"{path}[{index}]", version, dns_1035_label(version))
        if version in versions[:index]:
            errs.append(duplicate(f"{path}[{index}]", version))
    if "v1" not in versions:
        errs.append(invalid(path, versions, "must include at least one of v1, v1beta1"))


def check_rule(errs: Errors, path: str, rule: Obj) -> None:
    """A RuleWithOperations."""
    operations = rule.get("operations") or []
    if not operations:
        errs.append(required(f"{path}.operations"))
    if len(operations) > 1 and "*" in operations:
        why = "if '*' is present, must not specify other operations"
        errs.append(invalid(f"{path}.operations", operations, why))
    for index, operation in enumerate(operations):
        _one_of(errs, f"{path}.operations[{index}]", operation, OPERATIONS)
    for name, noun in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values = rule.get(name) or []
        if not values:
            errs.append(required(f"{path}.{name}"))
        elif len(values) > 1 and "*" in values:
            errs.append(invalid(f"{path}.{name}", values, f"if '*' is present, must not specify other {noun}"))
        if name == "apiVersions":
            for index, value in enumerate(values):
                if not value:
                    errs.append(required(f"{path}.{name}[{index}]"))
    _check_resources(errs, f"{path}.resources", rule.get("resources") or [])
    _one_of(errs, f"{path}.scope", rule.get("scope"), _SCOPES)


def _check_resources(errs: Errors, path: str, resources: list[str]) -> None:
    if not resources:
        errs.append(required(path))
    alone = {each.split("/")[0] for each in resources if each.endswith("/*")}
    for index, resource in enumerate(resources):
        field = f"{path}[{index}]"
        if not resource:
            errs.append(required(field))
        name, slash, subresource = resource.partition("/")
        if slash and subresource != "*" and name in alone:
            errs.append(invalid(field, resource, f"if '{name}/*' is present, must not specify {resource}"))
    if len(resources) > 1 and "*/*" in resources:
        errs.append(invalid(path, resources, "if '*/*' is present, must not specify other resources"))


def check_client(errs: Errors, path: str, config: Obj) -> None:
    """A WebhookClientConfig: where it is, by URL or by Service."""
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        errs.append(required(path, "exactly one of url or service is required"))
    elif url is not None:
        _check_url(errs, f"{path}.url", url)
    else:
        _check_service(errs, f"{path}.service", service or {})


def _check_url(errs: Errors, path: str, url: str) -> None:
    form = "; desired format: https://host[/path]"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        errs.append(required(path, f"url must be a valid URL: {error}{form}"))
        return
    if parts.scheme != "https":
        errs.append(invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{form}"))
    if not host:
        errs.append(invalid(path, host or "", f"host must be specified{form}"))
    if parts.username or parts.password:
        errs.append(invalid(path, "<redacted>", "user information is not permitted in the URL"))
    if parts.fragment:
        errs.append(invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        errs.append(invalid(path, parts.query, "query parameters are not permitted in the URL"))


def _check_service(errs: Errors, path: str, service: Obj) -> None:
    if not service.get("name"):
        errs.append(required(f"{path}.name", "service name is required"))
    if not service.get("namespace"):
        errs.append(required(f"{path}.namespace", "service namespace is required"))
    port = service.get("port", 443)
    if not 1 <= port <= 65535:
        errs.append(invalid(f"{path}.port", port, "port is not valid: must be between 1 and 65535, inclusive"))
    target = service.get("path")
    if target is None or target in ("", "/"):
        return
    if not target.startswith("/"):
        errs.append(invalid(f"{path}.path", target, "must start with a '/'"))
    steps = target.removesuffix("/")[1:].split("/")
    for index, step in enumerate(steps):
        if not step:
            errs.append(invalid(f"{path}.path", target, f"segment[{index}] may not be empty"))
        else:
            for message in dns_subdomain(step):
                errs.append(invalid(f"{path}.path", target, f"segment[{index}]: {message}"))


def check_selectors(errs: Errors, path: str, part: Obj) -> None:
    for name in ("namespaceSelector", "objectSelector"):
        if part.get(name) is not None:
            check_selector(errs, f"{path}.{name}", part[name])


def check_conditions(errs: Errors, path: str, conditions: list[Obj], *, params: bool = False) -> None:
    """matchConditions: names, and expressions that give a bool."""
    if len(conditions) > _MOST_CONDITIONS:
        from arktos.model.validation.causes import too_many

        errs.append(too_many(path, len(conditions), _MOST_CONDITIONS))
        return
    names: set[str] = set()
    for index, condition in enumerate(conditions):
        field, name = f"{path}[{index}]", condition.get("name") or ""
        if not name:
            errs.append(required(f"{field}.name"))
        else:
            check_messages(errs, f"{field}.name", name, qualified_name(name))
            if name in names:
                errs.append(duplicate(f"{field}.name", name))
        names.add(name)
        check_expression(errs, f"{field}.expression", condition.get("expression") or "", _with_params(params), cel.BOOL)


def _with_params(params: bool) -> frozenset[str]:
    return MATCH_VARIABLES | {"params"} if params else MATCH_VARIABLES


def check_expression(
    errs: Errors,
    path: str,
    expression: str,
    variables: Collection[str],
    result: cel.Type | tuple[cel.Type, ...] = cel.DYN,
    composed: tuple[str, ...] = (),
) -> None:
    """Required, and one that compiles over these variables; `composed` are the names in `variables.`."""
    if not expression.strip():
        errs.append(required(path))
        return
    try:
        compiled(expression, frozenset(variables), composed, result)
    except cel.CelError as error:
        text = str(error) if isinstance(error, cel.ResultError) else f"compilation failed: {error}"
        errs.append(invalid(path, expression, text))


def check_matching(errs: Errors, path: str, part: Obj, *, rules_required: bool) -> None:
    """A MatchResources."""
    _one_of(errs, f"{path}.matchPolicy", part.get("matchPolicy"), MATCH_POLICIES)
    check_selectors(errs, path, part)
    if rules_required and not part.get("resourceRules"):
        errs.append(required(f"{path}.resourceRules"))
    for name in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(part.get(name) or ()):
            check_rule(errs, f"{path}.{name}[{index}]", rule)
            for number, resource in enumerate(rule.get("resourceNames") or ()):
                if resource in rule["resourceNames"][:number]:
                    errs.append(duplicate(f"{path}.{name}[{index}].resourceNames[{number}]", resource))


def check_param_kind(errs: Errors, path: str, kind: Obj | None) -> None:
    if kind is None:
        return
    version = kind.get("apiVersion") or ""
    if not version:
        errs.append(required(f"{path}.apiVersion"))
    else:
        group, slash, plain = version.rpartition("/")
        if slash and not group:
            errs.append(invalid(f"{path}.apiVersion", version, "group is empty"))
        check_messages(errs, f"{path}.apiVersion", version, dns_label(plain) if plain else ["version is empty"])
    if not kind.get("kind"):
        errs.append(required(f"{path}.kind"))
    else:
        check_messages(errs, f"{path}.kind", kind["kind"], dns_1035_label(kind["kind"].lower()))


def _one_of(errs: Errors, path: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        errs.append(not_supported(path, value, allowed))


one_of: Callable[[Errors, str, str | None, tuple[str, ...]], None] = _one_of

WEBHOOKS = Rules(always=check_webhooks)
