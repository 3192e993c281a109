"""Defaulting: what the server writes into an object where its author wrote nothing.

Owns the defaults of Kubernetes 1.36 for every served kind, and ours: the VM's own (image pull policy, shutdown
behaviour, power), and that a pod spec always has `containers`, a VM's being `[]`.

Flow: `apply(kind, obj)` looks the kind's function up in one table and runs it on the object in place. Functions are
plain Python over dicts, composed from those of nested types (a Deployment's runs the pod template's).

Invariants: defaulting is idempotent; it never removes what a client set, save where Kubernetes does (a Service's
session affinity config, a Secret's `stringData`); an empty string counts as absent, as it does in Kubernetes; values
are put in as fresh objects, never shared between documents. Objects have been through `structure.check`: types are
right, nulls are gone, but any field may be missing.

It does not allocate (cluster addresses, node ports, uids), nor know the time, nor set initial status where Kubernetes
leaves that to the strategy: see `model.strategy`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from arktos.model.defaults import (
    admission,
    autoscaling,
    core,
    devices,
    extension,
    flowcontrol,
    pods,
    policy,
    rbac,
    storage,
    workloads,
)
from arktos.model.kinds import Kind, Obj

Defaulter = Callable[[Obj], None]

_TABLE: Mapping[tuple[str, str], Defaulter] = {
    ("", "Endpoints"): core.endpoints,
    ("", "LimitRange"): core.limit_range,
    ("", "Namespace"): core.namespace,
    ("", "Node"): core.node,
    ("", "PersistentVolume"): storage.persistent_volume,
    ("", "PersistentVolumeClaim"): storage.persistent_volume_claim,
    ("", "Pod"): pods.pod,
    ("", "PodTemplate"): workloads.pod_template,
    ("", "ReplicationController"): workloads.replication_controller,
    ("", "ResourceQuota"): core.resource_quota,
    ("", "Secret"): core.secret,
    ("", "Service"): core.service,
    ("", "Tenant"): core.tenant,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): admission.policy,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): admission.binding,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): admission.mutating_webhooks,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): admission.policy,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): admission.binding,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): admission.validating_webhooks,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): extension.definition,
    ("apiregistration.k8s.io", "APIService"): extension.api_service,
    ("apps", "DaemonSet"): workloads.daemon_set,
    ("apps", "Deployment"): workloads.deployment,
    ("apps", "ReplicaSet"): workloads.replica_set,
    ("apps", "StatefulSet"): workloads.stateful_set,
    ("batch", "CronJob"): workloads.cron_job,
    ("batch", "Job"): workloads.job,
    ("discovery.k8s.io", "EndpointSlice"): core.endpoint_slice,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): flowcontrol.flow_schema,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): flowcontrol.priority_level,
    ("networking.k8s.io", "IngressClass"): policy.ingress_class,
    ("networking.k8s.io", "NetworkPolicy"): policy.network_policy,
    ("node.k8s.io", "RuntimeClass"): policy.runtime_class,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): rbac.role_binding,
    ("rbac.authorization.k8s.io", "RoleBinding"): rbac.role_binding,
    ("resource.k8s.io", "ResourceClaim"): devices.resource_claim,
    ("resource.k8s.io", "ResourceClaimTemplate"): devices.resource_claim_template,
    ("scheduling.k8s.io", "PriorityClass"): policy.priority_class,
    ("storage.k8s.io", "CSIDriver"): storage.csi_driver,
    ("storage.k8s.io", "StorageClass"): storage.storage_class,
}

_BY_VERSION: Mapping[tuple[str, str, str], Defaulter] = {
    ("autoscaling", "v1", "HorizontalPodAutoscaler"): autoscaling.autoscaler_v1,
    ("autoscaling", "v2", "HorizontalPodAutoscaler"): autoscaling.autoscaler_v2,
}


def apply(kind: Kind, obj: Obj) -> None:
    """Fill in what the author left out, in place. Idempotent. Kinds without defaults are left alone."""
    if kind.custom is not None:
        kind.custom.default(obj)
        return
    defaulter = _TABLE.get((kind.group, kind.kind)) or _BY_VERSION.get((kind.group, kind.version, kind.kind))
    if defaulter is not None:
        defaulter(obj)
