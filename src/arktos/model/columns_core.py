"""How nodes, namespaces, events, configuration and quotas are shown."""

from __future__ import annotations

from arktos.model.columns_cell import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    Cell,
    Printer,
    age_of,
    at,
    condition,
    flag,
    instant,
    items,
    joined,
    name_of,
    number,
    part,
    since,
    text,
    wide,
)
from arktos.model.kinds import Column, Obj

_ROLE_PREFIX = "node-role.kubernetes.io/"
_ROLE_LABEL = "kubernetes.io/role"


def _roles(obj: Obj) -> str:
    found = set()
    for label, value in part(obj, "metadata", "labels").items():
        role = label.removeprefix(_ROLE_PREFIX) if label.startswith(_ROLE_PREFIX) else ""
        if label == _ROLE_LABEL:
            role = str(value)
        if role:
            found.add(role)
    return joined(sorted(found))


def _address(obj: Obj, kind: str) -> str:
    for address in items(obj, "status", "addresses"):
        if text(address, "type") == kind:
            return text(address, "address")
    return NONE


def node(obj: Obj) -> list[Cell]:
    ready = condition(obj, "Ready")
    state = "Unknown" if not ready else "Ready" if text(ready, "status") == "True" else "NotReady"
    if flag(obj, "spec", "unschedulable"):
        state += ",SchedulingDisabled"
    info = part(obj, "status", "nodeInfo")
    return [
        name_of(obj),
        state,
        _roles(obj),
        age_of(obj),
        text(info, "kubeletVersion"),
        _address(obj, "InternalIP"),
        _address(obj, "ExternalIP"),
        text(info, "osImage", empty=UNKNOWN),
        text(info, "kernelVersion", empty=UNKNOWN),
        text(info, "containerRuntimeVersion", empty=UNKNOWN),
    ]


def with_phase(obj: Obj) -> list[Cell]:
    """Namespaces and tenants."""
    return [name_of(obj), text(obj, "status", "phase"), age_of(obj)]


def event(obj: Obj) -> list[Cell]:
    """An Event in either of its two versions: core's, and that of events.k8s.io with its own names."""
    started = at(obj, "firstTimestamp") or at(obj, "deprecatedFirstTimestamp") or at(obj, "eventTime")
    last = at(obj, "lastTimestamp") or at(obj, "deprecatedLastTimestamp")
    series = at(obj, "series")
    count = number(obj, "count") or number(obj, "deprecatedCount") or 1
    seen = since(last) if instant(last) is not None else since(started)
    if series is not None:
        seen, count = since(at(series, "lastObservedTime")), number(series, "count")
    subject = part(obj, "involvedObject") or part(obj, "regarding")
    target = text(subject, "kind").lower()
    if text(subject, "name"):
        target += f"/{text(subject, 'name')}"
    return [
        seen,
        text(obj, "type"),
        text(obj, "reason"),
        target,
        text(subject, "fieldPath"),
        _source(obj),
        (text(obj, "message") or text(obj, "note")).strip(),
        since(started),
        str(count),
        name_of(obj),
    ]


def _source(obj: Obj) -> str:
    source = part(obj, "source") or part(obj, "deprecatedSource")
    component = text(source, "component") or text(obj, "reportingComponent") or text(obj, "reportingController")
    host = text(source, "host") or text(obj, "reportingInstance")
    return f"{component}, {host}" if host else component


def config_map(obj: Obj) -> list[Cell]:
    return [name_of(obj), len(part(obj, "data")) + len(part(obj, "binaryData")), age_of(obj)]


def secret(obj: Obj) -> list[Cell]:
    return [name_of(obj), text(obj, "type"), len(part(obj, "data")), age_of(obj)]


def service_account(obj: Obj) -> list[Cell]:
    return [name_of(obj), len(items(obj, "secrets")), age_of(obj)]


def resource_quota(obj: Obj) -> list[Cell]:
    requests: list[str] = []
    limits: list[str] = []
    used = part(obj, "status", "used")
    for resource, hard in sorted(part(obj, "status", "hard").items()):
        side = limits if resource.startswith("limits.") else requests
        side.append(f"{resource}: {used.get(resource, '0')}/{hard}")
    return [name_of(obj), ", ".join(requests), ", ".join(limits), age_of(obj)]


_STATUS = Column("Status", description="The state in one word.")
WITH_PHASE = Printer((NAME, _STATUS, AGE), with_phase)
EVENT = Printer(
    (
        Column("Last Seen", description="The time since it happened last."),
        Column("Type", description="Normal or Warning."),
        Column("Reason", description="What happened, in one word."),
        Column("Object", description="What it happened to."),
        wide("Subobject", description="The part of the object that it happened to."),
        wide("Source", description="What reported it."),
        Column("Message", description="What happened."),
        wide("First Seen", description="The time since it happened first."),
        wide("Count", description="How often it happened."),
        Column("Name", format="name", description="The name of the event.", priority=1),
    ),
    event,
)

PRINTERS = {
    "nodes": Printer(
        (
            NAME,
            Column("Status", description="Whether it is ready, and whether it takes new pods."),
            Column("Roles", description="The roles that its labels name."),
            AGE,
            Column("Version", description="The version of its node agent."),
            wide("Internal-IP", description="Its address inside the cluster."),
            wide("External-IP", description="Its address outside the cluster."),
            wide("OS-Image", description="Its operating system."),
            wide("Kernel-Version", description="Its kernel."),
            wide("Container-Runtime", description="Its container runtime."),
        ),
        node,
    ),
    "namespaces": WITH_PHASE,
    "events": EVENT,
    "events.events.k8s.io": EVENT,
    "configmaps": Printer((NAME, Column("Data", description="How many entries it has."), AGE), config_map),
    "secrets": Printer(
        (
            NAME,
            Column("Type", description="What it is used for."),
            Column("Data", description="How many entries it has."),
            AGE,
        ),
        secret,
    ),
    "serviceaccounts": Printer(
        (NAME, Column("Secrets", description="How many secrets it names."), AGE), service_account
    ),
    "resourcequotas": Printer(
        (
            NAME,
            Column("Request", description="What is used, of what may be."),
            Column("Limit", description="The limits in use, of what they may add up to."),
            AGE,
        ),
        resource_quota,
    ),
}
