"""Resource names and amounts, as containers, pods, quotas and limit ranges may name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any

from arktos.model import quantity
from arktos.model.kinds import Obj
from arktos.model.quantity import Quantity, QuantityError
from arktos.model.validation.causes import Errors, duplicate, forbidden, invalid, not_found, not_supported, required
from arktos.model.validation.formats import dns_label, qualified_name

_COMPUTE = frozenset({"cpu", "memory", "ephemeral-storage"})
_COUNTS = frozenset(
    {
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
        "services.loadbalancers",
        "services.nodeports",
    }
)
_QUOTA = (
    _COUNTS
    | {"cpu", "memory", "ephemeral-storage", "requests.storage"}
    | {f"{side}.{name}" for side in ("requests", "limits") for name in _COMPUTE}
)
_STANDARD = _QUOTA | {"storage"}

NOT_INTEGER = "must be an integer"
NameCheck = Callable[[Errors, str, str], None]


def amount(value: Any) -> Quantity | None:
    """The quantity that a JSON string or number means, None if it means none."""
    try:
        return quantity.parse(value if type(value) is str else str(value))
    except QuantityError:
        return None


ZERO = quantity.ZERO
ONE = quantity.parse("1")


def is_native(name: str) -> bool:
    """Kubernetes' own: without prefix, or in its domain."""
    return "/" not in name or "kubernetes.io/" in name


def is_huge_page(name: str) -> bool:
    return name.startswith("hugepages-")


def may_overcommit(name: str) -> bool:
    """Whether requests may be lower than limits."""
    return is_native(name) and not is_huge_page(name)


def is_extended(name: str) -> bool:
    """Whether the resource is somebody's own, of a domain of theirs."""
    return not is_native(name) and not name.startswith("requests.") and not qualified_name("requests." + name)


def is_integer(name: str) -> bool:
    """Whether the resource comes in whole units only."""
    return name in _COUNTS or is_extended(name)


def check_name(errs: Errors, field: str, name: str) -> bool:
    """Any resource name: qualified, or a standard one. Says whether it is."""
    messages = qualified_name(name)
    for message in messages:
        errs.append(invalid(field, name, message))
    if messages:
        return False
    if "/" not in name and name not in _STANDARD and not is_huge_page(_plain(name)):
        errs.append(invalid(field, name, "must be a standard resource type or fully qualified"))
        return False
    return True


def _plain(name: str) -> str:
    return name.removeprefix("requests.").removeprefix("limits.")


def check_container_name(errs: Errors, field: str, name: str) -> None:
    """A resource that a container may ask for."""
    if name in _COMPUTE:
        return
    check_name(errs, field, name)
    if "/" not in name:
        if not is_huge_page(name):
            errs.append(invalid(field, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        errs.append(invalid(field, name, "doesn't follow extended resource name standard"))


def check_pod_name(errs: Errors, field: str, name: str) -> None:
    """A resource that a pod may ask for as a whole."""
    if name in ("cpu", "memory") or is_huge_page(name):
        return
    if check_name(errs, field, name):
        errs.append(not_supported(field, name, ("cpu", "hugepages-", "memory")))


def check_quota_name(errs: Errors, field: str, name: str) -> None:
    """A resource that a quota may limit."""
    check_name(errs, field, name)
    if "/" not in name and name not in _QUOTA and not is_huge_page(_plain(name)):
        errs.append(invalid(field, name, "must be a standard resource for quota"))


def check_amount(errs: Errors, field: str, name: str, value: Any) -> Quantity | None:
    """An amount: a quantity, not negative, whole where the resource is. Returns it."""
    parsed = amount(value)
    if parsed is None:
        errs.append(invalid(field, value, quantity.WRONG_FORMAT))
        return None
    if parsed < ZERO:
        errs.append(invalid(field, str(parsed), "must be greater than or equal to 0"))
    if name not in _COMPUTE and is_integer(name) and parsed.milli % 1000:
        errs.append(invalid(field, str(parsed), NOT_INTEGER))
    return parsed


def check_positive(errs: Errors, field: str, value: Any) -> None:
    """An amount greater than nothing."""
    parsed = amount(value)
    if parsed is None:
        errs.append(invalid(field, value, quantity.WRONG_FORMAT))
    elif parsed <= ZERO:
        errs.append(invalid(field, str(parsed), "must be greater than zero"))


def check_list(errs: Errors, path: str, amounts: Mapping[str, Any], name_check: NameCheck) -> None:
    """Names and amounts of a resource list."""
    for name, value in amounts.items():
        field = f"{path}[{name}]"
        name_check(errs, field, name)
        check_amount(errs, field, name, value)


def _check_huge_page(errs: Errors, field: str, name: str, value: Quantity) -> None:
    size = amount(name.removeprefix("hugepages-"))
    if size is None or size <= ZERO or value.milli % size.milli:
        errs.append(invalid(field, str(value), f"{value} is not positive integer multiple of {name}"))


def check_requirements(
    errs: Errors, path: str, needs: Obj, claims: Set[str] = frozenset(), name_check: NameCheck = check_container_name
) -> None:
    """A ResourceRequirements: requests within limits, equal to them where nothing may be overcommitted."""
    limits: Obj = needs.get("limits") or {}
    requests: Obj = needs.get("requests") or {}
    huge = False
    for name, value in limits.items():
        field = f"{path}.limits[{name}]"
        name_check(errs, field, name)
        parsed = check_amount(errs, field, name, value)
        if parsed is not None and is_huge_page(name):
            huge = True
            _check_huge_page(errs, field, name, parsed)
    for name, value in requests.items():
        field = f"{path}.requests[{name}]"
        name_check(errs, field, name)
        parsed = check_amount(errs, field, name, value)
        if parsed is not None:
            _check_within_limit(errs, path, name, parsed, limits)
            if is_huge_page(name):
                huge = True
                _check_huge_page(errs, field, name, parsed)
    if huge and not any(name in each for each in (limits, requests) for name in ("cpu", "memory")):
        errs.append(forbidden(path, "HugePages require cpu or memory"))
    if needs.get("claims"):
        _check_claims(errs, f"{path}.claims", needs["claims"], claims)


def _check_within_limit(errs: Errors, path: str, name: str, request: Quantity, limits: Obj) -> None:
    if name in limits:
        limit = amount(limits[name])
        if limit is None:
            return
        if request != limit and not may_overcommit(name):
            errs.append(invalid(f"{path}.requests", str(request), f"must be equal to {name} limit of {limit}"))
        elif request > limit:
            detail = f"must be less than or equal to {name} limit of {limit}"
            errs.append(invalid(f"{path}.requests", str(request), detail))
    elif not may_overcommit(name):
        errs.append(required(f"{path}.limits", "Limit must be set for non overcommitable resources"))


def _check_claims(errs: Errors, path: str, claims: list[Obj], known: Set[str]) -> None:
    seen: set[str] = set()
    for i, claim in enumerate(claims):
        name, request = claim.get("name", ""), claim.get("request", "")
        field = f"{path}[{i}]"
        if not name:
            errs.append(required(field))
            continue
        key = f"{name}/{request}" if request else name
        if request:
            for message in dns_label(request):
                errs.append(invalid(f"{field}.request", request, message))
        if name in seen or key in seen or (not request and any(k.startswith(name + "/") for k in seen)):
            errs.append(duplicate(field, key))
        seen.add(key)
        if name not in known:
            among = ": " + ", ".join(sorted(known)) if known else " which is empty"
            errs.append(not_found(field, name, f"must be one of the names in pod.spec.resourceClaims{among}"))
