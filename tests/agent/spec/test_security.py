"""Security contexts, and what a node refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.spec.pods import FACTS, container, pod
from arktos.agent.spec.facts import ConfigError
from arktos.agent.spec.refusal import Refusal, refusal
from arktos.agent.spec.security import ImageUser, container_context, namespaces, sandbox_context, sysctls
from arktos.rpc.protos import cri_pb2 as pb

ROOT = ImageUser()


def context(own: dict[str, Any], user: ImageUser = ROOT, **spec: Any) -> pb.LinuxContainerSecurityContext:
    holder = container(securityContext=own)
    return container_context(pod(holder, **spec), holder, user, FACTS)


def test_defaults() -> None:
    made = context({})
    assert made.run_as_user.value == 0 and not made.HasField("run_as_group")
    assert not made.privileged and not made.no_new_privs and not made.readonly_rootfs
    assert made.seccomp.profile_type == pb.SecurityProfile.Unconfined
    assert "/proc/kcore" in made.masked_paths and "/proc/sys" in made.readonly_paths
    assert not made.HasField("apparmor")


def test_the_container_comes_before_the_pod_before_the_image() -> None:
    assert context({"runAsUser": 5}, ImageUser(7), securityContext={"runAsUser": 6}).run_as_user.value == 5
    assert context({}, ImageUser(7), securityContext={"runAsUser": 6, "runAsGroup": 8}).run_as_group.value == 8
    assert context({}, ImageUser(7)).run_as_user.value == 7
    named = context({}, ImageUser(None, "nobody"))
    assert named.run_as_username == "nobody" and not named.HasField("run_as_user")


def test_everything_that_is_stated_arrives() -> None:
    made = context(
        {
            "privileged": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
            "procMount": "Unmasked",
            "seccompProfile": {"type": "Localhost", "localhostProfile": "a/b.json"},
            "seLinuxOptions": {"level": "s0:c1"},
        },
        securityContext={"fsGroup": 9, "supplementalGroups": [3, 9], "supplementalGroupsPolicy": "Strict"},
    )
    assert made.privileged and made.readonly_rootfs and made.no_new_privs
    assert (list(made.capabilities.add_capabilities), list(made.capabilities.drop_capabilities)) == (
        ["NET_ADMIN"],
        ["ALL"],
    )
    assert not made.masked_paths and not made.readonly_paths
    assert made.seccomp.localhost_ref == "/srv/seccomp/a/b.json"
    assert made.selinux_options.level == "s0:c1"
    assert list(made.supplemental_groups) == [3, 9] and made.supplemental_groups_policy == pb.Strict


@pytest.mark.parametrize("profile", ["../x", "a/../../x", "/etc/x", ""])
def test_seccomp_profiles_stay_in_their_directory(profile: str) -> None:
    with pytest.raises(ConfigError):
        context({"seccompProfile": {"type": "Localhost", "localhostProfile": profile}})


@pytest.mark.parametrize(
    ("own", "user", "message"),
    [
        ({"runAsUser": 0}, ImageUser(5), "container's runAsUser breaks non-root policy"),
        ({}, ImageUser(0), "container has runAsNonRoot and image will run as root"),
        (
            {},
            ImageUser(None, "web"),
            "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root",
        ),
    ],
)
def test_root_is_refused_where_it_must_not_be(own: dict[str, Any], user: ImageUser, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        context(own, user, securityContext={"runAsNonRoot": True})
    assert caught.value.message == f'{message} (pod: "web_shop(u-1)", container: app)'
    assert caught.value.reason == "CreateContainerConfigError"


def test_non_root_is_let_through() -> None:
    assert context({"runAsUser": 1, "runAsNonRoot": True}, ImageUser(0)).run_as_user.value == 1
    assert context({"runAsNonRoot": True}, ImageUser(12)).run_as_user.value == 12
    assert context({"runAsNonRoot": False}, ImageUser(0), securityContext={"runAsNonRoot": True}).run_as_user.value == 0


@pytest.mark.parametrize(
    ("spec", "target", "expected"),
    [
        ({}, "", (pb.POD, pb.CONTAINER, pb.POD)),
        ({"hostNetwork": True, "hostPID": True, "hostIPC": True}, "", (pb.NODE, pb.NODE, pb.NODE)),
        ({"shareProcessNamespace": True}, "c1", (pb.POD, pb.POD, pb.POD)),
        ({}, "c1", (pb.POD, pb.TARGET, pb.POD)),
    ],
)
def test_namespaces(spec: dict[str, Any], target: str, expected: tuple[int, int, int]) -> None:
    made = namespaces(pod(**spec), target)
    assert (made.network, made.pid, made.ipc) == expected
    assert made.target_id == ("c1" if made.pid == pb.TARGET else "")


def test_the_sandbox_is_confined_and_privileged_only_if_a_container_is() -> None:
    made = sandbox_context(pod(securityContext={"runAsUser": 4, "seccompProfile": {"type": "Unconfined"}}), [7])
    assert made.seccomp.profile_type == pb.SecurityProfile.RuntimeDefault
    assert made.run_as_user.value == 4 and not made.privileged and list(made.supplemental_groups) == [7]
    assert sandbox_context(pod(container(securityContext={"privileged": True}))).privileged


def test_sysctls_with_slashes() -> None:
    stated = [{"name": "net/ipv4/tcp_syncookies", "value": "1"}, {"name": "net/a.b/c", "value": "2"}]
    assert sysctls(pod(securityContext={"sysctls": stated})) == {"net.ipv4.tcp_syncookies": "1", "net.a/b.c": "2"}


def _sysctl(name: str, **spec: Any) -> dict[str, Any]:
    return pod(securityContext={"sysctls": [{"name": name, "value": "1"}]}, **spec)


@pytest.mark.parametrize(
    ("described", "refused"),
    [
        (pod(), None),
        (_sysctl("net.ipv4.tcp_syncookies"), None),
        (_sysctl("kernel.msgmax"), Refusal("SysctlForbidden", 'forbidden sysctl: "kernel.msgmax" not allowlisted')),
        (_sysctl("net.core.somaxconn"), None),
        (
            _sysctl("net.ipv4.tcp_syncookies", hostNetwork=True),
            Refusal("SysctlForbidden", 'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled'),
        ),
        (
            _sysctl("kernel.shm_rmid_forced", hostIPC=True),
            Refusal("SysctlForbidden", 'forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host ipc enabled'),
        ),
        (
            pod(os={"name": "windows"}),
            Refusal("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"),
        ),
        (
            pod(securityContext={"appArmorProfile": {"type": "RuntimeDefault"}}),
            Refusal("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"),
        ),
        (pod(securityContext={"appArmorProfile": {"type": "Unconfined"}}), None),
        (
            pod(securityContext={"supplementalGroupsPolicy": "Strict"}),
            Refusal(
                "SupplementalGroupsPolicyNotSupported", "SupplementalGroupsPolicy=Strict is not supported in this node"
            ),
        ),
    ],
)
def test_refusals(described: dict[str, Any], refused: Refusal | None) -> None:
    assert refusal(described, replace(FACTS, allowed_sysctls=("net.core.*",))) == refused


def test_apparmor_where_there_is_some() -> None:
    facts = replace(FACTS, apparmor=True)
    annotated = {"annotations": {"container.apparmor.security.beta.kubernetes.io/app": "localhost/tight"}}
    described = pod(meta=annotated)
    made = container_context(described, described["spec"]["containers"][0], ImageUser(), facts)
    assert made.apparmor.localhost_ref == "tight" and refusal(described, facts) is None
