"""How access, admission, leases, classes and the API's own kinds are shown."""

from __future__ import annotations

from arktos.model.columns_cell import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Cell,
    Printer,
    age_of,
    at,
    condition,
    flag,
    human_duration,
    items,
    label_selector,
    name_of,
    number,
    part,
    text,
    wide,
)
from arktos.model.kinds import Column, Obj


def _subjects(obj: Obj, kind: str) -> str:
    found = []
    for subject in items(obj, "subjects"):
        if text(subject, "kind") == kind:
            namespace = text(subject, "namespace") if kind == "ServiceAccount" else ""
            found.append(f"{namespace}/{text(subject, 'name')}" if namespace else text(subject, "name"))
    return ", ".join(found)


def binding(obj: Obj) -> list[Cell]:
    role = part(obj, "roleRef")
    return [
        name_of(obj),
        f"{text(role, 'kind')}/{text(role, 'name')}",
        age_of(obj),
        _subjects(obj, "User"),
        _subjects(obj, "Group"),
        _subjects(obj, "ServiceAccount"),
    ]


def created_at(obj: Obj) -> list[Cell]:
    """What Kubernetes shows of kinds that have no printer of their own."""
    return [name_of(obj), text(obj, "metadata", "creationTimestamp")]


def lease(obj: Obj) -> list[Cell]:
    return [name_of(obj), text(obj, "spec", "holderIdentity"), age_of(obj)]


def priority_class(obj: Obj) -> list[Cell]:
    return [
        name_of(obj),
        number(obj, "value"),
        flag(obj, "globalDefault"),
        age_of(obj),
        text(obj, "preemptionPolicy"),
    ]


def runtime_class(obj: Obj) -> list[Cell]:
    return [name_of(obj), text(obj, "handler"), age_of(obj)]


def signing_request(obj: Obj) -> list[Cell]:
    wanted = at(obj, "spec", "expirationSeconds")
    state = "Denied" if condition(obj, "Denied") else "Approved" if condition(obj, "Approved") else "Pending"
    state += ",Failed" if condition(obj, "Failed") else ""
    state += ",Issued" if text(obj, "status", "certificate") else ""
    return [
        name_of(obj),
        age_of(obj),
        text(obj, "spec", "signerName", empty=NONE),
        text(obj, "spec", "username"),
        NONE if wanted is None else human_duration(number(obj, "spec", "expirationSeconds")),
        state,
    ]


def flow_schema(obj: Obj) -> list[Cell]:
    return [
        name_of(obj),
        text(obj, "spec", "priorityLevelConfiguration", "name"),
        number(obj, "spec", "matchingPrecedence"),
        text(obj, "spec", "distinguisherMethod", "type", empty=NONE),
        age_of(obj),
        text(condition(obj, "Dangling"), "status", empty="?"),
    ]


def priority_level(obj: Obj) -> list[Cell]:
    limited = part(obj, "spec", "limited")
    queuing = part(limited, "limitResponse", "queuing")
    return [
        name_of(obj),
        text(obj, "spec", "type"),
        number(limited, "nominalConcurrencyShares") if limited else NONE,
        *(number(queuing, name) if queuing else NONE for name in ("queues", "handSize", "queueLengthLimit")),
        age_of(obj),
    ]


def webhooks(obj: Obj) -> list[Cell]:
    return [name_of(obj), len(items(obj, "webhooks")), age_of(obj)]


def _admission_policy(obj: Obj, rules: str) -> list[Cell]:
    kind = part(obj, "spec", "paramKind")
    shown = f"{text(kind, 'apiVersion')}/{text(kind, 'kind')}" if kind else UNSET
    return [name_of(obj), len(items(obj, "spec", rules)), shown, age_of(obj)]


def validating_policy(obj: Obj) -> list[Cell]:
    return _admission_policy(obj, "validations")


def mutating_policy(obj: Obj) -> list[Cell]:
    return _admission_policy(obj, "mutations")


def policy_binding(obj: Obj) -> list[Cell]:
    reference = part(obj, "spec", "paramRef")
    shown = UNSET
    if text(reference, "name"):
        shown = f"{text(reference, 'namespace', empty='*')}/{text(reference, 'name')}"
    elif at(reference, "selector") is not None:
        shown = label_selector(at(reference, "selector"))
    return [name_of(obj), text(obj, "spec", "policyName"), shown, age_of(obj)]


