"""Writes docs/conformance.md: what of the Kubernetes API is served, and what is refused and why.

    python scripts/write_conformance.py [kubeconfig]

Asks a running server's discovery, and compares with what Kubernetes' own server of the same minor serves. A test runs
the same against a server of its own and fails when the page is stale, or when something is missing without a reason.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arktos.client import Client
from arktos.model import registry
from arktos.model.kinds import Scope

TARGET = Path(__file__).parent.parent / "docs" / "conformance.md"

Doc = dict[str, Any]
Read = Callable[[str], Doc]

ALL = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_CHANGE = ("get", "patch", "update")
_CONNECT = ("create", "get")
_PROXY = ("create", "delete", "get", "patch", "update")

SUBRESOURCES = {
    "approval": _CHANGE,
    "attach": _CONNECT,
    "binding": ("create",),
    "ephemeralcontainers": _CHANGE,
    "eviction": ("create",),
    "exec": _CONNECT,
    "finalize": ("update",),
    "log": ("get",),
    "portforward": _CONNECT,
    "proxy": _PROXY,
    "resize": _CHANGE,
    "scale": _CHANGE,
    "status": _CHANGE,
    "token": ("create",),
}
"""The verbs of Kubernetes' subresources."""

KUBERNETES = {
    "v1": (
        "bindings=create componentstatuses=get,list configmaps endpoints events limitranges "
        "namespaces=create,delete,get,list,patch,update,watch/finalize/status nodes/proxy/status "
        "persistentvolumeclaims/status persistentvolumes/status "
        "pods/attach/binding/ephemeralcontainers/eviction/exec/log/portforward/proxy/resize/status podtemplates "
        "replicationcontrollers/scale/status resourcequotas/status secrets serviceaccounts/token services/proxy/status"
    ),
    "admissionregistration.k8s.io/v1": (
        "mutatingadmissionpolicies mutatingadmissionpolicybindings mutatingwebhookconfigurations "
        "validatingadmissionpolicies/status validatingadmissionpolicybindings validatingwebhookconfigurations"
    ),
    "apiextensions.k8s.io/v1": "customresourcedefinitions/status",
    "apiregistration.k8s.io/v1": "apiservices/status",
    "apps/v1": (
        "controllerrevisions daemonsets/status deployments/scale/status replicasets/scale/status "
        "statefulsets/scale/status"
    ),
    "authentication.k8s.io/v1": "selfsubjectreviews=create tokenreviews=create",
    "authorization.k8s.io/v1": (
        "localsubjectaccessreviews=create selfsubjectaccessreviews=create selfsubjectrulesreviews=create "
        "subjectaccessreviews=create"
    ),
    "autoscaling/v1": "horizontalpodautoscalers/status",
    "autoscaling/v2": "horizontalpodautoscalers/status",
    "batch/v1": "cronjobs/status jobs/status",
    "certificates.k8s.io/v1": "certificatesigningrequests/approval/status",
    "coordination.k8s.io/v1": "leases",
    "discovery.k8s.io/v1": "endpointslices",
    "events.k8s.io/v1": "events",
    "flowcontrol.apiserver.k8s.io/v1": "flowschemas/status prioritylevelconfigurations/status",
    "networking.k8s.io/v1": "ingressclasses ingresses/status ipaddresses networkpolicies servicecidrs/status",
    "node.k8s.io/v1": "runtimeclasses",
    "policy/v1": "poddisruptionbudgets/status",
    "rbac.authorization.k8s.io/v1": "clusterrolebindings clusterroles rolebindings roles",
    "resource.k8s.io/v1": "deviceclasses resourceclaims/status resourceclaimtemplates resourceslices",
    "scheduling.k8s.io/v1": "priorityclasses",
    "storage.k8s.io/v1": (
        "csidrivers csinodes csistoragecapacities storageclasses volumeattachments/status volumeattributesclasses"
    ),
}
"""What Kubernetes 1.36 serves in its stable versions: resources with their verbs (all, if none are named) and
subresources."""

