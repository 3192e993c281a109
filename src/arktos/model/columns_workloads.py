"""How what makes pods is shown: apps, batch, autoscaling, policy."""

from __future__ import annotations

from arktos.model.columns_cell import (
    AGE,
    CONTAINERS,
    IMAGES,
    NAME,
    NONE,
    SELECTOR,
    UNKNOWN,
    UNSET,
    Cell,
    Printer,
    Since,
    age_of,
    at,
    condition,
    deleting,
    flag,
    human_duration,
    instant,
    items,
    label_selector,
    labels,
    name_of,
    number,
    part,
    since,
    text,
    workload_names,
)
from arktos.model.kinds import Column, Obj


def _ready(obj: Obj) -> str:
    return f"{number(obj, 'status', 'readyReplicas')}/{number(obj, 'spec', 'replicas')}"


def _template(obj: Obj) -> list[Cell]:
    return workload_names(part(obj, "spec", "template"))


def deployment(obj: Obj) -> list[Cell]:
    return [
        name_of(obj),
        _ready(obj),
        number(obj, "status", "updatedReplicas"),
        number(obj, "status", "availableReplicas"),
        age_of(obj),
        *_template(obj),
        label_selector(at(obj, "spec", "selector"), "", "<invalid>"),
    ]


def _replicas(obj: Obj) -> list[Cell]:
    return [
        name_of(obj),
        number(obj, "spec", "replicas"),
        number(obj, "status", "replicas"),
        number(obj, "status", "readyReplicas"),
        age_of(obj),
        *_template(obj),
    ]


def replica_set(obj: Obj) -> list[Cell]:
    return [*_replicas(obj), label_selector(at(obj, "spec", "selector"))]


def replication_controller(obj: Obj) -> list[Cell]:
    return [*_replicas(obj), labels(at(obj, "spec", "selector"))]


def stateful_set(obj: Obj) -> list[Cell]:
    return [name_of(obj), _ready(obj), age_of(obj), *_template(obj)]


def daemon_set(obj: Obj) -> list[Cell]:
    return [
        name_of(obj),
        number(obj, "status", "desiredNumberScheduled"),
        number(obj, "status", "currentNumberScheduled"),
        number(obj, "status", "numberReady"),
        number(obj, "status", "updatedNumberScheduled"),
        number(obj, "status", "numberAvailable"),
        labels(at(obj, "spec", "template", "spec", "nodeSelector")),
        age_of(obj),
        *_template(obj),
        label_selector(at(obj, "spec", "selector")),
    ]


def controller_revision(obj: Obj) -> list[Cell]:
    owner = NONE
    for reference in items(obj, "metadata", "ownerReferences"):
        if flag(reference, "controller"):
            group, slash, _ = text(reference, "apiVersion").partition("/")
            kind = text(reference, "kind") + (f".{group}" if slash else "")
            owner = f"{kind.lower()}/{text(reference, 'name')}"
    return [name_of(obj), owner, number(obj, "revision"), age_of(obj)]


_JOB_STATES = (("Complete", "Complete"), ("Failed", "Failed"))
_JOB_STATES_ALIVE = (("Suspended", "Suspended"), ("FailureTarget", "FailureTarget"))


def _job_state(obj: Obj) -> str:
    for name, word in _JOB_STATES:
        if text(condition(obj, name), "status") == "True":
            return word
    if deleting(obj):
        return "Terminating"
    for name, word in _JOB_STATES_ALIVE:
        if text(condition(obj, name), "status") == "True":
            return word
    return "Running"


def _completions(obj: Obj) -> str:
    succeeded = number(obj, "status", "succeeded")
    if at(obj, "spec", "completions") is not None:
        return f"{succeeded}/{number(obj, 'spec', 'completions')}"
    parallelism = number(obj, "spec", "parallelism")
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_duration(obj: Obj) -> Cell:
    started, ended = (instant(at(obj, "status", f)) for f in ("startTime", "completionTime"))
    if started is None:
        return ""
    return Since(started) if ended is None else human_duration(ended - started)


def job(obj: Obj) -> list[Cell]:
    return [
        name_of(obj),
        _job_state(obj),
        _completions(obj),
        _job_duration(obj),
        age_of(obj),
        *_template(obj),
        label_selector(at(obj, "spec", "selector")),
    ]


def cron_job(obj: Obj) -> list[Cell]:
    last = at(obj, "status", "lastScheduleTime")
    job_spec = part(obj, "spec", "jobTemplate", "spec")
    suspended = at(obj, "spec", "suspend")
    return [
        name_of(obj),
        text(obj, "spec", "schedule"),
        text(obj, "spec", "timeZone", empty=NONE),
        UNSET if suspended is None else ("True" if suspended else "False"),
        len(items(obj, "status", "active")),
        NONE if last is None else since(last),
        age_of(obj),
        *workload_names(part(job_spec, "template")),
        label_selector(at(job_spec, "selector")),
    ]


