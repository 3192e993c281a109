"""What each verb may change, and what the server itself writes: the state of an object before it is validated.

`prepare_create` comes after `metadata.fill`, `finish_create` after admission, `prepare_update` before
`validation.validate_update`. All work on the new
object in place; parts of the old object may come to stand in the new one, so neither may be changed afterwards where
they share. Everything about a kind is a row in a table: which status a newborn has, which hooks it needs, which
subresource replaces what.

A client that does not know Arktos' fields sends objects without them. Such a PUT leaves them unchanged: absence is no
removal (`keep_unknown`). To a patch absence means removal, since its base had the field.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping

from arktos.model import strategy_pods, strategy_services
from arktos.model.admission import checking as admission_checking
from arktos.model.custom import names as custom_names
from arktos.model.custom import strategy as custom_strategy
from arktos.model.kinds import Kind, Obj
from arktos.model.metadata import carry_over

Key = tuple[str, str]
Hook = Callable[[Obj], None]
Transition = Callable[[Obj, Obj], None]

_DEFINITION = ("apiextensions.k8s.io", "CustomResourceDefinition")
_ENVELOPE = frozenset({"apiVersion", "kind", "metadata", "status"})

_STATUS_ON_CREATE = frozenset({("", "Node")})
"""Kinds whose creator may set status: a node agent registers its node with what it has."""

_NO_ADDRESS: Obj = {"loadBalancer": {}}
_INITIAL: Mapping[Key, Obj] = {
    ("", "Namespace"): {"phase": "Active"},
    ("", "PersistentVolume"): {"phase": "Pending"},
    ("", "PersistentVolumeClaim"): {"phase": "Pending"},
    ("", "ReplicationController"): {"replicas": 0},
    ("", "Service"): _NO_ADDRESS,
    ("", "Tenant"): {"phase": "Active"},
    ("apps", "DaemonSet"): {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    },
    ("apps", "ReplicaSet"): {"replicas": 0},
    ("apps", "StatefulSet"): {"replicas": 0, "availableReplicas": 0},
    ("autoscaling", "HorizontalPodAutoscaler"): {"currentReplicas": 0, "desiredReplicas": 0},
    ("networking.k8s.io", "Ingress"): _NO_ADDRESS,
    ("policy", "PodDisruptionBudget"): {
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "disruptionsAllowed": 0,
        "expectedPods": 0,
    },
    ("storage.k8s.io", "VolumeAttachment"): {"attached": False},
}
"""The status that a new object starts with; others start with an empty one."""

_GENERATION_METADATA: Mapping[Key, tuple[str, ...]] = {
    ("apps", "Deployment"): ("annotations",),
    ("discovery.k8s.io", "EndpointSlice"): ("labels", "annotations"),
}
"""Metadata whose change counts as one of the desired state."""

_STATUS_KEEPS_METADATA: Mapping[Key, tuple[str, ...]] = {
    ("", "Pod"): ("ownerReferences",),
    ("apps", "Deployment"): ("labels",),
}
"""Metadata that an update of status cannot change, where the rest of it can."""


def prepare_create(kind: Kind, obj: Obj) -> None:
    """Bring a new object into its first state: generation, initial status, what the server writes into a spec."""
    if kind.custom is not None:
        custom_strategy.prepare_create(kind, obj)
        return
    key = (kind.group, kind.kind)
    metadata = obj.setdefault("metadata", {})
    if kind.has_generation:
        metadata["generation"] = 1
    else:
        metadata.pop("generation", None)
    if kind.has_status and key not in _STATUS_ON_CREATE:
        obj["status"] = copy.deepcopy(_INITIAL.get(key, {}))
    hook = _CREATE.get(key)
    if hook is not None:
        hook(obj)


def finish_create(kind: Kind, obj: Obj) -> None:
    """What follows from a new object as admission leaves it."""
    hook = _FINISH.get((kind.group, kind.kind))
    if hook is not None:
        hook(obj)


def prepare_delete(kind: Kind, obj: Obj, now: str) -> None:
    """What the first delete of an object sets on it, in place, beyond its deletion time. `now` is RFC 3339."""
    if kind.custom is None and (kind.group, kind.kind) == _DEFINITION:
        custom_names.terminate(obj, now)


def prepare_update(kind: Kind, obj: Obj, old: Obj, subresource: str = "", *, keep_unknown: bool = True) -> None:
    """Put back what this verb may not change, and count generations.

    `subresource` is "" for the object itself, or one that takes the whole object: status, finalize,
    ephemeralcontainers, resize. With `keep_unknown`, Arktos' fields that are absent are those of the old object.
    """
    if kind.custom is not None:
        custom_strategy.prepare_update(kind, obj, old, subresource)
        return
    key = (kind.group, kind.kind)
    carry_over(obj, old)
    if subresource == "status":
        _update_status(key, obj, old)
        return
    special = _SUBRESOURCES.get((*key, subresource))
    if special is not None:
        special(obj, old)
    else:
        if kind.has_status:
            _keep(obj, old, "status")
        if keep_unknown:
            _keep_extensions(key, obj, old)
        hook = _UPDATE.get(key)
        if hook is not None:
            hook(obj, old)
    if kind.has_generation and _is_new_generation(key, obj, old):
        obj["metadata"]["generation"] = (old.get("metadata") or {}).get("generation", 0) + 1


def _keep(obj: Obj, old: Obj, field: str) -> None:
    if field in old:
        obj[field] = old[field]
    else:
        obj.pop(field, None)


def _is_new_generation(key: Key, obj: Obj, old: Obj) -> bool:
    for field in obj.keys() | old.keys():
        if field not in _ENVELOPE and obj.get(field) != old.get(field):
            return True
    counted = _GENERATION_METADATA.get(key, ())
    new_meta, old_meta = obj["metadata"], old.get("metadata") or {}
    return any((new_meta.get(field) or {}) != (old_meta.get(field) or {}) for field in counted)


def _update_status(key: Key, obj: Obj, old: Obj) -> None:
    """All but status and a part of the metadata stays. A status left out is an empty one."""
    for field in obj.keys() | old.keys():
        if field not in _ENVELOPE:
            _keep(obj, old, field)
    obj.setdefault("status", {})
    for field in _STATUS_KEEPS_METADATA.get(key, ()):
        _keep(obj["metadata"], old.get("metadata") or {}, field)
    hook = _STATUS.get(key)
    if hook is not None:
        hook(obj, old)


def _only(obj: Obj, old: Obj, spec: Obj) -> None:
    """Make `obj` the old object with another spec; the revision that the client named stays."""
    metadata = dict(old.get("metadata") or {})
    _keep(metadata, obj["metadata"], "resourceVersion")
    obj.clear()
    obj.update(old)
    obj["metadata"] = metadata
    obj["spec"] = spec


def _finalize(obj: Obj, old: Obj) -> None:
    finalizers = (obj.get("spec") or {}).get("finalizers")
    spec = {k: v for k, v in (old.get("spec") or {}).items() if k != "finalizers"}
    if finalizers:
        spec["finalizers"] = finalizers
    _only(obj, old, spec)


def _ephemeral_containers(obj: Obj, old: Obj) -> None:
    spec = dict(old.get("spec") or {})
    _keep(spec, obj.get("spec") or {}, "ephemeralContainers")
    _only(obj, old, spec)


def _approval(obj: Obj, old: Obj) -> None:
    conditions = (obj.get("status") or {}).get("conditions")
    _only(obj, old, old.get("spec") or {})
    obj["status"] = {**(old.get("status") or {}), "conditions": conditions or []}


def _resize(obj: Obj, old: Obj) -> None:
    _only(obj, old, strategy_pods.resized(obj.get("spec") or {}, old.get("spec") or {}))


_SUBRESOURCES: Mapping[tuple[str, str, str], Transition] = {
    ("", "Namespace", "finalize"): _finalize,
    ("", "Pod", "ephemeralcontainers"): _ephemeral_containers,
    ("", "Pod", "resize"): _resize,
    ("", "Tenant", "finalize"): _finalize,
    ("certificates.k8s.io", "CertificateSigningRequest", "approval"): _approval,
}


# --- Arktos' fields in objects of those who don't know them ----------------------------------------------------------

_POD_SPECS: Mapping[Key, tuple[str, ...]] = {
    ("", "Pod"): ("spec",),
    ("", "PodTemplate"): ("template", "spec"),
    ("", "ReplicationController"): ("spec", "template", "spec"),
    ("apps", "DaemonSet"): ("spec", "template", "spec"),
    ("apps", "Deployment"): ("spec", "template", "spec"),
    ("apps", "ReplicaSet"): ("spec", "template", "spec"),
    ("apps", "StatefulSet"): ("spec", "template", "spec"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template", "spec"),
    ("batch", "Job"): ("spec", "template", "spec"),
}
"""Where a kind keeps its pod spec."""

_EXTENSIONS: Mapping[Key, tuple[str, ...]] = {("", "Service"): ("subnetID",)}
"""Our fields in the specs of other kinds."""


def _keep_extensions(key: Key, obj: Obj, old: Obj) -> None:
    path = _POD_SPECS.get(key)
    if path is not None:
        new_spec, old_spec = _at(obj, path), _at(old, path)
        if new_spec is not None and old_spec is not None:
            strategy_pods.keep_extensions(new_spec, old_spec)
    for field in _EXTENSIONS.get(key, ()):
        new_spec, old_spec = obj.get("spec"), old.get("spec") or {}
        if new_spec is not None and field in old_spec:
            new_spec.setdefault(field, old_spec[field])


def _at(obj: Obj, path: tuple[str, ...]) -> Obj | None:
    found: Obj | None = obj
    for name in path:
        found = found.get(name) if found else None
    return found


# --- what single kinds need ------------------------------------------------------------------------------------------

_FINALIZER = "kubernetes"
_NAME_LABEL = "kubernetes.io/metadata.name"


def _with_finalizer(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    finalizers = spec.setdefault("finalizers", [])
    if _FINALIZER not in finalizers:
        finalizers.append(_FINALIZER)


def _new_namespace(obj: Obj) -> None:
    _with_finalizer(obj)
    if obj["metadata"].get("name"):
        obj["metadata"].setdefault("labels", {})[_NAME_LABEL] = obj["metadata"]["name"]


def _keep_finalizers(obj: Obj, old: Obj) -> None:
    _keep(obj.setdefault("spec", {}), old.get("spec") or {}, "finalizers")


def _forget_released_devices(claim: Obj, old: Obj) -> None:
    """What drivers said of devices goes with their allocation."""
    status = claim["status"]
    if not status.get("devices"):
        return
    released = _devices(old.get("status") or {}) - _devices(status)
    status["devices"] = [each for each in status["devices"] if _device(each) not in released]


def _keep_taint_times(obj: Obj, old: Obj) -> None:
    """A taint that was there already, and is sent without its time, is no new one."""
    known = {_taint(device, taint): taint.get("timeAdded") for device, taint in _taints(old)}
    if known:
        for device, taint in _taints(obj):
            since = known.get(_taint(device, taint))
            if since and not taint.get("timeAdded"):
                taint["timeAdded"] = since


def _taints(sliced: Obj) -> Iterator[tuple[Obj, Obj]]:
    for device in (sliced.get("spec") or {}).get("devices") or ():
        for taint in device.get("taints") or ():
            yield device, taint


def _taint(device: Obj, taint: Obj) -> tuple[object, ...]:
    return (device.get("name"), *(taint.get(name) for name in ("key", "value", "effect")))


def _devices(status: Obj) -> set[tuple[object, ...]]:
    allocation = (status.get("allocation") or {}).get("devices") or {}
    return {_device(each) for each in allocation.get("results") or ()}


def _device(each: Obj) -> tuple[object, ...]:
    return tuple(each.get(name) for name in ("driver", "pool", "device", "shareID"))


_CREATED_BY_JOB = ("batch.kubernetes.io/controller-uid", "controller-uid")
_NAMED_BY_JOB = ("batch.kubernetes.io/job-name", "job-name")


def _new_job(obj: Obj) -> None:
    """A selector that only this job's pods match, unless its author wants to choose."""
    spec, metadata = obj.get("spec"), obj["metadata"]
    if spec is None or spec.get("manualSelector"):
        return
    template = spec.setdefault("template", {})
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    uid = metadata.get("uid", "")
    for name in _CREATED_BY_JOB:
        labels[name] = uid
    for name in _NAMED_BY_JOB:
        labels[name] = metadata.get("name", "")
    selector = spec.setdefault("selector", {})
    selector.setdefault("matchLabels", {})[_CREATED_BY_JOB[0]] = uid


_CREATE: Mapping[Key, Hook] = {
    ("", "Namespace"): _new_namespace,
    ("", "Pod"): strategy_pods.prepare_create,
    ("", "Service"): strategy_services.prepare_create,
    ("", "Tenant"): _with_finalizer,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): admission_checking.new_policy,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): custom_strategy.new_definition,
    ("batch", "Job"): _new_job,
}

_STATUS: Mapping[Key, Transition] = {("resource.k8s.io", "ResourceClaim"): _forget_released_devices}

_FINISH: Mapping[Key, Hook] = {("", "Pod"): strategy_pods.finish_create}

_UPDATE: Mapping[Key, Transition] = {
    ("", "Namespace"): _keep_finalizers,
    ("", "Service"): strategy_services.prepare_update,
    ("", "Tenant"): _keep_finalizers,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): admission_checking.changed_policy,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): custom_strategy.changed_definition,
    ("resource.k8s.io", "ResourceSlice"): _keep_taint_times,
}