REFUSED: Mapping[tuple[str, str, str], str] = {}
"""What is refused on purpose: (group-version, resource or resource/subresource, verb or "" for all of it) -> why."""

PASSIVE = (
    (
        "resource.k8s.io/v1: all",
        "no driver publishes devices here, and the scheduler allocates none; selectors are compiled",
    ),
    (
        "storage.k8s.io/v1: csidrivers, csinodes, csistoragecapacities, volumeattachments, volumeattributesclasses",
        "no CSI drivers run on the nodes",
    ),
    ("networking.k8s.io/v1: ingresses", "an ingress controller of one's own serves them, as in Kubernetes"),
    (
        "networking.k8s.io/v1: ipaddresses, servicecidrs",
        "addresses of services are kept beside the services, per tenant",
    ),
    ("networking.k8s.io/v1: networkpolicies", "tenants are apart without them; within a tenant they are not enforced"),
    ("v1: podtemplates", "nothing reads them, as in Kubernetes"),
)
"""Kinds that are validated, stored and watched, and that nothing here acts on."""

_UNSTABLE = (
    "Alpha and beta versions are not served: what they are for changes from minor to minor. Two are, since clients "
    "have nothing else: SelfSubjectReview of `authentication.k8s.io/v1beta1` for kubectl 1.27, and "
    "`metrics.k8s.io/v1beta1`."
)

_FORMS = (
    ("JSON", "requests and answers", "everything"),
    (
        "protobuf",
        "requests and answers, watches too",
        "all kinds of Kubernetes; Tables are JSON or YAML, as there; what Arktos adds travels in JSON and YAML only, "
        "and stays as it is when a client that speaks protobuf writes",
    ),
    ("YAML", "requests and answers", "everything but watches, as in Kubernetes"),
    ("CBOR", "refused (415, 406)", "it is off by default in Kubernetes, too"),
    ("Table, PartialObjectMetadata", "answers and watches", "every resource"),
    (
        "JSON patch, merge patch, strategic merge patch, apply",
        "PATCH",
        "every resource and subresource that is patched",
    ),
)


@dataclass
class Resource:
    """A resource as one server has it."""

    verbs: tuple[str, ...]
    subresources: dict[str, tuple[str, ...]] = field(default_factory=dict)
    kind: str = ""
    scope: str = ""


Served = dict[str, dict[str, Resource]]
"""Resources by group-version and plural name."""


def expected() -> Served:
    """What Kubernetes serves."""
    found: Served = {}
    for group_version, text in KUBERNETES.items():
        rows = found[group_version] = {}
        for entry in text.split():
            head, *subresources = entry.split("/")
            plural, _, verbs = head.partition("=")
            rows[plural] = Resource(
                tuple(verbs.split(",")) if verbs else ALL, {name: SUBRESOURCES[name] for name in subresources}
            )
    return found


def served(read: Read) -> Served:
    """What a running server says that it serves; `read` gets a document by path."""
    versions = ["v1", *(v["groupVersion"] for group in read("/apis")["groups"] for v in group["versions"])]
    found: Served = {}
    for group_version in versions:
        path = f"/{'apis' if '/' in group_version else 'api'}/{group_version}"
        rows = found[group_version] = {}
        listed = sorted(read(path)["resources"], key=lambda row: str(row["name"]).count("/"))
        for row in listed:
            plural, slash, subresource = row["name"].partition("/")
            if slash:
                rows[plural].subresources[subresource] = tuple(row["verbs"])
            else:
                scope = _scope(group_version, plural)
                rows[plural] = Resource(tuple(row["verbs"]), {}, row["kind"], scope)
    return found


