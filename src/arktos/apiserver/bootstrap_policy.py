"""The ClusterRoles and ClusterRoleBindings that every cluster has from the first moment, as data.

Names, rules and aggregation are Kubernetes' ("Default roles and role bindings" of its RBAC page) where a role has a
counterpart there. Two sets: what is in every tenant, and what is in `system` on top, where the components' rights are.
The components serve all tenants: their bindings count everywhere (`arktos.io/tenants: "*"`).
"""

from __future__ import annotations

from typing import NamedTuple

from arktos.apiserver.membership import AUTHENTICATED, MASTERS, SERVICE_ACCOUNTS, UNAUTHENTICATED
from arktos.apiserver.rbac import EVERYTHING, Rule

READ = "get list watch"
WRITE = "create delete deletecollection patch update"

AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"
CERTIFICATES, COORDINATION, DISCOVERY = "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io"
EVENTS, NETWORKING, NODE, RBAC = "events.k8s.io", "networking.k8s.io", "node.k8s.io", "rbac.authorization.k8s.io"
RESOURCE, SCHEDULING, STORAGE = "resource.k8s.io", "scheduling.k8s.io", "storage.k8s.io"


class DefaultRole(NamedTuple):
    """`aggregates` names the role (`admin`, `edit`, `view`) that this one is, made of those that go `into` it."""

    name: str
    rules: tuple[Rule, ...] = ()
    aggregates: str = ""
    into: str = ""


class DefaultBinding(NamedTuple):
    """`users` and `groups` are bound to `role`; with `everywhere` in every tenant."""

    name: str
    role: str
    groups: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    everywhere: bool = False


def on(groups: str, resources: str, verbs: str, names: str = "") -> Rule:
    """A rule from words; the group `core` is the one without a name."""
    named = tuple("" if group == "core" else group for group in groups.split())
    return Rule(tuple(verbs.split()), named, tuple(resources.split()), tuple(names.split()))


def paths(urls: str) -> Rule:
    """The right to GET some paths."""
    return Rule(("get",), urls=tuple(urls.split()))


_APPS = "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets"
_EVENT_WRITER = on(f"core {EVENTS}", "events", "create patch update")
_REVIEWER = (
    on(AUTHENTICATION, "tokenreviews", "create"),
    on(AUTHORIZATION, "subjectaccessreviews", "create"),
)

_VIEW = (
    on(
        "core",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
        "replicationcontrollers/scale serviceaccounts services services/status",
        READ,
    ),
    on(
        "core",
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
        "resourcequotas resourcequotas/status",
        READ,
    ),
    on("core", "namespaces", READ),
    on("core", "actions actions/status", READ),
    on(EVENTS, "events", READ),
    on(DISCOVERY, "endpointslices", READ),
    on(
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets "
        "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
        READ,
    ),
    on("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", READ),
    on("batch", "cronjobs cronjobs/status jobs jobs/status", READ),
    on("policy", "poddisruptionbudgets poddisruptionbudgets/status", READ),
    on(NETWORKING, "ingresses ingresses/status networkpolicies", READ),
    on(RESOURCE, "resourceclaims resourceclaims/status resourceclaimtemplates", READ),
)

_EDIT = (
    on("core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy", READ),
    on("core", "serviceaccounts", "impersonate"),
    on("core", "pods pods/attach pods/exec pods/portforward pods/proxy pods/resize", WRITE),
    on("core", "pods/eviction pods/action", "create"),
    on("core", "actions", WRITE),
    on(
        "core",
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
        "serviceaccounts services services/proxy",
        WRITE,
    ),
    on("core", "serviceaccounts/token", "create"),
    on("apps", f"{_APPS} statefulsets/scale", WRITE),
    on("autoscaling", "horizontalpodautoscalers", WRITE),
    on("batch", "cronjobs jobs", WRITE),
    on("policy", "poddisruptionbudgets", WRITE),
    on(NETWORKING, "ingresses networkpolicies", WRITE),
    on(COORDINATION, "leases", f"{READ} {WRITE}"),
    on(RESOURCE, "resourceclaims resourceclaimtemplates", WRITE),
)

_ADMIN = (
    on(AUTHORIZATION, "localsubjectaccessreviews", "create"),
    on(RBAC, "rolebindings roles", f"{READ} {WRITE}"),
)

_DISCOVERY_PATHS = (
    "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/ "
    "/.well-known/openid-configuration /openid/v1/jwks"
)
_INFO_PATHS = "/healthz /livez /readyz /version /version/"

