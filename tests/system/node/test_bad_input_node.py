"""What goes wrong outside: of each the owner is told the cause, it is tried again where that helps, and nothing of it
is left on the node.

One node, on which all of it goes wrong at once; the cases are applied together and waited for one by one.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from arktos.network.watches import LINGER

Obj = dict[str, Any]

TENANT = "acme"
MACHINES = "https://images.example.com"
REGISTRY = "registry.invalid"
"""Stands for the address of the registry beside the node, which is not known beforehand."""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0Hh8w1mYhQm9q7Yw0q3Jv1kq3zv8Qn0m5mQ8m5o1aa user@example"
WITHIN = 20.0
NOBODYS = "198.18.0.77"
"""An address on the node's wire that nobody has."""


@dataclass(frozen=True)
class Case:
    """A pod that goes wrong. `reasons` are those that its status may show, one of them must, with a message that has
    `message` in it; `events` are pairs of an event's reason and words of its message."""

    name: str
    spec: Obj
    reasons: tuple[str, ...]
    message: str
    events: tuple[tuple[str, str], ...]
    privileged: bool = False
    """Tenants may not have such pods; it is one of the operator's."""

    def pod(self) -> Obj:
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name}, "spec": self.spec}


def containers(image: str = "busybox", command: str = "sleep 1000", volume: Obj | None = None, **more: Any) -> Obj:
    """A pod's spec: one container, with one volume if there is one."""
    container = {"name": "main", "image": image, "command": ["sh", "-c", command], **more}
    spec: Obj = {"containers": [container], "terminationGracePeriodSeconds": 1}
    if volume is not None:
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        spec["volumes"] = [{"name": "data", **volume}]
    return spec


def machine(image: str, memory: str = "64Mi", **more: Any) -> Obj:
    resources = {"requests": {"cpu": "20m", "memory": memory}, "limits": {"cpu": "1", "memory": memory}}
    return {
        "virtualMachine": {"name": "vm", "image": image, "publicKey": KEY, "resources": resources, **more},
        "terminationGracePeriodSeconds": 0,
    }


def with_volume(spec: Obj, volume: Obj) -> Obj:
    spec["virtualMachine"]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    return {**spec, "volumes": [{"name": "data", **volume}]}


PULLING = ("ErrImagePull", "ImagePullBackOff")


def unpulled(name: str, image: str, message: str) -> Case:
    events = (("Failed", "Failed to pull image"), ("Failed", message), ("BackOff", "Back-off pulling image"))
    return Case(name, containers(image), PULLING, message, events)


def undelivered(name: str, image: str, message: str) -> Case:
    events = (("Failed", "Failed to pull image"), ("Failed", message), ("BackOff", "Back-off pulling image"))
    return Case(name, machine(image), PULLING, message, events)


def unmounted(name: str, volume: Obj, message: str, of_machine: bool = False) -> Case:
    spec = with_volume(machine(f"{MACHINES}/tiny.qcow2"), volume) if of_machine else containers(volume=volume)
    reasons = ("FailedMount",) if of_machine else ("ContainerCreating",)
    return Case(name, spec, reasons, message if of_machine else "", (("FailedMount", message),), "hostPath" in volume)


def probed(kind: str, **more: Any) -> Obj:
    probe = {"exec": {"command": ["sh", "-c", "echo not well; false"]}, "periodSeconds": 1, "failureThreshold": 1}
    return containers(**{kind: {**probe, **more}})