def _scope(group_version: str, plural: str) -> str:
    group, _, version = group_version.rpartition("/")
    kind = registry.lookup(group, version, plural)
    assert kind is not None
    return {Scope.CLUSTER: "cluster", Scope.TENANT: "tenant", Scope.NAMESPACE: "namespace"}[kind.scope]


def missing(ours: Served) -> Iterator[tuple[str, str, str]]:
    """What Kubernetes serves and this server does not: (group-version, resource, verb or "" for all of it)."""
    for group_version, rows in expected().items():
        for plural, wanted in rows.items():
            has = ours.get(group_version, {}).get(plural)
            if has is None:
                yield group_version, plural, ""
                continue
            yield from ((group_version, plural, verb) for verb in wanted.verbs if verb not in has.verbs)
            for name, verbs in wanted.subresources.items():
                there = has.subresources.get(name)
                if there is None:
                    yield group_version, f"{plural}/{name}", ""
                else:
                    yield from ((group_version, f"{plural}/{name}", verb) for verb in verbs if verb not in there)


def render(ours: Served) -> str:
    """The page."""
    theirs, lines = expected(), [_HEAD]
    for group_version in sorted(ours, key=lambda name: ("/" in name, name)):
        lines += [
            f"### {group_version}",
            "",
            "| resource | kind | of a | verbs | subresources |",
            "|---|---|---|---|---|",
        ]
        for plural, row in sorted(ours[group_version].items()):
            known = theirs.get(group_version, {}).get(plural)
            mark = "" if known is not None or group_version not in theirs else " *"
            subresources = ", ".join(
                f"{name}{'' if known and name in known.subresources else ' *'} ({', '.join(verbs)})"
                for name, verbs in sorted(row.subresources.items())
            )
            verbs = "all" if set(row.verbs) == set(ALL) else ", ".join(sorted(row.verbs))
            lines.append(f"| {plural}{mark} | {row.kind} | {row.scope} | {verbs} | {subresources} |")
        lines.append("")
    lines += ["## Refused", "", "| what | verbs | why |", "|---|---|---|"]
    for group_version, plural, verb in missing(ours):
        lines.append(f"| {group_version} {plural} | {verb or 'all'} | {REFUSED[group_version, plural, verb]} |")
    lines += [f"| alpha and beta versions | all | {_UNSTABLE} |", "", "## Stored only", ""]
    lines += ["Validated, stored and watched; nothing here acts on them.", "", "| what | why |", "|---|---|"]
    lines += [*(f"| {what} | {why} |" for what, why in PASSIVE), "", "## Encodings and representations", ""]
    lines += ["| what | where | of what |", "|---|---|---|"]
    lines += [f"| {name} | {where} | {of} |" for name, where, of in _FORMS]
    return "\n".join(lines) + "\n"


_HEAD = """# Conformance

What of the Kubernetes 1.36 API is served. Written by `scripts/write_conformance.py` from the discovery of a running
server; the tests keep it true: `ARKTOS_WRITE_DOCS=1 pytest tests/system/test_conformance.py` writes it anew. Every verb
of every resource here is called by `tests/apiserver/test_every_verb.py`.

Marked with `*`: what Arktos adds to a group-version of Kubernetes. *All* verbs are create, delete, deletecollection,
get, list, patch, update and watch. Resources that are *of a tenant* look cluster-scoped to Kubernetes' clients, each of
which sees its own tenant's.

## Served
"""


async def _from(kubeconfig: str) -> Served:
    async with Client.from_kubeconfig(kubeconfig) as client:
        documents = {"/apis": await client.request("GET", "/apis")}
        paths = [f"/apis/{v['groupVersion']}" for group in documents["/apis"]["groups"] for v in group["versions"]]
        for path in ["/api/v1", *paths]:
            documents[path] = await client.request("GET", path)
    return served(documents.__getitem__)


if __name__ == "__main__":
    TARGET.write_text(render(asyncio.run(_from(sys.argv[1] if len(sys.argv) > 1 else ""))))
