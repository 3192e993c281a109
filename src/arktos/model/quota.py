"""What objects count for under resource quotas, and what a quota has left. Pure.

Usage is a function of the object alone, never of the time: so what a write adds or takes is the difference between two
objects, and a total kept by differences equals one counted anew. Names, scopes and words are those of Kubernetes'
ResourceQuota; a virtual machine is a workload like a container (`model.workload`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from arktos.model import quantity, workload
from arktos.model.kinds import Obj
from arktos.model.qos import BEST_EFFORT, qos_class
from arktos.model.quantity import Quantity

Amounts = dict[str, Quantity]

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
COUNTED_AT = "arktos.io/counted-at"
"""The annotation of a status that was counted as of the revision that it names: the server brings such a status forward
by what has been charged since. It is never stored."""

_ONE = Quantity.of(1)
_ZERO = quantity.ZERO
_ENDED = frozenset({"Succeeded", "Failed"})
_CLASS = ".storageclass.storage.k8s.io/"
_PLAIN = frozenset({"configmaps", "replicationcontrollers", "resourcequotas", "secrets"})
"""Resources whose objects are counted under their own name, too."""
_COMPUTE = ("cpu", "memory")
_POD_NAMES = frozenset(
    {"pods", "cpu", "memory", "ephemeral-storage"}
    | {f"{side}.{name}" for side in ("requests", "limits") for name in ("cpu", "memory", "ephemeral-storage")}
)
_MUST_STATE = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
_SERVICE_NAMES = frozenset({"services", "services.loadbalancers", "services.nodeports"})
_CLAIM_NAMES = frozenset({"persistentvolumeclaims", "requests.storage"})


@dataclass(frozen=True, slots=True)
class Requirement:
    """One scope of a quota. `operator` is Exists, DoesNotExist, In or NotIn."""

    scope: str
    operator: str = "Exists"
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota as a charge sees it. `names` are what its spec limits, `hard` is what is in force: what has been counted.
    `used` of a name that is not in `hard` is what was added since the quota began to limit it."""

    name: str
    names: frozenset[str]
    scopes: tuple[Requirement, ...] = ()
    hard: Amounts = field(default_factory=dict)
    used: Amounts = field(default_factory=dict)


