"""Kinds that make pods, and those that govern how many: apps, batch, autoscaling, policy."""

from __future__ import annotations

from arktos.model.kinds import Kind
from arktos.model.rows import SCALE, STATUS, GroupVersion

_apps = GroupVersion("apps", "v1", "io.k8s.api.apps.v1").row
_batch = GroupVersion("batch", "v1", "io.k8s.api.batch.v1").row
_autoscaling_v2 = GroupVersion("autoscaling", "v2", "io.k8s.api.autoscaling.v2").row
_autoscaling_v1 = GroupVersion("autoscaling", "v1", "io.k8s.api.autoscaling.v1").row
_policy = GroupVersion("policy", "v1", "io.k8s.api.policy.v1").row

_ALL = ("all",)

ROWS: tuple[Kind, ...] = (
    _apps("ControllerRevision", "controllerrevisions"),
    _apps(
        "DaemonSet",
        "daemonsets",
        short_names=("ds",),
        categories=_ALL,
        subresources=(STATUS,),
        has_generation=True,
    ),
    _apps(
        "Deployment",
        "deployments",
        short_names=("deploy",),
        categories=_ALL,
        subresources=(STATUS, SCALE),
        has_generation=True,
    ),
    _apps(
        "ReplicaSet",
        "replicasets",
        short_names=("rs",),
        categories=_ALL,
        subresources=(STATUS, SCALE),
        selectable={"status.replicas": "status.replicas"},
        has_generation=True,
    ),
    _apps(
        "StatefulSet",
        "statefulsets",
        short_names=("sts",),
        categories=_ALL,
        subresources=(STATUS, SCALE),
        has_generation=True,
    ),
    _batch(
        "CronJob",
        "cronjobs",
        short_names=("cj",),
        categories=_ALL,
        subresources=(STATUS,),
        has_generation=True,
    ),
    _batch(
        "Job",
        "jobs",
        categories=_ALL,
        subresources=(STATUS,),
        selectable={"status.successful": "status.succeeded"},
        has_generation=True,
    ),
    _autoscaling_v2(
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        short_names=("hpa",),
        categories=_ALL,
        subresources=(STATUS,),
    ),
    _autoscaling_v1(
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        short_names=("hpa",),
        categories=_ALL,
        subresources=(STATUS,),
        storage="autoscaling/v2",
    ),
    _policy(
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        short_names=("pdb",),
        subresources=(STATUS,),
        has_generation=True,
        unconditional_update=False,
    ),
)