_SOURCES = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def _metric(spec: Obj, status: Obj) -> str:
    """One metric as current/target. Those of a resource name it, and may be a share of what is requested."""
    source = _SOURCES.get(text(spec, "type"))
    if source is None:
        return "<unknown type>"
    target, current = part(spec, source, "target"), part(status, source, "current")
    average = text(target, "averageValue")
    if source in {"resource", "containerResource"}:
        resource = text(spec, source, "name")
        if average:
            return f"{resource}: {text(current, 'averageValue', empty=UNKNOWN)}/{average}"
        used, wanted = (at(side, "averageUtilization") for side in (current, target))
        used_text = UNKNOWN if used is None else f"{used}%"
        return f"{resource}: {used_text}/{'<auto>' if wanted is None else f'{wanted}%'}"
    if source == "pods":
        return f"{text(current, 'averageValue', empty=UNKNOWN)}/{average}"
    if average:
        return f"{text(current, 'averageValue', empty=UNKNOWN)}/{average} (avg)"
    return f"{text(current, 'value', empty=UNKNOWN)}/{text(target, 'value')}"


def _metrics(obj: Obj) -> str:
    specs, statuses = items(obj, "spec", "metrics"), items(obj, "status", "currentMetrics")
    wanted = at(obj, "spec", "targetCPUUtilizationPercentage")
    if wanted is not None:
        used = at(obj, "status", "currentCPUUtilizationPercentage")
        return f"cpu: {UNKNOWN if used is None else f'{used}%'}/{wanted}%"
    shown = [_metric(s, part(statuses[i]) if i < len(statuses) else {}) for i, s in enumerate(specs)]
    if len(shown) > 2:
        return f"{', '.join(shown[:2])} + {len(shown) - 2} more..."
    return ", ".join(shown) or NONE


def horizontal_pod_autoscaler(obj: Obj) -> list[Cell]:
    target = part(obj, "spec", "scaleTargetRef")
    return [
        name_of(obj),
        f"{text(target, 'kind')}/{text(target, 'name')}",
        _metrics(obj),
        text(obj, "spec", "minReplicas", empty=UNSET),
        number(obj, "spec", "maxReplicas"),
        number(obj, "status", "currentReplicas"),
        age_of(obj),
    ]


def pod_disruption_budget(obj: Obj) -> list[Cell]:
    return [
        name_of(obj),
        text(obj, "spec", "minAvailable", empty="N/A"),
        text(obj, "spec", "maxUnavailable", empty="N/A"),
        number(obj, "status", "disruptionsAllowed"),
        age_of(obj),
    ]


def scale(obj: Obj) -> list[Cell]:
    return [name_of(obj), number(obj, "spec", "replicas"), number(obj, "status", "replicas"), age_of(obj)]


_DESIRED = Column("Desired", "integer", description="How many are wanted.")
_CURRENT = Column("Current", "integer", description="How many there are.")
_READY = Column("Ready", "integer", description="How many are ready.")
_UP_TO_DATE = Column("Up-to-date", "integer", description="How many are of the newest template.")
_AVAILABLE = Column("Available", "integer", description="How many have been ready for long enough.")
_READY_OF = Column("Ready", description="How many are ready, of how many that are wanted.")
_REPLICAS = (NAME, _DESIRED, _CURRENT, _READY, AGE, CONTAINERS, IMAGES, SELECTOR)

PRINTERS = {
    "deployments.apps": Printer(
        (NAME, _READY_OF, _UP_TO_DATE, _AVAILABLE, AGE, CONTAINERS, IMAGES, SELECTOR), deployment
    ),
    "replicasets.apps": Printer(_REPLICAS, replica_set),
    "replicationcontrollers": Printer(_REPLICAS, replication_controller),
    "statefulsets.apps": Printer((NAME, _READY_OF, AGE, CONTAINERS, IMAGES), stateful_set),
    "daemonsets.apps": Printer(
        (
            NAME,
            _DESIRED,
            _CURRENT,
            _READY,
            _UP_TO_DATE,
            _AVAILABLE,
            Column("Node Selector", description="Selects the nodes that get a pod."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ),
        daemon_set,
    ),
    "controllerrevisions.apps": Printer(
        (
            NAME,
            Column("Controller", description="What it is a revision of."),
            Column("Revision", "integer", description="The number of the revision."),
            AGE,
        ),
        controller_revision,
    ),
    "jobs.batch": Printer(
        (
            NAME,
            Column("Status", description="The state in one word."),
            Column("Completions", description="How many pods succeeded, of how many that have to."),
            Column("Duration", description="The time from its start to its completion, or to now."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ),
        job,
    ),
    "cronjobs.batch": Printer(
        (
            NAME,
            Column("Schedule", description="When jobs are made, in cron's notation."),
            Column("Timezone", description="The time zone of the schedule."),
            Column("Suspend", "boolean", description="Whether no further jobs are made."),
            Column("Active", "integer", description="How many of its jobs run."),
            Column("Last Schedule", description="The time since a job was due last."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ),
        cron_job,
    ),
    "horizontalpodautoscalers.autoscaling": Printer(
        (
            NAME,
            Column("Reference", description="What is scaled."),
            Column("Targets", description="Each metric's current value and its target."),
            Column("MinPods", description="The lower limit."),
            Column("MaxPods", description="The upper limit."),
            Column("Replicas", description="How many there are."),
            AGE,
        ),
        horizontal_pod_autoscaler,
    ),
    "poddisruptionbudgets.policy": Printer(
        (
            NAME,
            Column("Min Available", description="How many pods must remain."),
            Column("Max Unavailable", description="How many pods may be missing."),
            Column("Allowed Disruptions", "integer", description="How many pods may be evicted now."),
            AGE,
        ),
        pod_disruption_budget,
    ),
    "scales.autoscaling": Printer(
        (NAME, _DESIRED, Column("Available", "integer", description="How many there are."), AGE), scale
    ),
}