IMAGES = (
    unpulled("missing-image", f"{REGISTRY}/library/busybox:none", "not found"),
    unpulled("lost-blob", f"{REGISTRY}/library/lost-blob", "not found"),
    unpulled("no-image", f"{REGISTRY}/library/no-image", "invalid"),
    unpulled("refused", "127.0.0.1:1/team/app:1", "connection refused"),
    unpulled("nobody", f"{NOBODYS}/team/app:1", "no route to host"),
)
MACHINE_IMAGES = (
    undelivered("vm-missing", f"{MACHINES}/none.qcow2", "has no http"),
    undelivered("vm-short", f"{MACHINES}/broken/short.qcow2", "broke off"),
    undelivered("vm-checksum", f"{MACHINES}/tiny.qcow2@sha256:{'0' * 64}", "SHA-256 checksum"),
    undelivered("vm-text", f"{MACHINES}/broken/text.qcow2", "neither qcow2 nor a raw disk"),
    undelivered("vm-backed", f"{MACHINES}/broken/backed.qcow2", "backing file"),
    undelivered("vm-loopback", "http://127.0.0.1:1/disk.qcow2", "loopback address"),
    undelivered("vm-link-local", "http://169.254.169.254/latest/meta-data", "link-local address"),
    undelivered("vm-own-address", "http://198.18.0.1:1/disk.qcow2", "address of this node"),
)
VOLUMES = (
    unmounted("no-configmap", {"configMap": {"name": "none"}}, 'configmap "none" not found'),
    unmounted("no-secret", {"secret": {"secretName": "none"}}, 'secret "none" not found'),
    unmounted("no-directory", {"hostPath": {"path": "/no/such", "type": "Directory"}}, "/no/such is not a directory"),
    unmounted("no-plugin", {"nfs": {"server": "nfs.example.com", "path": "/"}}, "nfs"),
    unmounted("vm-no-secret", {"secret": {"secretName": "none"}}, 'secret "none" not found', of_machine=True),
)
CONTAINERS = (
    Case(
        "no-command",
        {"containers": [{"name": "main", "image": "busybox", "command": ["/no/such/program"]}]},
        ("RunContainerError", "StartError", "CrashLoopBackOff"),
        "no such file or directory",
        (("Failed", "/no/such/program"), ("BackOff", "Back-off restarting failed container")),
    ),
    Case(
        "no-variable",
        containers(envFrom=[{"configMapRef": {"name": "none"}}]),
        ("CreateContainerConfigError",),
        'configmap "none" not found',
        (("Failed", 'configmap "none" not found'),),
    ),
    Case(
        "not-root",
        containers(securityContext={"runAsNonRoot": True}),
        ("CreateContainerConfigError",),
        "container has runAsNonRoot and image will run as root",
        (("Failed", "runAsNonRoot"),),
    ),
    Case(
        "hungry",
        containers(
            command="exec tail /dev/zero", resources={"limits": {"memory": "24Mi"}, "requests": {"memory": "24Mi"}}
        ),
        ("CrashLoopBackOff",),
        "back-off",
        (("BackOff", "Back-off restarting failed container"),),
    ),
    Case(
        "not-alive",
        probed("livenessProbe"),
        ("CrashLoopBackOff",),
        "back-off",
        (
            ("Unhealthy", "Liveness probe failed: not well"),
            ("Killing", "Container main failed liveness probe, will be restarted"),
        ),
    ),
    Case(
        "not-started",
        probed("startupProbe"),
        ("CrashLoopBackOff",),
        "back-off",
        (("Unhealthy", "Startup probe failed: not well"),),
    ),
    Case("not-ready", probed("readinessProbe"), (), "", (("Unhealthy", "Readiness probe failed: not well"),)),
)
SIZES = (
    Case("vm-huge", machine(f"{MACHINES}/tiny.qcow2", "4Ti"), ("Unschedulable",), "Insufficient memory", ()),
    Case(
        "vm-huge-here",
        {**machine(f"{MACHINES}/tiny.qcow2", "4Ti"), "nodeName": "n1"},
        ("OutOfmemory",),
        "Node didn't have enough resource: memory",
        (("OutOfmemory", "Node didn't have enough resource: memory"),),
    ),
    Case(
        "no-claim",
        containers(volume={"persistentVolumeClaim": {"claimName": "none"}}),
        ("Unschedulable",),
        'persistentvolumeclaim "none" not found',
        (),
    ),
)
CASES = (*IMAGES, *MACHINE_IMAGES, *VOLUMES, *CONTAINERS, *SIZES)


def told(pod: Obj) -> list[tuple[str, str]]:
    """Every reason with its message that a pod's status shows."""
    status = pod.get("status") or {}
    found = [(status.get("reason", ""), status.get("message", ""))]
    found += [(each.get("reason", ""), each.get("message", "")) for each in status.get("conditions", ())]
    for container in status.get("containerStatuses", ()):
        for state in (container.get("state", {}), container.get("lastState", {})):
            found += [(each.get("reason", ""), each.get("message", "")) for each in state.values()]
    return [each for each in found if each[0]]


