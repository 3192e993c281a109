"""What each level of the Pod Security Standards refuses, in Kubernetes' words."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.model.podsecurity import stricter, violations

_SAFE = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def one(**container: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c", **container}]}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"hostNetwork": True, "hostPID": True}, "host namespaces (hostNetwork=true, hostPID=true)"),
        (
            one(securityContext={"privileged": True}),
            'privileged (container "c" must not set securityContext.privileged=true)',
        ),
        (
            one(securityContext={"capabilities": {"add": ["SYS_ADMIN", "CHOWN"]}}),
            'non-default capabilities (container "c" must not include "SYS_ADMIN" in securityContext.capabilities.add)',
        ),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "v")'),
        (one(ports=[{"containerPort": 80, "hostPort": 80}]), 'hostPort (container "c" uses hostPort 80)'),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}, "forbidden sysctls (kernel.msgmax)"),
        (
            one(securityContext={"procMount": "Unmasked"}),
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
    ],
)
def test_what_baseline_refuses(spec: dict[str, Any], message: str) -> None:
    assert violations("baseline", spec) == [message]
    assert message in violations("restricted", spec)
    assert violations("privileged", spec) == []


def test_every_kind_of_container_counts() -> None:
    wrong = {"securityContext": {"privileged": True}}
    spec = {
        "initContainers": [{"name": "a", **wrong}],
        "containers": [{"name": "b"}],
        "ephemeralContainers": [{"name": "d", **wrong}],
    }
    assert violations("baseline", spec) == [
        'privileged (containers "a", "d" must not set securityContext.privileged=true)'
    ]


def test_what_restricted_wants() -> None:
    assert violations("baseline", one()) == []
    assert violations("restricted", one()) == [
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)',
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"])',
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)',
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")',
    ]
    assert violations("restricted", one(securityContext=_SAFE)) == []
    refused = violations("restricted", {**one(securityContext=_SAFE), "volumes": [{"name": "v", "nfs": {}}]})
    assert refused == ['restricted volume types (volume "v" uses restricted volume type "nfs")']


def test_the_stricter_of_two() -> None:
    assert stricter("privileged", "baseline") == "baseline"
    assert stricter("restricted", "baseline") == "restricted"
    assert stricter("baseline", "typo") == "typo"


def test_profiles_named_by_annotations() -> None:
    named = "container.apparmor.security.beta.kubernetes.io/"
    fine = {f"{named}a": "runtime/default", f"{named}b": "localhost/own", "other": "unconfined"}
    assert violations("baseline", {}, fine) == []
    wrong = {f"{named}a": "unconfined", **fine, f"{named}c": "unconfined"}
    assert violations("baseline", {}, wrong) == [f'forbidden AppArmor profile ({named}c="unconfined")']
    assert violations("privileged", {}, wrong) == []