def parse(obj: Obj) -> Quota:
    """From a valid ResourceQuota."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    scopes = [Requirement(name) for name in spec.get("scopes") or ()]
    for each in (spec.get("scopeSelector") or {}).get("matchExpressions") or ():
        values = tuple(each.get("values") or ())
        scopes.append(Requirement(each.get("scopeName", ""), each.get("operator", ""), values))
    return Quota(
        obj["metadata"].get("name", ""),
        frozenset(spec.get("hard") or ()),
        tuple(scopes),
        amounts(status.get("hard")),
        amounts(status.get("used")),
    )


def amounts(stated: Mapping[str, object] | None) -> Amounts:
    return {name: quantity.parse(str(value)) for name, value in stated.items()} if stated else {}


def written(totals: Mapping[str, Quantity]) -> dict[str, str]:
    """Amounts as an object holds them."""
    return {name: str(totals[name]) for name in sorted(totals)}


# --- usage ------------------------------------------------------------------------------------------------------------


def usage(resource: str, obj: Obj) -> Amounts:
    """What an object of a group-resource counts for, by the names that quotas use."""
    counted = {f"count/{resource}": _ONE}
    count = _USAGE.get(resource)
    if count is not None:
        count(obj, counted)
    elif resource in _PLAIN:
        counted[resource] = _ONE
    return counted


def same_usage(resource: str, old: Obj, new: Obj) -> bool:
    """Whether a change cannot have changed what an object counts for. Cheap; a False means that it may have."""
    if resource not in _USAGE:
        return True
    if old.get("spec") != new.get("spec"):
        return False
    if resource == "pods":
        return _ended(old) == _ended(new)
    return resource == "services" or _claim_facts(old) == _claim_facts(new)


def resources_of(names: Iterable[str]) -> set[str]:
    """The group-resources whose objects count under these names."""
    return {resource for name in names if (resource := _resource_of(name))}


def _resource_of(name: str) -> str:
    if name.startswith("count/"):
        return name.removeprefix("count/")
    if name in _SERVICE_NAMES:
        return "services"
    if name in _CLAIM_NAMES or _CLASS in name:
        return "persistentvolumeclaims"
    if name in _PLAIN:
        return name
    known = name in _POD_NAMES or name.startswith(("hugepages-", "requests."))
    return "pods" if known else ""


def _ended(pod: Obj) -> bool:
    return (pod.get("status") or {}).get("phase") in _ENDED


def _pod(pod: Obj, counted: Amounts) -> None:
    if _ended(pod):
        return
    counted["pods"] = _ONE
    _compute(workload.requests(pod), workload.stated_limits(pod), counted)


def _compute(requests: Mapping[str, Quantity], limits: Mapping[str, Quantity], counted: Amounts) -> None:
    for name, amount in requests.items():
        if name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-"):
            counted[name] = amount
        elif "/" not in name or "kubernetes.io/" in name:
            continue
        counted[f"requests.{name}"] = amount
    for name in ("cpu", "memory", "ephemeral-storage"):
        if name in limits:
            counted[f"limits.{name}"] = limits[name]


def _service(service: Obj, counted: Amounts) -> None:
    spec = service.get("spec") or {}
    counted["services"] = _ONE
    ports, kind = spec.get("ports") or (), spec.get("type")
    if kind == "LoadBalancer":
        counted["services.loadbalancers"] = _ONE
        if spec.get("allocateLoadBalancerNodePorts") is False:
            ports = [port for port in ports if port.get("nodePort")]
    if kind in ("NodePort", "LoadBalancer"):
        counted["services.nodeports"] = Quantity.of(len(ports))


def _claim(claim: Obj, counted: Amounts) -> None:
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    prefixes = [""]
    annotated = (claim["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    name = annotated if annotated is not None else spec.get("storageClassName")
    if name:
        prefixes.append(f"{name}{_CLASS}")
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    given = (status.get("allocatedResources") or {}).get("storage")
    storage = [quantity.parse(str(text)) for text in (asked, given) if text is not None]
    for prefix in prefixes:
        counted[f"{prefix}persistentvolumeclaims"] = _ONE
        if storage:
            counted[f"{prefix}requests.storage"] = max(storage)


def _claim_facts(claim: Obj) -> tuple[object, ...]:
    """What counts of a claim outside of its spec."""
    status, annotations = claim.get("status") or {}, claim["metadata"].get("annotations") or {}
    return status.get("allocatedResources"), _attribute_classes(claim), annotations.get(CLASS_ANNOTATION)


_USAGE: Mapping[str, Callable[[Obj, Amounts], None]] = {
    "pods": _pod,
    "services": _service,
    "persistentvolumeclaims": _claim,
}


# --- scopes -----------------------------------------------------------------------------------------------------------


def selects(scopes: Sequence[Requirement], resource: str, obj: Obj) -> bool:
    """Whether an object lies in all of these scopes; without scopes every object does."""
    return all(_in_scope(scope, resource, obj) for scope in scopes)


def _in_scope(scope: Requirement, resource: str, obj: Obj) -> bool:
    if resource == "persistentvolumeclaims":
        return scope.scope == "VolumeAttributesClass" and _chosen(scope, _attribute_classes(obj))
    if resource != "pods":
        return False
    if scope.scope == "PriorityClass":
        named = (obj.get("spec") or {}).get("priorityClassName")
        return _chosen(scope, (named,) if named else ())
    test = _POD_SCOPES.get(scope.scope)
    return test is not None and test(obj.get("spec") or {})


def _chosen(scope: Requirement, names: Sequence[str]) -> bool:
    match scope.operator:
        case "Exists":
            return bool(names)
        case "DoesNotExist":
            return not names
        case "In":
            return any(name in scope.values for name in names)
        case "NotIn":
            return not names or any(name not in scope.values for name in names)
    return False


def _attribute_classes(claim: Obj) -> tuple[str, ...]:
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    found = (
        spec.get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return tuple(dict.fromkeys(name for name in found if name))


def _terminating(spec: Obj) -> bool:
    seconds = spec.get("activeDeadlineSeconds")
    return seconds is not None and seconds >= 0


def _crosses_namespaces(spec: Obj) -> bool:
    affinity = spec.get("affinity") or {}
    for name in ("podAffinity", "podAntiAffinity"):
        found = affinity.get(name) or {}
        terms = list(found.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        weighted = found.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [each.get("podAffinityTerm") or {} for each in weighted]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


_POD_SCOPES: Mapping[str, Callable[[Obj], bool]] = {
    "Terminating": _terminating,
    "NotTerminating": lambda spec: not _terminating(spec),
    "BestEffort": lambda spec: qos_class(spec) == BEST_EFFORT,
    "NotBestEffort": lambda spec: qos_class(spec) != BEST_EFFORT,
    "CrossNamespacePodAffinity": _crosses_namespaces,
}


# --- charging ---------------------------------------------------------------------------------------------------------


def change(quota: Quota, resource: str, old: Obj | None, new: Obj | None) -> Amounts:
    """What a write adds (or, below zero, takes) of what the quota limits; nothing that stays the same."""
    total: Amounts = {}
    for obj, sign in ((new, 1), (old, -1)):
        if obj is None or not selects(quota.scopes, resource, obj):
            continue
        for name, amount in usage(resource, obj).items():
            if name in quota.names:
                total[name] = total.get(name, _ZERO) + (amount if sign > 0 else -amount)
    return {name: amount for name, amount in total.items() if amount}


def refusal(quota: Quota, added: Amounts) -> str:
    """Why the quota does not allow this much more, in Kubernetes' words; "" if it does. What is given back is always
    allowed, whatever is exceeded already."""
    more = {name: amount for name, amount in added.items() if amount > _ZERO and name in quota.hard}
    unknown = [name for name in more if name not in quota.used]
    if unknown:
        return f"status unknown for quota: {quota.name}, resources: {','.join(sorted(unknown))}"
    exceeded = sorted(name for name, amount in more.items() if quota.used[name] + amount > quota.hard[name])
    if not exceeded:
        return ""
    listed = (",".join(f"{name}={values[name]}" for name in exceeded) for values in (more, quota.used, quota.hard))
    requested, used, limited = listed
    return f"exceeded quota: {quota.name}, requested: {requested}, used: {used}, limited: {limited}"


def charged(quota: Quota, added: Amounts) -> Amounts:
    """What is used once `added` is."""
    return {**quota.used, **{name: quota.used.get(name, _ZERO) + amount for name, amount in added.items()}}


def unstated(quota: Quota, pod: Obj) -> str:
    """Why a quota on CPU or memory cannot count a new pod: which containers do not say what they need. "" if all do."""
    wanted = _MUST_STATE & quota.hard.keys()
    spec = pod.get("spec") or {}
    whole = spec.get("resources") or {}
    if not wanted or workload.is_vm(pod) or whole.get("requests") or whole.get("limits"):
        return ""
    missing: dict[str, set[str]] = {}
    for container in (*workload.workloads(pod), *(spec.get("initContainers") or ())):
        needs = container.get("resources") or {}
        for name in wanted:
            side, _, plain = name.rpartition(".")
            if plain not in (needs.get(side or "requests") or ()):
                missing.setdefault(name, set()).add(container.get("name", ""))
    if not missing:
        return ""
    listed = "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))
    return f"failed quota: {quota.name}: must specify {listed}"


# --- counting ---------------------------------------------------------------------------------------------------------


def count(quota: Quota, resource: str, objects: Iterable[Obj]) -> Amounts:
    """What these objects of one resource use of what the quota limits."""
    total: Amounts = {}
    for obj in objects:
        for name, amount in change(quota, resource, None, obj).items():
            total[name] = total.get(name, _ZERO) + amount
    return total


def is_counted(obj: Obj) -> bool:
    """Whether all that a ResourceQuota's spec limits is in force."""
    wanted, status = (obj.get("spec") or {}).get("hard") or {}, obj.get("status") or {}
    return amounts(wanted) == amounts(status.get("hard")) and set(status.get("used") or ()) == set(wanted)