def traces(node: Any) -> dict[str, Any]:
    """What pods leave on a machine: namespaces, links, addresses, mounts, cgroups, processes, files."""
    root = node.settings.layout.root
    here, mine = node.here, node.settings.layout.node
    ruleset = json.loads(here.run("nft", "-j", "list", "ruleset"))["nftables"]
    kinds = [each for entry in ruleset for each in entry.items() if each[0] in ("set", "map", "table", "chain")]
    cgroup = node.settings.node.cgroup_root.strip("/")
    return {
        "namespaces": len(here.run("ip", "netns", "list-id").splitlines()),
        "links": sorted(re.findall(r"^\d+: ([^:@]+)", here.run("ip", "link"), re.M)),
        "routes": sorted(here.run("ip", "route").splitlines()),
        "neighbours": sorted(re.findall(r"^(10\.\S+)", here.run("ip", "neigh"), re.M)),
        "sets": filled(kinds, of_services=False),
        "services": filled(kinds, of_services=True),
        "mounts": sorted(
            line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if str(root) in line
        ),
        "cgroups": sorted(
            path
            for controller in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*"))
            for path in below(controller / cgroup / "kubepods")
            if re.search("/pod[^/]*$", path)
        ),
        "logs": sorted(path.name for path in node.settings.layout.pod_logs.iterdir()),
        "pods": sorted(path.name for path in (mine / "agent" / "pods").iterdir()),
        "files": sorted(
            path
            for folder in ("vmruntime/machines", "vmruntime/sandboxes", "network/interfaces")
            for path in below(mine / folder)
        ),
        "addresses": addresses(mine / "network" / "pool.json"),
        "processes": sorted(shims(str(root))),
    }


def below(folder: Path) -> Iterator[str]:
    """All that is in a folder, which may be on its way out."""
    for where, folders, files in os.walk(folder):
        yield from (f"{where}/{name}" for name in (*folders, *files))


def filled(kinds: list[tuple[str, Obj]], *, of_services: bool) -> dict[str, int]:
    """How much is in each set and map of nft. Chains are left out: those that spread over endpoints of the control
    plane's own services come when they may."""
    return {
        f"{kind} {each.get('table', '')} {each['name']}": len(each.get("elem", ()))
        for kind, each in kinds
        if kind != "chain" and (each.get("table") == "arktos-services") is of_services
    }


def addresses(path: Path) -> int:
    """How many pod addresses are taken; the first that is given is the node's third, .2."""
    if not path.exists():
        return 0
    pool = json.loads(path.read_text())
    return int(pool["next"]) - 2 - len(pool["returned"])


def shims(root: str) -> list[str]:
    """Processes of pods: what holds a container, and QEMU."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if root in command and re.match(r"\S*(containerd-shim|qemu-system)", command):
            found.append(command[:120])
    return found


@pytest.fixture(scope="module")
def before(strict_node: Any) -> Obj:
    """The node without pods."""
    return traces(strict_node)


@pytest.fixture(scope="module")
def acme(strict_node: Any, before: Obj) -> Any:
    strict_node.arktos("tenant", "create", TENANT)
    return strict_node.tenant(TENANT)


@pytest.fixture(scope="module")
def owners(strict_node: Any, acme: Any) -> dict[bool, Any]:
    """kubectl of those for whom everything goes wrong at once: a tenant, and the operator (True)."""
    found = {False: acme, True: strict_node.admin}
    for privileged, kubectl in found.items():
        pods = [case.pod() for case in CASES if case.privileged is privileged]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})
        kubectl("apply", "-f", "-", input=text.replace(REGISTRY, strict_node.images["registry"]))
    return found


@pytest.fixture
def cleared(strict_node: Any, acme: Any) -> Any:
    """kubectl of a tenant, on a node that runs nothing."""
    for kubectl in (acme, strict_node.admin):
        kubectl("delete", "pods", "--all", "--timeout=60s", timeout=90)
    return acme


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_its_owner_is_told_why(owners: dict[bool, Any], case: Case, until: Callable[..., Any]) -> None:
    kubectl = owners[case.privileged]

    def shown() -> bool:
        found = told(kubectl.json("get", "pod", case.name))
        return not case.reasons or any(reason in case.reasons and case.message in message for reason, message in found)

    def happened() -> bool:
        events = kubectl.json("get", "events", f"--field-selector=involvedObject.name={case.name}")["items"]
        return all(
            any(event["reason"] == reason and words in event["message"] for event in events)
            for reason, words in case.events
        )

    try:
        until(shown, WITHIN, "the status")
        until(happened, WITHIN, "the events")
    except BaseException:
        print(json.dumps(kubectl.json("get", "pod", case.name).get("status"), indent=1))
        print(kubectl("get", "events", f"--field-selector=involvedObject.name={case.name}"))
        raise


def test_out_of_memory_is_told_as_such(owners: dict[bool, Any], until: Callable[..., Any]) -> None:
    def ends() -> list[Obj]:
        status = owners[False].json("get", "pod", "hungry")["status"]["containerStatuses"][0]
        return [each["terminated"] for each in (status["state"], status["lastState"]) if "terminated" in each]

    found = until(ends, 30, "an end")[0]
    assert (found["reason"], found["exitCode"]) == ("OOMKilled", 137)


def test_all_of_it_goes_without_a_trace(
    strict_node: Any, owners: dict[bool, Any], before: Obj, until: Callable[..., Any]
) -> None:
    for kubectl in owners.values():
        kubectl("delete", "pods", "--all", "--timeout=60s", timeout=90)

    left_clean(strict_node, before, until, tenants=True)


def left_clean(node: Any, before: Obj, until: Callable[..., Any], *, tenants: bool = False) -> None:
    """Waits until nothing is left of any pod. With `tenants`, also until their services are forgotten, which is only
    some time after a tenant's last pod has gone."""
    awaited = [name for name in before if tenants or name != "services"]

    def differing() -> Obj:
        after = traces(node)
        return {name: (before[name], after[name]) for name in awaited if before[name] != after[name]}

    try:
        until(lambda: differing() == {}, 45 + (LINGER if tenants else 0), "a clean node")
    except BaseException:
        print(json.dumps(differing(), indent=1))
        raise


