"""Which values a string field may take. The published schemas name none of them, so the values stand here.

Rows exist for fields whose value a client chooses and the API refuses when it is not one of these; what only the system
writes (conditions, phases) has none. An empty string counts as absent: it is never refused as an unsupported value.
Source: the Kubernetes 1.36 API reference; for types of Arktos, the wire format of the original.
"""

from __future__ import annotations

from collections.abc import Mapping

_Rows = Mapping[str, Mapping[str, tuple[str, ...]]]

_PULL = ("Always", "IfNotPresent", "Never")
_PROTOCOL = ("SCTP", "TCP", "UDP")
_EXISTENCE = ("DoesNotExist", "Exists", "In", "NotIn")
_ACCESS = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_SCHEME = ("HTTP", "HTTPS")
_VOLUME_MODE = ("Block", "Filesystem")
_TAINT = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_INCLUSION = ("Honor", "Ignore")
_TERMINATION = ("FallbackToLogsOnError", "File")
_POD_SECURITY = ("baseline", "privileged", "restricted")
_PREEMPTION = ("Never", "PreemptLowerPriority")
_METRIC_SOURCE = ("ContainerResource", "External", "Object", "Pods", "Resource")
_RECLAIM = ("Delete", "Recycle", "Retain")
_CONTAINER = {"imagePullPolicy": _PULL, "terminationMessagePolicy": _TERMINATION}

_APPS: _Rows = {
    "DaemonSetUpdateStrategy": {"type": ("OnDelete", "RollingUpdate")},
    "DeploymentStrategy": {"type": ("Recreate", "RollingUpdate")},
    "StatefulSetSpec": {"podManagementPolicy": ("OrderedReady", "Parallel")},
    "StatefulSetUpdateStrategy": {"type": ("OnDelete", "RollingUpdate")},
    "StatefulSetPersistentVolumeClaimRetentionPolicy": {
        "whenDeleted": ("Delete", "Retain"),
        "whenScaled": ("Delete", "Retain"),
    },
}

_AUTOSCALING: _Rows = {
    "HPAScalingPolicy": {"type": ("Percent", "Pods")},
    "HPAScalingRules": {"selectPolicy": ("Disabled", "Max", "Min")},
    "MetricSpec": {"type": _METRIC_SOURCE},
    "MetricTarget": {"type": ("AverageValue", "Utilization", "Value")},
}

_BATCH: _Rows = {
    "CronJobSpec": {"concurrencyPolicy": ("Allow", "Forbid", "Replace")},
    "JobSpec": {
        "completionMode": ("Indexed", "NonIndexed"),
        "podReplacementPolicy": ("Failed", "TerminatingOrFailed"),
    },
    "PodFailurePolicyOnExitCodesRequirement": {"operator": ("In", "NotIn")},
    "PodFailurePolicyOnPodConditionsPattern": {"status": ("False", "True", "Unknown")},
    "PodFailurePolicyRule": {"action": ("Count", "FailIndex", "FailJob", "Ignore")},
}

