"""Defaults of the kinds that make pods: apps, batch, replication controllers, pod templates."""

from __future__ import annotations

from arktos.model.defaults import pods, storage
from arktos.model.kinds import Obj

_MAX_INT32 = 2**31 - 1


def _spec(obj: Obj) -> Obj:
    spec: Obj | None = obj.get("spec")
    if spec is None:
        spec = obj["spec"] = {}
    return spec


def _absent(obj: Obj, name: str, value: object) -> None:
    if obj.get(name) is None:
        obj[name] = value


def pod_template(obj: Obj) -> None:
    """A PodTemplate."""
    pods.template(obj)


def replication_controller(obj: Obj) -> None:
    """A ReplicationController: selector and labels are those of the template when left out."""
    spec = _spec(obj)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        _labels_from_template(obj, labels)
    _absent(spec, "replicas", 1)
    pods.template(spec)


def replica_set(obj: Obj) -> None:
    """A ReplicaSet."""
    spec = _spec(obj)
    _absent(spec, "replicas", 1)
    pods.template(spec)


def deployment(obj: Obj) -> None:
    """A Deployment: rolls by quarters, keeps ten revisions, gives up after ten minutes."""
    spec = _spec(obj)
    _absent(spec, "replicas", 1)
    strategy = spec.get("strategy")
    if strategy is None:
        strategy = spec["strategy"] = {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        _absent(strategy, "rollingUpdate", {})
        _absent(strategy["rollingUpdate"], "maxUnavailable", "25%")
        _absent(strategy["rollingUpdate"], "maxSurge", "25%")
    _absent(spec, "revisionHistoryLimit", 10)
    _absent(spec, "progressDeadlineSeconds", 600)
    pods.template(spec)


def daemon_set(obj: Obj) -> None:
    """A DaemonSet: replaces its pods one by one."""
    spec = _spec(obj)
    _absent(spec, "updateStrategy", {})
    strategy = spec["updateStrategy"]
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        _absent(strategy, "rollingUpdate", {})
        _absent(strategy["rollingUpdate"], "maxUnavailable", 1)
        _absent(strategy["rollingUpdate"], "maxSurge", 0)
    _absent(spec, "revisionHistoryLimit", 10)
    pods.template(spec)


def stateful_set(obj: Obj) -> None:
    """A StatefulSet and its claim templates."""
    spec = _spec(obj)
    if not spec.get("podManagementPolicy"):
        spec["podManagementPolicy"] = "OrderedReady"
    _absent(spec, "updateStrategy", {})
    strategy = spec["updateStrategy"]
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        _absent(strategy, "rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        _absent(strategy["rollingUpdate"], "partition", 0)
        _absent(strategy["rollingUpdate"], "maxUnavailable", 1)
    _absent(spec, "persistentVolumeClaimRetentionPolicy", {})
    retention = spec["persistentVolumeClaimRetentionPolicy"]
    for name in ("whenDeleted", "whenScaled"):
        if not retention.get(name):
            retention[name] = "Retain"
    _absent(spec, "replicas", 1)
    _absent(spec, "revisionHistoryLimit", 10)
    for claim in spec.get("volumeClaimTemplates") or ():
        claim["apiVersion"] = "v1"
        claim["kind"] = "PersistentVolumeClaim"
        storage.persistent_volume_claim(claim)
    pods.template(spec)


def job(obj: Obj) -> None:
    """A Job: one pod that must succeed once, unless it says more."""
    spec = _spec(obj)
    job_spec(spec)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if labels:
        _labels_from_template(obj, labels)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    _absent(spec, "parallelism", 1)
    _absent(spec, "backoffLimit", _MAX_INT32 if spec.get("backoffLimitPerIndex") is not None else 6)
    if not spec.get("completionMode"):
        spec["completionMode"] = "NonIndexed"
    _absent(spec, "suspend", False)
    if spec.get("podReplacementPolicy") is None:
        spec["podReplacementPolicy"] = "TerminatingOrFailed" if spec.get("podFailurePolicy") is None else "Failed"


def job_spec(spec: Obj) -> None:
    """What a Job's spec gets inside a CronJob as well."""
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"
    pods.template(spec)


def cron_job(obj: Obj) -> None:
    """A CronJob."""
    spec = _spec(obj)
    if not spec.get("concurrencyPolicy"):
        spec["concurrencyPolicy"] = "Allow"
    _absent(spec, "suspend", False)
    _absent(spec, "successfulJobsHistoryLimit", 3)
    _absent(spec, "failedJobsHistoryLimit", 1)
    template = spec.get("jobTemplate")
    if template is not None and template.get("spec") is not None:
        job_spec(template["spec"])


def _labels_from_template(obj: Obj, labels: Obj) -> None:
    metadata = obj.setdefault("metadata", {})
    if not metadata.get("labels"):
        metadata["labels"] = dict(labels)
