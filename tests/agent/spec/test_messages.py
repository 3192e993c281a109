"""Sandboxes and containers as runtimes are asked to make them."""

from __future__ import annotations

import json
from typing import Any

from agent.spec.pods import FACTS, container, pod, resources
from arktos.agent.spec.container import container_config, container_hash
from arktos.agent.spec.sandbox import port_mappings, sandbox_config
from arktos.agent.spec.security import ImageUser
from arktos.rpc.protos import cri_pb2 as pb

OWN = {
    "io.kubernetes.pod.name": "web",
    "io.kubernetes.pod.namespace": "shop",
    "io.kubernetes.pod.uid": "u-1",
    "io.kubernetes.pod.tenant": "acme",
}


def test_a_sandbox() -> None:
    holder = container(ports=[{"containerPort": 80, "hostPort": 8080}], **resources(limits={"memory": "1Gi"}))
    stated = {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "0"}]}
    meta = {"labels": {"app": "web", "io.kubernetes.pod.uid": "forged"}, "annotations": {"a": "b"}}
    config = sandbox_config(
        pod(holder, meta=meta, securityContext=stated),
        attempt=3,
        facts=FACTS,
        cgroup_parent="/arktos/kubepods/burstable/podu-1",
        log_directory="/var/log/pods/acme_shop_web_u-1",
        hostname="web",
    )
    assert config.metadata == pb.PodSandboxMetadata(name="web", namespace="shop", uid="u-1", attempt=3)
    # Whose a sandbox is cannot be changed by the pod's own labels.
    assert dict(config.labels) == {"app": "web", **OWN}
    assert dict(config.annotations) == {"a": "b"}
    assert config.linux.cgroup_parent == "/arktos/kubepods/burstable/podu-1"
    assert dict(config.linux.sysctls) == {"net.ipv4.tcp_syncookies": "0"}
    assert config.linux.resources.memory_limit_in_bytes == 1 << 30
    assert not config.linux.HasField("overhead")
    assert config.dns_config.servers == ["10.96.0.10"]
    assert list(config.port_mappings) == [pb.PortMapping(protocol=pb.TCP, container_port=80, host_port=8080)]


def test_port_mappings() -> None:
    ports = [
        {"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "127.0.0.1"},
        {"containerPort": 80},
        {"containerPort": 81, "hostPort": 81},
        {"containerPort": 81, "hostPort": 81},
    ]
    found = port_mappings(pod(container(ports=ports)))
    assert [(each.protocol, each.host_ip, each.host_port) for each in found] == [
        (pb.UDP, "127.0.0.1", 53),
        (pb.TCP, "", 81),
    ]
    assert port_mappings(pod(container(ports=ports), hostNetwork=True)) == []


def configured(holder: dict[str, Any], **spec: Any) -> pb.ContainerConfig:
    return container_config(
        pod(holder, **spec),
        holder,
        restart_count=2,
        image_ref="sha256:0a",
        image_user=ImageUser(),
        environment=[("HOME", "/root"), ("X", "1")],
        mounts=[pb.Mount(container_path="/d", host_path="/h")],
        facts=FACTS,
    )


def test_a_container() -> None:
    holder = container(
        command=["sh", "-c"],
        args=["echo $(X) $(Y)"],
        workingDir="/work",
        stdin=True,
        tty=True,
        ports=[{"containerPort": 80}],
        terminationMessagePath="/dev/termination-log",
        lifecycle={"preStop": {"exec": {"command": ["true"]}}, "stopSignal": "SIGUSR1"},
    )
    made = configured(holder, terminationGracePeriodSeconds=5)
    assert made.metadata == pb.ContainerMetadata(name="app", attempt=2)
    assert (made.image.image, made.image.user_specified_image) == ("sha256:0a", "registry.example/app:1")
    assert (list(made.command), list(made.args)) == (["sh", "-c"], ["echo 1 $(Y)"])
    assert [(each.key, each.value) for each in made.envs] == [("HOME", "/root"), ("X", "1")]
    assert (made.working_dir, made.log_path, made.stdin, made.stdin_once, made.tty) == (
        "/work",
        "app/2.log",
        True,
        False,
        True,
    )
    assert dict(made.labels) == {**OWN, "io.kubernetes.container.name": "app"}
    assert made.stop_signal == pb.SIGUSR1 and len(made.mounts) == 1
    annotations = dict(made.annotations)
    assert json.loads(annotations.pop("io.kubernetes.container.preStopHandler")) == {
        "preStop": {"exec": {"command": ["true"]}}
    }
    assert annotations == {
        "io.kubernetes.container.hash": container_hash(holder),
        "io.kubernetes.container.restartCount": "2",
        "io.kubernetes.container.terminationMessagePath": "/dev/termination-log",
        "io.kubernetes.container.terminationMessagePolicy": "File",
        "io.kubernetes.container.ports": '[{"containerPort":80}]',
        "io.kubernetes.pod.terminationGracePeriod": "5",
    }


def test_the_default_grace_period_is_kept_and_zero_is_not_nothing() -> None:
    key = "io.kubernetes.pod.terminationGracePeriod"
    assert configured(container()).annotations[key] == "30"
    assert configured(container(), terminationGracePeriodSeconds=0).annotations[key] == "0"


def test_the_hash_changes_with_the_image_alone() -> None:
    base = container_hash(container())
    assert container_hash(container(env=[{"name": "A"}], **resources({"cpu": "1"}))) == base
    assert container_hash({**container(), "image": "other"}) != base
