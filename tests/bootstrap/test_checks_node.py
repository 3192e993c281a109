"""The doctor's checks of what a node needs, on machines that lack it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arktos.bootstrap.checks import Finding, Level, kernel, machine, needs, running, together
from arktos.bootstrap.components import Settings
from arktos.bootstrap.layout import Layout
from arktos.bootstrap.nodes import Need, NodeSettings

V1 = ("cpu,cpuacct", "memory", "pids")


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def node_settings(folder: Path, **more: Any) -> Settings:
    node = NodeSettings("n1", "192.0.2.7", "https://127.0.0.1:1", "10.96.0.10", **more)
    return Settings(str(folder), node=node)


# those who wait for the checks


def test_what_hangs_is_not_waited_for() -> None:
    never = threading.Event()

    def hangs() -> Iterator[Finding]:
        yield Finding("before", Level.OK, "told")
        never.wait()

    def breaks() -> Iterator[Finding]:
        raise PermissionError(13, "no")
        yield

    began = time.monotonic()
    found = list(together([("slow", hangs), ("broken", breaks), ("quick", lambda: [Finding("q", Level.OK, "")])], 0.1))
    assert time.monotonic() - began < 2
    assert [(each.name, each.level) for each in found] == [
        ("slow", Level.WARN),
        ("before", Level.OK),
        ("broken", Level.WARN),
        ("q", Level.OK),
    ]
    assert "hangs" in found[0].text and "PermissionError" in found[2].text
    never.set()


# the kernel


@pytest.mark.parametrize(
    ("files", "level"),
    [
        ({"proc/filesystems": "nodev\tsysfs\nnodev\toverlay\n"}, Level.OK),
        ({f"lib/modules/{os.uname().release}/modules.dep": "kernel/fs/overlayfs/overlay.ko.xz:\n"}, Level.OK),
        ({"proc/filesystems": "\text4\n"}, Level.BAD),
    ],
)
def test_overlay(tmp_path: Path, files: dict[str, str], level: Level) -> None:
    assert kernel.overlay(Level.BAD, write(tmp_path, files)).level is level


@pytest.mark.parametrize(
    ("files", "level", "words"),
    [
        ({"cgroup.controllers": "cpuset cpu io memory pids\n"}, Level.OK, "v2"),
        ({"cgroup.controllers": "cpuset cpu io pids\n"}, Level.BAD, "without memory"),
        ({f"{name}/cgroup.procs": "" for name in V1}, Level.OK, "v1"),
        ({f"{name}/cgroup.procs": "" for name in V1[1:]}, Level.BAD, "without cpu"),
        ({}, Level.BAD, "nothing is mounted"),
    ],
)
def test_cgroups(tmp_path: Path, files: dict[str, str], level: Level, words: str) -> None:
    write(tmp_path, {f"sys/fs/cgroup/{name}": content for name, content in files.items()})
    found = kernel.cgroups(Level.BAD, tmp_path)
    assert found.level is level and words in found.text
    assert bool(found.advice) is (level is Level.BAD)


def test_why_guests_are_emulated(tmp_path: Path) -> None:
    (tmp_path / "sys/module/kvm_pvm").mkdir(parents=True)
    assert "kvm_pvm" in kernel.why_emulated(tmp_path)[0]
    (tmp_path / "sys/module/kvm_pvm").rmdir()
    write(tmp_path, {"proc/cpuinfo": "flags\t: fpu sse\n"})
    assert "hardware virtualization" in kernel.why_emulated(tmp_path)[0]
    write(tmp_path, {"proc/cpuinfo": "flags\t: fpu svm\n"})
    assert kernel.why_emulated(tmp_path) == ("there is no /dev/kvm", "modprobe kvm_amd")


def test_no_permission_for_kvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"dev/kvm": ""})
    (tmp_path / "sys/module/kvm_intel").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda *_: False)
    why, advice = kernel.why_emulated(tmp_path)
    assert "may not be opened" in why and "usermod" in advice


@pytest.mark.parametrize(("bits", "level"), [("000001ffffffffff", Level.OK), ("000001fffeffffff", Level.WARN)])
def test_the_capability_to_go_below_zero(tmp_path: Path, bits: str, level: Level) -> None:
    write(tmp_path, {"proc/self/status": f"Name:\tx\nCapBnd:\t{bits}\n"})
    assert kernel.resource_capability(tmp_path).level is level


def test_forwarding_that_cannot_be_turned_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"proc/sys/net/ipv4/ip_forward": "0\n"})
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert kernel.forwarding(Level.BAD, tmp_path).level is Level.OK
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert kernel.forwarding(Level.BAD, tmp_path).level is Level.BAD
    write(tmp_path, {"proc/sys/net/ipv4/ip_forward": "1\n"})
    assert kernel.forwarding(Level.BAD, tmp_path).text == "on"


def test_a_trial_that_fails_says_what_is_missing_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "tried", lambda command: "Operation not supported" if "veth" in command else None)
    monkeypatch.setattr(kernel, "program", lambda name: f"/sbin/{name}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    bad = [each for each in kernel.links(Level.BAD) if each.level is Level.BAD]
    assert [each.name for each in bad] == ["veth"]
    assert "Operation not supported" in bad[0].text and bad[0].advice.startswith("modprobe veth")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert {each.level for each in kernel.links(Level.BAD)} == {Level.OK}


# the machine


def test_programs_and_the_packages_that_bring_them(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = (Need("qemu-img", "qemu-utils", "virtual machines"),)
    monkeypatch.setattr(needs, "missing", lambda asked: lacking if asked is needs.VM_NEEDS else [])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = {(each.name, each.level): each for each in needs.findings(Level.WARN)}
    assert found["program", Level.WARN].advice == "apt-get install qemu-utils"
    assert found["root", Level.WARN].advice == "sudo arktos up"


def test_those_who_drop_what_is_forwarded() -> None:
    def chain(family: str, table: str, **more: str) -> dict[str, object]:
        return {"family": family, "table": table, "name": "FORWARD", "hook": "forward", "policy": "drop", **more}

    chains = [
        chain("ip", "filter"),
        chain("inet", "arktos"),
        chain("inet", "arktos-services"),
        chain("ip", "quiet", policy="accept"),
        chain("ip", "other", hook="input"),
        {"family": "ip", "table": "filter", "name": "DOCKER"},
    ]
    assert needs.foreign_droppers(chains) == ["chain FORWARD of table ip filter"]


def test_inodes_and_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)

    class Full:
        f_bavail, f_frsize, f_files, f_favail = 1 << 40, real.f_frsize, 100, 7

    monkeypatch.setattr(os, "statvfs", lambda _: Full)
    assert "7 inodes free" in machine.space(tmp_path).text
    Full.f_bavail = 0
    assert machine.space(tmp_path).level is Level.WARN and "0 MiB" in machine.space(tmp_path).text
    Full.f_bavail, Full.f_files, Full.f_favail = 1 << 40, 0, 0
    assert machine.space(tmp_path).level is Level.OK


def test_name_servers(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    (none,) = needs.name_servers(path)
    assert none.level is Level.WARN
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)

        def answer() -> None:
            question, asker = server.recvfrom(512)
            server.sendto(question[:2] + b"\x81\x80" + question[4:], asker)

        thread = threading.Thread(target=answer)
        thread.start()
        path.write_text("# ours\nnameserver 127.0.0.1\nnameserver 127.0.0.9\nsearch example.com\n")
        silent, answering = needs.name_servers(path, server.getsockname()[1])
        thread.join()
    assert silent.level is Level.WARN and silent.text.startswith("127.0.0.9 does not answer")
    assert (answering.level, answering.text) == (Level.OK, "127.0.0.1 answers")


# a node at work


def test_a_runtime_that_hangs_and_one_that_is_gone(tmp_path: Path) -> None:
    settings = node_settings(tmp_path)
    layout = Layout(tmp_path)
    layout.run.mkdir()
    layout.cni_conf.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(layout.containerd_socket))
        hanging.listen()
        began = time.monotonic()
        found = {each.name: each for each in running.runtimes(settings)}
    assert time.monotonic() - began < 4
    assert found["containerd socket"].level is Level.BAD
    assert "containerd.sock does not answer: " in found["containerd socket"].text
    assert found["vmruntime socket"].text.endswith("is missing: it does not run")
    assert found["pod network"].level is Level.BAD


def test_image_servers(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        settings = node_settings(
            tmp_path,
            registry_mirrors=(f"docker.io=http://127.0.0.1:{port}",),
            image_mirrors=(f"https://images.example.com=http://127.0.0.1:{port}/images",),
            insecure_registries=("127.0.0.1:1",),
        )
        found = running.image_servers(settings)
    assert [(each.level, each.text.split()[0]) for each in found] == [
        (Level.WARN, "127.0.0.1:1"),
        (Level.OK, f"127.0.0.1:{port}"),
    ]
    assert running.image_servers(node_settings(tmp_path)) == []


@pytest.mark.parametrize(
    ("mirror", "server"),
    [
        ("docker.io=https://mirror.example.com", ("mirror.example.com", 443)),
        ("docker.io=http://mirror.example.com/v2", ("mirror.example.com", 80)),
        ("docker.io=mirror.example.com:5000/x", ("mirror.example.com", 5000)),
        ("docker.io=http://[::1]:5000", ("::1", 5000)),
    ],
)
def test_where_a_mirror_is(tmp_path: Path, mirror: str, server: tuple[str, int]) -> None:
    node = node_settings(tmp_path, registry_mirrors=(mirror,)).node
    assert node is not None and running.configured(node) == {server}


def test_what_a_nodes_conditions_come_to() -> None:
    def conditions(**statuses: str) -> dict[str, Any]:
        told = [{"type": kind, "status": status, "message": f"of {kind}"} for kind, status in statuses.items()]
        return {"metadata": {"name": "n1"}, "status": {"conditions": told}}

    (well,) = running.judged(conditions(Ready="True", DiskPressure="False", VmRuntimeReady="True"))
    assert (well.level, well.text) == (Level.OK, "n1 is Ready")
    ill = list(running.judged(conditions(Ready="False", DiskPressure="True", VmRuntimeReady="False")))
    assert [each.level for each in ill] == [Level.BAD, Level.WARN, Level.WARN]
    assert ill[0].text == "n1 is not Ready: of Ready"
    assert ill[1].text == "n1: DiskPressure is True: of DiskPressure"
    (silent,) = running.judged({"metadata": {"name": "n1"}})
    assert silent.level is Level.BAD


def test_an_api_that_nobody_serves(tmp_path: Path) -> None:
    (unreadable,) = running.node(node_settings(tmp_path))
    assert unreadable.level is Level.WARN
    path = Layout(tmp_path).component_kubeconfig("agent")
    path.parent.mkdir()
    path.write_text("not a kubeconfig")
    (damaged,) = running.node(node_settings(tmp_path))
    assert damaged.level is Level.BAD and damaged.advice