@pytest.mark.parametrize("kind", ["container", "machine"])
def test_gone_while_its_image_is_on_its_way(
    strict_node: Any, cleared: Any, before: Obj, until: Callable[..., Any], kind: str
) -> None:
    name = f"slow-{kind}"
    with unanswered(strict_node):
        never = f"{strict_node.images['registry']}/library/httpd:latest"
        spec = containers(never) if kind == "container" else machine(f"{MACHINES}/broken/slow.qcow2")
        cleared("apply", "-f", "-", input=manifest(name, spec))
        until(lambda: "Pulling" in reasons(cleared, name), WITHIN, "the pull")
        cleared("delete", "pod", name, "--timeout=20s")
    left_clean(strict_node, before, until)


@contextmanager
def unanswered(node: Any) -> Iterator[None]:
    """The registry beside a node answers nobody."""
    port = node.images["registry"].rpartition(":")[2]
    rules = "add table inet test; add chain inet test input { type filter hook input priority 0; }; "
    rules += f"add rule inet test input tcp dport {port} drop"
    node.here.run("nft", rules)
    try:
        yield
    finally:
        node.here.run("nft", "delete table inet test")


def test_gone_while_its_machine_boots(strict_node: Any, cleared: Any, before: Obj, until: Callable[..., Any]) -> None:
    cleared("apply", "-f", "-", input=manifest("booting", machine(f"{MACHINES}/tiny.qcow2")))
    until(lambda: "Created" in reasons(cleared, "booting"), 60, "the machine")
    cleared("delete", "pod", "booting", "--timeout=30s")
    left_clean(strict_node, before, until)


def test_pods_that_crash_at_once_hold_up_nobody_else(
    strict_node: Any, cleared: Any, before: Obj, until: Callable[..., Any]
) -> None:
    strict_node.arktos("tenant", "create", "globex")
    globex = strict_node.tenant("globex")
    globex("run", "steady", "--image=busybox", "--", "sleep", "1000")
    globex("wait", "--for=condition=Ready", "pod/steady", "--timeout=30s")
    items = [json.loads(manifest(f"crash-{number}", containers(command="exit 1"))) for number in range(30)]
    cleared("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    slowest = 0.0
    for _ in range(10):
        began = time.monotonic()
        assert globex("exec", "steady", "--", "echo", "here") == "here\n"
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 10.0
    until(lambda: crashed(cleared) == 30, 120, "30 pods that have crashed")
    cleared("delete", "pods", "--all", "--timeout=60s", timeout=90)
    globex("delete", "pod", "steady", "--grace-period=1", "--timeout=30s")
    left_clean(strict_node, before, until)


def crashed(kubectl: Any) -> int:
    """How many containers have ended at least once."""
    found = 0
    for pod in kubectl.json("get", "pods")["items"]:
        status = next(iter(pod["status"].get("containerStatuses") or ()), {})
        found += bool(status.get("restartCount") or "terminated" in status.get("state", {}))
    return found


def manifest(name: str, spec: Obj) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def reasons(kubectl: Any, name: str) -> set[str]:
    """Of the events of a pod."""
    events = kubectl.json("get", "events", f"--field-selector=involvedObject.name={name}")["items"]
    return {event["reason"] for event in events}