def respecified(obj: Obj, old: Obj) -> Obj:
    """The status of a quota whose spec was changed: new limits of what has been counted are in force at once, what is
    new is to be counted, and after another selection everything is."""
    new_spec, old_spec, status = obj.get("spec") or {}, old.get("spec") or {}, old.get("status") or {}
    if new_spec == old_spec:
        return status
    selection = ("scopes", "scopeSelector")
    if any((new_spec.get(name) or None) != (old_spec.get(name) or None) for name in selection):
        return {}
    wanted = new_spec.get("hard") or {}
    hard = {name: wanted[name] for name in status.get("hard") or () if name in wanted}
    used = {name: amount for name, amount in (status.get("used") or {}).items() if name in wanted}
    return {name: values for name, values in (("hard", hard), ("used", used)) if values}


def brought_forward(counted: Obj, at: Obj, now: Obj) -> Obj:
    """The status `counted`, counted when the quota was `at`, for the quota as it is `now`: with what was charged
    since."""
    wanted = (now.get("spec") or {}).get("hard") or {}
    before, present = (amounts((each.get("status") or {}).get("used")) for each in (at, now))
    used = {
        name: present.get(name, _ZERO) + (amount - before.get(name, _ZERO))
        for name, amount in amounts(counted.get("used")).items()
        if name in wanted
    }
    hard = {name: value for name, value in (counted.get("hard") or {}).items() if name in wanted}
    return {"hard": hard, "used": written(used)}