IN_EVERY_TENANT = (
    DefaultRole("cluster-admin", EVERYTHING),
    DefaultRole("admin", aggregates="admin"),
    DefaultRole("edit", aggregates="edit", into="admin"),
    DefaultRole("view", aggregates="view", into="edit"),
    DefaultRole("system:aggregate-to-admin", _ADMIN, into="admin"),
    DefaultRole("system:aggregate-to-edit", _EDIT, into="edit"),
    DefaultRole("system:aggregate-to-view", _VIEW, into="view"),
    # What installing metrics-server adds upstream.
    DefaultRole("system:aggregated-metrics-reader", (on("metrics.k8s.io", "nodes pods", "get list"),), into="view"),
    DefaultRole("system:auth-delegator", _REVIEWER),
    DefaultRole(
        "system:basic-user",
        (
            on(AUTHORIZATION, "selfsubjectaccessreviews selfsubjectrulesreviews", "create"),
            on(AUTHENTICATION, "selfsubjectreviews", "create"),
        ),
    ),
    DefaultRole("system:discovery", (paths(_DISCOVERY_PATHS),)),
    DefaultRole("system:public-info-viewer", (paths(_INFO_PATHS),)),
    DefaultRole(
        "system:service-account-issuer-discovery", (paths("/.well-known/openid-configuration /openid/v1/jwks"),)
    ),
    DefaultRole(
        "system:persistent-volume-provisioner",
        (
            on("core", "persistentvolumes", f"{READ} create delete"),
            on("core", "persistentvolumeclaims", f"{READ} update"),
            on(STORAGE, "storageclasses", READ),
            on("core", "events", "watch"),
            _EVENT_WRITER,
        ),
    ),
)

ADMIN_ROLE, ADMIN_BINDING, ADMIN_USER = "admin-role", "admin-role-binding", "admin"

IN_TENANTS = (DefaultRole(ADMIN_ROLE, EVERYTHING),)
"""What is in every tenant but `system`: the role of the tenant's first user."""

_SCHEDULER = (
    _EVENT_WRITER,
    on(COORDINATION, "leases", "create"),
    on(COORDINATION, "leases", "get update patch", "kube-scheduler arktos-scheduler"),
    on("core", "nodes namespaces tenants", READ),
    on("core", "pods", f"{READ} delete"),
    on("core", "bindings pods/binding", "create"),
    on("core", "pods/status", "patch update"),
    on("core", "replicationcontrollers services persistentvolumeclaims persistentvolumes", READ),
    on("apps", "replicasets statefulsets", READ),
    on("policy", "poddisruptionbudgets", READ),
    on(SCHEDULING, "priorityclasses", READ),
    on(NODE, "runtimeclasses", READ),
    on(STORAGE, "csinodes csidrivers csistoragecapacities storageclasses volumeattachments", READ),
    on(RESOURCE, "deviceclasses resourceclaims resourceslices", READ),
    on(RESOURCE, "resourceclaims", "update"),
    on(RESOURCE, "resourceclaims/status", "patch update"),
    *_REVIEWER,
)

_INSTANCE = (
    on(COORDINATION, "leases", "create get list patch update watch delete"),
    on("core", "controllerinstances controllerinstances/status", f"{READ} {WRITE}"),
)

_CONTROLLER_MANAGER = (
    _EVENT_WRITER,
    *_INSTANCE,
    on("*", "*", "get list watch patch update delete deletecollection"),
    on(
        "core",
        "configmaps endpoints namespaces persistentvolumeclaims persistentvolumes pods podtemplates "
        "replicationcontrollers resourcequotas secrets serviceaccounts serviceaccounts/token services pods/eviction "
        "actions",
        "create",
    ),
    on("apps", "controllerrevisions replicasets", "create"),
    on("batch", "jobs", "create"),
    on(DISCOVERY, "endpointslices", "create"),
    on(RESOURCE, "resourceclaims", "create"),
    on(STORAGE, "volumeattachments", "create"),
    on(CERTIFICATES, "signers", "approve sign"),
    paths(_DISCOVERY_PATHS),
    *_REVIEWER,
)

_WORKLOAD_CONTROLLERS = (
    _EVENT_WRITER,
    *_INSTANCE,
    on("core", "namespaces nodes tenants services", READ),
    on("core", "pods replicationcontrollers", f"{READ} {WRITE}"),
    on("core", "pods/status replicationcontrollers/status replicationcontrollers/finalizers", "get patch update"),
    on("core", "persistentvolumeclaims", f"{READ} create delete patch update"),
    on("apps", "*", f"{READ} {WRITE}"),
    on("batch", "*", f"{READ} {WRITE}"),
    on("policy", "poddisruptionbudgets", READ),
    paths(_DISCOVERY_PATHS),
)