def api_service(obj: Obj) -> list[Cell]:
    service = part(obj, "spec", "service")
    shown = f"{text(service, 'namespace')}/{text(service, 'name')}" if service else "Local"
    available = condition(obj, "Available")
    state = text(available, "status", empty="Unknown")
    if state != "True" and text(available, "reason"):
        state += f" ({text(available, 'reason')})"
    return [name_of(obj), shown, state, age_of(obj)]


_BINDING = Printer(
    (
        NAME,
        Column("Role", description="The role that it grants."),
        AGE,
        wide("Users", description="The users that it is granted to."),
        wide("Groups", description="The groups that it is granted to."),
        wide("ServiceAccounts", description="The service accounts that it is granted to."),
    ),
    binding,
)
CREATED_AT = Printer(
    (NAME, Column("Created At", "date", description="When it was created.")),
    created_at,
)
_WEBHOOKS = Printer((NAME, Column("Webhooks", "integer", description="How many webhooks it has."), AGE), webhooks)
_PARAM_KIND = Column("ParamKind", description="The kind of its parameters.")
_POLICY_BINDING = Printer(
    (
        NAME,
        Column("PolicyName", description="The policy that is bound."),
        Column("ParamRef", description="The parameters that it is bound with."),
        AGE,
    ),
    policy_binding,
)

PRINTERS = {
    "roles.rbac.authorization.k8s.io": CREATED_AT,
    "clusterroles.rbac.authorization.k8s.io": CREATED_AT,
    "limitranges": CREATED_AT,
    "customresourcedefinitions.apiextensions.k8s.io": CREATED_AT,
    "rolebindings.rbac.authorization.k8s.io": _BINDING,
    "clusterrolebindings.rbac.authorization.k8s.io": _BINDING,
    "leases.coordination.k8s.io": Printer((NAME, Column("Holder", description="Who holds it."), AGE), lease),
    "priorityclasses.scheduling.k8s.io": Printer(
        (
            NAME,
            Column("Value", "integer", description="The priority."),
            Column("Global-Default", "boolean", description="Whether pods get it that name none."),
            AGE,
            Column("PreemptionPolicy", description="Whether its pods may evict others."),
        ),
        priority_class,
    ),
    "runtimeclasses.node.k8s.io": Printer(
        (NAME, Column("Handler", description="The runtime that runs its pods."), AGE), runtime_class
    ),
    "certificatesigningrequests.certificates.k8s.io": Printer(
        (
            NAME,
            AGE,
            Column("SignerName", description="Who is to sign it."),
            Column("Requestor", description="Who asked for it."),
            Column("RequestedDuration", description="How long it is to be valid."),
            Column("Condition", description="What became of it."),
        ),
        signing_request,
    ),
    "flowschemas.flowcontrol.apiserver.k8s.io": Printer(
        (
            NAME,
            Column("PriorityLevel", description="The priority level of its requests."),
            Column("MatchingPrecedence", description="Its place among those that match: the lowest is taken."),
            Column("DistinguisherMethod", description="What parts its requests into flows."),
            AGE,
            Column("MissingPL", description="Whether its priority level is missing."),
        ),
        flow_schema,
    ),
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": Printer(
        (
            NAME,
            Column("Type", description="Whether its requests are limited."),
            Column("NominalConcurrencyShares", description="Its share of the requests that run at a time."),
            Column("Queues", description="How many queues it has."),
            Column("HandSize", description="How many of the queues a flow may use."),
            Column("QueueLengthLimit", description="How many requests a queue holds."),
            AGE,
        ),
        priority_level,
    ),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": _WEBHOOKS,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": _WEBHOOKS,
    "validatingadmissionpolicies.admissionregistration.k8s.io": Printer(
        (NAME, Column("Validations", "integer", description="How many rules it has."), _PARAM_KIND, AGE),
        validating_policy,
    ),
    "mutatingadmissionpolicies.admissionregistration.k8s.io": Printer(
        (NAME, Column("Mutations", "integer", description="How many rules it has."), _PARAM_KIND, AGE),
        mutating_policy,
    ),
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": _POLICY_BINDING,
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": _POLICY_BINDING,
    "apiservices.apiregistration.k8s.io": Printer(
        (
            NAME,
            Column("Service", description="The service that answers for it."),
            Column("Available", description="Whether it answers."),
            AGE,
        ),
        api_service,
    ),
}
