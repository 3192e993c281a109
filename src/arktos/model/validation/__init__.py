"""Validation: what makes an object wrong, or a change of one, in Kubernetes' field paths, reasons and words.

Owns the semantic rules of the served kinds as of Kubernetes 1.36, and Arktos' own (virtual machines, network
interfaces, tenants, actions, controller instances).

Flow: `validate_create` and `validate_update` first ask the schema (`structure.required_and_enums`), then check the
metadata (`model.metadata`), then the kind's `Rules`: one row of a table names them, their module is imported when the
first object of the kind comes. Rules append to a list; nobody raises.

Invariants: objects are of the right types and defaulted, but any field may be missing; rules must stand that. What
both schema and a rule find is told once. An object without fault costs no allocation of paths beyond the lists it has.

It does not default, prune, or compare tenants with the request's; it knows no store and no time.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from arktos.model import metadata
from arktos.model.kinds import Kind, Obj
from arktos.model.status import FieldError
from arktos.model.structure import required_and_enums
from arktos.model.validation.causes import Errors
from arktos.model.validation.rules import Rules

_TABLE: Mapping[tuple[str, str], str] = {
    ("", "Action"): "tenancy.ACTION",
    ("", "Binding"): "pods.BINDING",
    ("", "ConfigMap"): "config.CONFIG_MAP",
    ("", "ControllerInstance"): "tenancy.CONTROLLER_INSTANCE",
    ("", "Endpoints"): "endpoints.ENDPOINTS",
    ("", "Event"): "events.EVENT",
    ("", "LimitRange"): "quotas.LIMIT_RANGE",
    ("", "Namespace"): "tenancy.NAMESPACE",
    ("", "Node"): "nodes.NODE",
    ("", "PersistentVolume"): "storage.PERSISTENT_VOLUME",
    ("", "PersistentVolumeClaim"): "claims.CLAIM",
    ("", "Pod"): "pods.POD",
    ("", "PodTemplate"): "workloads.POD_TEMPLATE",
    ("", "ReplicationController"): "workloads.REPLICATION_CONTROLLER",
    ("", "ResourceQuota"): "quotas.RESOURCE_QUOTA",
    ("", "Secret"): "config.SECRET",
    ("", "Service"): "services.SERVICE",
    ("", "Tenant"): "tenancy.TENANT",
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): "admission_policies.MUTATING_POLICY",
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): "admission_policies.MUTATING_BINDING",
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): "admission.WEBHOOKS",
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): "admission_policies.VALIDATING_POLICY",
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): "admission_policies.VALIDATING_BINDING",
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): "admission.WEBHOOKS",
    ("apiextensions.k8s.io", "CustomResourceDefinition"): "definitions.DEFINITION",
    ("apiregistration.k8s.io", "APIService"): "aggregation.API_SERVICE",
    ("apps", "ControllerRevision"): "workloads.CONTROLLER_REVISION",
    ("apps", "DaemonSet"): "workloads.DAEMON_SET",
    ("apps", "Deployment"): "workloads.DEPLOYMENT",
    ("apps", "ReplicaSet"): "workloads.REPLICA_SET",
    ("apps", "StatefulSet"): "statefulsets.STATEFUL_SET",
    ("autoscaling", "HorizontalPodAutoscaler"): "autoscaling.AUTOSCALER",
    ("batch", "CronJob"): "jobs.CRON_JOB",
    ("batch", "Job"): "jobs.JOB",
    ("certificates.k8s.io", "CertificateSigningRequest"): "certificates.REQUEST",
    ("coordination.k8s.io", "Lease"): "policy.LEASE",
    ("discovery.k8s.io", "EndpointSlice"): "endpoints.ENDPOINT_SLICE",
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): "flowcontrol.FLOW_SCHEMA",
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): "flowcontrol.PRIORITY_LEVEL",
    ("networking.k8s.io", "Ingress"): "networking.INGRESS",
    ("networking.k8s.io", "IngressClass"): "networking.INGRESS_CLASS",
    ("networking.k8s.io", "IPAddress"): "networking.IP_ADDRESS",
    ("networking.k8s.io", "NetworkPolicy"): "networking.NETWORK_POLICY",
    ("networking.k8s.io", "ServiceCIDR"): "networking.SERVICE_CIDR",
    ("node.k8s.io", "RuntimeClass"): "policy.RUNTIME_CLASS",
    ("policy", "PodDisruptionBudget"): "policy.DISRUPTION_BUDGET",
    ("rbac.authorization.k8s.io", "ClusterRole"): "access.CLUSTER_ROLE",
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): "access.CLUSTER_ROLE_BINDING",
    ("rbac.authorization.k8s.io", "Role"): "access.ROLE",
    ("rbac.authorization.k8s.io", "RoleBinding"): "access.ROLE_BINDING",
    ("resource.k8s.io", "DeviceClass"): "devices.DEVICE_CLASS",
    ("resource.k8s.io", "ResourceClaim"): "device_claims.RESOURCE_CLAIM",
    ("resource.k8s.io", "ResourceClaimTemplate"): "device_claims.RESOURCE_CLAIM_TEMPLATE",
    ("resource.k8s.io", "ResourceSlice"): "device_slices.RESOURCE_SLICE",
    ("scheduling.k8s.io", "PriorityClass"): "policy.PRIORITY_CLASS",
    ("storage.k8s.io", "CSIDriver"): "storage.CSI_DRIVER",
    ("storage.k8s.io", "CSINode"): "storage.CSI_NODE",
    ("storage.k8s.io", "CSIStorageCapacity"): "storage.CSI_STORAGE_CAPACITY",
    ("storage.k8s.io", "StorageClass"): "storage.STORAGE_CLASS",
    ("storage.k8s.io", "VolumeAttachment"): "storage.VOLUME_ATTACHMENT",
    ("storage.k8s.io", "VolumeAttributesClass"): "storage.VOLUME_ATTRIBUTES_CLASS",
}

_NONE = Rules()
_loaded: dict[tuple[str, str], Rules] = {}


def rules_of(kind: Kind) -> Rules:
    """The rules of a kind; an empty set for a kind that has none of its own."""
    key = (kind.group, kind.kind)
    found = _loaded.get(key)
    if found is None:
        module, _, name = _TABLE.get(key, "").partition(".")
        found = getattr(import_module(f"{__name__}.{module}"), name) if module else _NONE
        _loaded[key] = found
    return found


def validate_create(kind: Kind, obj: Obj, units: int = 0) -> list[FieldError]:
    """What is wrong with a new object, that has been defaulted and prepared; empty if nothing. Raises
    `custom.rules.Exhausted` where the rules of a custom resource cost more than `units` (0: what the event
    loop can wait for)."""
    errs: Errors = metadata.validate_object_meta(kind, obj)
    if kind.custom is not None:
        return errs + kind.custom.validate(obj, None, units)
    rules = rules_of(kind)
    errs += required_and_enums(kind, obj)
    if rules.desired is not None:
        rules.desired(errs, obj)
    if rules.always is not None:
        rules.always(errs, obj)
    if rules.create is not None:
        rules.create(errs, obj)
    return _once(errs) if errs else errs


def validate_update(kind: Kind, obj: Obj, old: Obj, subresource: str = "", units: int = 0) -> list[FieldError]:
    """What is wrong with a change of `old` to `obj`, through the object itself or a subresource of it. Raises as
    `validate_create`."""
    errs: Errors = metadata.validate_object_meta_update(kind, obj, old)
    if kind.custom is not None:
        return errs + kind.custom.validate(obj, old, units)
    rules = rules_of(kind)
    transition = rules.subresources.get(subresource)
    if transition is not None:
        transition(errs, obj, old)
    elif subresource != "status":
        if not _same_desired(obj, old):
            errs += required_and_enums(kind, obj)
            if rules.desired is not None:
                rules.desired(errs, obj)
        if rules.always is not None:
            rules.always(errs, obj)
        if rules.update is not None:
            rules.update(errs, obj, old)
    return _once(errs) if errs else errs


def _same_desired(obj: Obj, old: Obj) -> bool:
    """Whether two states differ in metadata and status at most."""
    return {**obj, "metadata": None, "status": None} == {**old, "metadata": None, "status": None}


def _once(errs: Errors) -> list[FieldError]:
    """Each fault once: what the schema says in general, a rule may say again, and better."""
    found: dict[tuple[str, str, str], FieldError] = {}
    for each in errs:
        found[each.field, each.reason, "" if each.reason in _ONE_PER_FIELD else each.message] = each
    return list(found.values())


_ONE_PER_FIELD = frozenset({"FieldValueRequired", "FieldValueNotSupported"})