_NODE = (
    *_REVIEWER,
    on(AUTHORIZATION, "localsubjectaccessreviews", "create"),
    on("core", "services", READ),
    on(DISCOVERY, "endpointslices", READ),
    on("core", "nodes", f"{READ} create patch update"),
    on("core", "nodes/status", "patch update"),
    on("core events.k8s.io", "events", "create patch update"),
    on("core", "pods", f"{READ} create delete"),
    on("core", "pods/status", "get patch update"),
    on("core", "pods/eviction serviceaccounts/token", "create"),
    on("core", "configmaps secrets", READ),
    on("core", "persistentvolumeclaims persistentvolumes endpoints", "get"),
    on("core", "persistentvolumeclaims/status", "get patch update"),
    on("core", "actions", READ),
    on("core", "actions/status", "get patch update"),
    on("core", "tenants namespaces", READ),
    on(CERTIFICATES, "certificatesigningrequests", f"{READ} create"),
    on(COORDINATION, "leases", "create delete get patch update"),
    on(STORAGE, "volumeattachments", "get"),
    on(STORAGE, "csidrivers", READ),
    on(STORAGE, "csinodes", "create delete get patch update"),
    on(NODE, "runtimeclasses", READ),
    on(RESOURCE, "resourceclaims", "get"),
)

IN_SYSTEM = (
    DefaultRole("system:kube-scheduler", _SCHEDULER),
    DefaultRole("system:kube-controller-manager", _CONTROLLER_MANAGER),
    DefaultRole("system:workload-controller-manager", _WORKLOAD_CONTROLLERS),
    DefaultRole("system:node", _NODE),
    DefaultRole("system:node-bootstrapper", (on(CERTIFICATES, "certificatesigningrequests", "create get list watch"),)),
    DefaultRole(
        "system:node-problem-detector",
        (on("core", "nodes", "get"), on("core", "nodes/status", "patch"), _EVENT_WRITER),
    ),
    DefaultRole(
        "system:node-proxier",
        (
            on("core", "endpoints services", "list watch"),
            on("core", "nodes", READ),
            on(DISCOVERY, "endpointslices", "list watch"),
            _EVENT_WRITER,
        ),
    ),
    DefaultRole(
        "system:kubelet-api-admin",
        (
            on("core", "nodes", f"{READ} proxy"),
            on("core", "nodes/log nodes/metrics nodes/proxy nodes/stats", "*"),
        ),
    ),
    DefaultRole("system:kube-dns", (on("core", "endpoints services", "list watch"),)),
    DefaultRole(
        "system:monitoring",
        (paths("/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),),
    ),
    DefaultRole(
        "system:volume-scheduler",
        (
            on("core", "persistentvolumes persistentvolumeclaims", f"{READ} patch update"),
            on(STORAGE, "storageclasses", READ),
        ),
    ),
    *(
        DefaultRole(
            f"system:certificates.k8s.io:{signer}-approver",
            (on(CERTIFICATES, "signers", "approve", f"kubernetes.io/{signer}"),),
        )
        for signer in ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")
    ),
    *(
        DefaultRole(
            f"system:certificates.k8s.io:certificatesigningrequests:{part}",
            (on(CERTIFICATES, f"certificatesigningrequests/{part}", "create"),),
        )
        for part in ("nodeclient", "selfnodeclient")
    ),
)

BINDINGS_IN_EVERY_TENANT = (
    DefaultBinding("system:basic-user", "system:basic-user", (AUTHENTICATED,)),
    DefaultBinding("system:discovery", "system:discovery", (AUTHENTICATED,)),
    DefaultBinding("system:public-info-viewer", "system:public-info-viewer", (AUTHENTICATED, UNAUTHENTICATED)),
    DefaultBinding(
        "system:service-account-issuer-discovery", "system:service-account-issuer-discovery", (SERVICE_ACCOUNTS,)
    ),
)

BINDINGS_IN_TENANTS = (DefaultBinding(ADMIN_BINDING, ADMIN_ROLE, users=(ADMIN_USER,)),)

BINDINGS_IN_SYSTEM = (
    DefaultBinding("cluster-admin", "cluster-admin", (MASTERS,), everywhere=True),
    DefaultBinding("system:monitoring", "system:monitoring", ("system:monitoring",)),
    DefaultBinding("system:node", "system:node", ("system:nodes",), everywhere=True),
    DefaultBinding("arktos:node-bootstrapper", "system:node-bootstrapper", ("system:bootstrappers",)),
    *(
        DefaultBinding(name, name, users=(user,), everywhere=True)
        for name, user in (
            ("system:kube-controller-manager", "system:kube-controller-manager"),
            ("system:kube-dns", "system:serviceaccount:kube-system:kube-dns"),
            ("system:kube-scheduler", "system:kube-scheduler"),
            ("system:node-proxier", "system:kube-proxy"),
            ("system:volume-scheduler", "system:kube-scheduler"),
            ("system:workload-controller-manager", "system:workload-controller-manager"),
        )
    ),
)