_CORE: _Rows = {
    "AppArmorProfile": {"type": ("Localhost", "RuntimeDefault", "Unconfined")},
    "AzureDiskVolumeSource": {
        "cachingMode": ("None", "ReadOnly", "ReadWrite"),
        "kind": ("Dedicated", "Managed", "Shared"),
    },
    "Container": {**_CONTAINER, "restartPolicy": ("Always", "Never", "OnFailure")},
    "ContainerPort": {"protocol": _PROTOCOL},
    "ContainerResizePolicy": {"restartPolicy": ("NotRequired", "RestartContainer")},
    "ContainerRestartRuleOnExitCodes": {"operator": ("In", "NotIn")},
    "EndpointPort": {"protocol": _PROTOCOL},
    "EphemeralContainer": _CONTAINER,
    "HTTPGetAction": {"scheme": _SCHEME},
    "HostPathVolumeSource": {
        "type": ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
    },
    "ImageVolumeSource": {"pullPolicy": _PULL},
    "NodeSelectorRequirement": {"operator": ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn")},
    "PersistentVolumeClaimSpec": {"accessModes": _ACCESS, "volumeMode": _VOLUME_MODE},
    "PersistentVolumeSpec": {
        "accessModes": _ACCESS,
        "persistentVolumeReclaimPolicy": _RECLAIM,
        "volumeMode": _VOLUME_MODE,
    },
    "PodCertificateProjection": {
        "keyType": ("ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096"),
    },
    "PodOS": {"name": ("linux", "windows")},
    "PodSecurityContext": {
        "fsGroupChangePolicy": ("Always", "OnRootMismatch"),
        "seLinuxChangePolicy": ("MountOption", "Recursive"),
        "supplementalGroupsPolicy": ("Merge", "Strict"),
    },
    "PodSpec": {
        "dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
        "preemptionPolicy": _PREEMPTION,
        "restartPolicy": ("Always", "Never", "OnFailure"),
    },
    "ResourceQuotaSpec": {
        "scopes": (
            "BestEffort",
            "CrossNamespacePodAffinity",
            "NotBestEffort",
            "NotTerminating",
            "PriorityClass",
            "Terminating",
            "VolumeAttributesClass",
        ),
    },
    "ScopedResourceSelectorRequirement": {"operator": _EXISTENCE},
    "SeccompProfile": {"type": ("Localhost", "RuntimeDefault", "Unconfined")},
    "SecurityContext": {"procMount": ("Default", "Unmasked")},
    "ServicePort": {"protocol": _PROTOCOL},
    "ServiceSpec": {
        "externalTrafficPolicy": ("Cluster", "Local"),
        "internalTrafficPolicy": ("Cluster", "Local"),
        "ipFamilies": ("IPv4", "IPv6"),
        "ipFamilyPolicy": ("PreferDualStack", "RequireDualStack", "SingleStack"),
        "sessionAffinity": ("ClientIP", "None"),
        "trafficDistribution": ("PreferClose", "PreferSameNode", "PreferSameZone"),
        "type": ("ClusterIP", "ExternalName", "ExternalNeutronLB", "LoadBalancer", "NodePort"),
    },
    "Taint": {"effect": _TAINT},
    "Toleration": {"effect": _TAINT, "operator": ("Equal", "Exists", "Gt", "Lt")},
    "TopologySpreadConstraint": {
        "nodeAffinityPolicy": _INCLUSION,
        "nodeTaintsPolicy": _INCLUSION,
        "whenUnsatisfiable": ("DoNotSchedule", "ScheduleAnyway"),
    },
    "VolumeMount": {
        "mountPropagation": ("Bidirectional", "HostToContainer", "None"),
        "recursiveReadOnly": ("Disabled", "Enabled", "IfPossible"),
    },
}

_DISCOVERY: _Rows = {
    "EndpointSlice": {"addressType": ("FQDN", "IPv4", "IPv6")},
    "EndpointPort": {"protocol": _PROTOCOL},
}

_META: _Rows = {
    "DeleteOptions": {"dryRun": ("All",), "propagationPolicy": ("Background", "Foreground", "Orphan")},
    "LabelSelectorRequirement": {"operator": _EXISTENCE},
}

_NETWORKING: _Rows = {
    "HTTPIngressPath": {"pathType": ("Exact", "ImplementationSpecific", "Prefix")},
    "IngressClassParametersReference": {"scope": ("Cluster", "Namespace")},
    "NetworkPolicyPort": {"protocol": _PROTOCOL},
    "NetworkPolicySpec": {"policyTypes": ("Egress", "Ingress")},
}

_POLICY: _Rows = {
    "PodDisruptionBudgetSpec": {"unhealthyPodEvictionPolicy": ("AlwaysAllow", "IfHealthyBudget")},
}

_RBAC: _Rows = {
    "RoleRef": {"kind": ("ClusterRole", "Role")},
    "Subject": {"kind": ("Group", "ServiceAccount", "User")},
}

_SCHEDULING: _Rows = {"PriorityClass": {"preemptionPolicy": _PREEMPTION}}

_STORAGE: _Rows = {
    "CSIDriverSpec": {"fsGroupPolicy": ("File", "None", "ReadWriteOnceWithFSType")},
    "StorageClass": {
        "reclaimPolicy": ("Delete", "Retain"),
        "volumeBindingMode": ("Immediate", "WaitForFirstConsumer"),
    },
}

_ARKTOS: _Rows = {
    "TenantPodSecurity": {"audit": _POD_SECURITY, "enforce": _POD_SECURITY, "warn": _POD_SECURITY},
    "VirtualMachine": {
        "imagePullPolicy": _PULL,
        "powerSpec": ("Paused", "Running", "Shutdown", "Suspended"),
        "shutdownBehavior": ("stop", "terminate"),
    },
}

_PACKAGES: Mapping[str, _Rows] = {
    "io.k8s.api.apps.v1": _APPS,
    "io.k8s.api.autoscaling.v2": _AUTOSCALING,
    "io.k8s.api.batch.v1": _BATCH,
    "io.k8s.api.core.v1": _CORE,
    "io.k8s.api.discovery.v1": _DISCOVERY,
    "io.k8s.apimachinery.pkg.apis.meta.v1": _META,
    "io.k8s.api.networking.v1": _NETWORKING,
    "io.k8s.api.policy.v1": _POLICY,
    "io.k8s.api.rbac.v1": _RBAC,
    "io.k8s.api.scheduling.v1": _SCHEDULING,
    "io.k8s.api.storage.v1": _STORAGE,
    "io.arktos.api.core.v1": _ARKTOS,
}


def values(type_name: str, field: str) -> tuple[str, ...]:
    """The values that `field` of a type may take, sorted; empty if any. Of a list field: those of its elements."""
    package, _, short = type_name.rpartition(".")
    return _PACKAGES.get(package, {}).get(short, {}).get(field, ())


def declared() -> list[tuple[str, str]]:
    """All (type name, field) that have a row."""
    return [
        (f"{package}.{short}", name)
        for package, rows in _PACKAGES.items()
        for short, columns in rows.items()
        for name in columns
    ]
