"""What a newcomer does with virtual machines: two tenants, the same names, pods that are machines beside pods that
are containers, under the same scheduler, controllers, Services and commands."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from arktos.hostnet import netns
from arktos.vmruntime.processes import running_below

IMAGE = "https://images.example.com/tiny.qcow2"
BOOT = 120.0
CLOUD_CONFIG = "#cloud-config\nruncmd:\n  - echo CLOUD-CONFIG-RAN\n"
SCRIPT = "#!/bin/sh\necho SCRIPT-RAN\n"
COUNTER = "echo $$ >/tmp/counter; n=0; while true; do n=$((n+1)); echo $n >/tmp/count; sleep 0.1; done"


@dataclass
class Guests:
    """One tenant's machines, as its kubectl and its SSH key reach them."""

    node: Any
    kubectl: Any
    key: Path
    until: Callable[..., Any]

    def template(self, **machine: Any) -> dict[str, Any]:
        return {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 20,
            "virtualMachine": {
                "name": "vm",
                "image": IMAGE,
                "publicKey": self.key.with_suffix(".pub").read_text().strip(),
                "resources": {"limits": {"cpu": "200m", "memory": "128Mi"}},
                **machine,
            },
        }

    def make(self, name: str, *, spec: dict[str, Any] | None = None, **machine: Any) -> None:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}}
        pod["spec"] = {**self.template(**machine), **(spec or {})}
        self.kubectl("create", "-f", "-", input=json.dumps(pod))

    def pod(self, name: str) -> Any:
        return self.kubectl.json("get", "pod", name)

    def address(self, name: str) -> str:
        return str(self.pod(name)["status"]["podIP"])

    def status(self, name: str) -> Any:
        return self.pod(name)["status"].get("virtualMachineStatus") or {}

    def column(self, name: str) -> str:
        """What `kubectl get pods` has under STATUS."""
        return str(self.kubectl("get", "pod", name, "--no-headers").split()[2])

    def until_power(self, name: str, power: str) -> Any:
        def look() -> Any:
            found = self.status(name)
            return found.get("powerState") == power and found

        return self.until(look, BOOT, f"{name} is {power}")

    def said(self, name: str) -> str:
        done = self.kubectl.run("logs", name)
        return str(done.stdout) if done.returncode == 0 else ""

    def until_said(self, name: str, text: str, times: int = 1) -> str:
        def look() -> str:
            found = self.said(name)
            return found if found.count(text) >= times else ""

        return str(self.until(look, BOOT, f"{text!r} on {name}'s console"))

    def ssh_at(self, address: str, command: str) -> subprocess.CompletedProcess[str]:
        options = ["-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-oBatchMode=yes"]
        options += ["-oConnectTimeout=10", "-oLogLevel=ERROR", "-oIdentitiesOnly=yes"]
        words = [*self.node.here.within, "ssh", "-F", "none", "-i", str(self.key), *options, f"root@{address}", command]
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    def ssh(self, name: str, command: str) -> str:
        """What a command prints inside; waits for the guest to take it."""
        address = self.address(name)
        done: list[subprocess.CompletedProcess[str]] = []

        def tried() -> bool:
            done[:] = [self.ssh_at(address, command)]
            return bool(done[0].returncode == 0)

        self.until(tried, 60, f"{command!r} in {name}")
        return str(done[0].stdout).strip()

    def count(self, name: str) -> int:
        """How far the counter inside has come."""
        return int(self.ssh(name, "cat /tmp/count || true") or 0)

    def counts_beyond(self, name: str, count: int) -> None:
        self.until(lambda: self.count(name) > count, 30, f"the counter in {name} has passed {count}")

    def events(self, name: str) -> dict[str, str]:
        found = self.kubectl.json("get", "events", "--field-selector", f"involvedObject.name={name}")["items"]
        return {each["reason"]: each["message"] for each in found}

    def warned(self, name: str, reason: str, message: str) -> bool:
        """Whether some event of a pod has this reason and this in its message."""
        found = self.kubectl.json("get", "events", "--field-selector", f"involvedObject.name={name},reason={reason}")
        return any(message in each["message"] for each in found["items"])

    # actions

    def act(self, name: str, operation: str, **params: Any) -> Any:
        """The status of an Action made through the pod's subresource, once it is over."""
        body = json.dumps({"kind": "CustomAction", "apiVersion": "v1", "operation": operation, **params})
        path = f"/api/v1/namespaces/default/pods/{name}/action"
        made = json.loads(self.kubectl("create", "--raw", path, "-f", "-", input=body))
        return self.result(made["details"]["name"])

    def result(self, action: str) -> Any:
        def over() -> Any:
            status = self.kubectl.json("get", "action", action).get("status") or {}
            return status if status.get("complete") else None

        return self.until(over, BOOT, f"action {action} is over")

    def vm(self, *arguments: str) -> str:
        return str(self.kubectl("vm", *arguments, timeout=BOOT))

    @property
    def machines(self) -> Path:
        return Path(self.node.settings.layout.root, "node", "vmruntime", "machines")

    def qemu(self, name: str) -> int:
        """The pid of a machine's process; 0 if it has none."""
        return running_below(self.machines).get(self.status(name).get("virtualMachineId", ""), 0)

    def namespace(self, name: str) -> Path:
        record = self.machines / self.status(name)["virtualMachineId"] / "record.json"
        return netns.FOLDER / f"arktos-vm-{json.loads(record.read_text())['sandbox_id']}"


def coded(text: str, times: int = 1) -> str:
    for _ in range(times):
        text = base64.b64encode(text.encode()).decode()
    return text


@pytest.fixture(scope="module")
def tenants(
    shared_node: Any, until: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Guests]]:
    """Each tenant with a machine `web` and a container pod `probe`. The plugins of kubectl are on PATH."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        for name in ("acme", "globex"):
            shared_node.arktos("tenant", "create", name)
            key = tmp_path_factory.mktemp("keys") / name
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
            found[name] = Guests(shared_node, shared_node.tenant(name), key, until)
            found[name].kubectl("run", "probe", "--image=busybox", "--", "sleep", "3600")
        found["acme"].make("web", spec={"hostname": "front"}, userData=coded(CLOUD_CONFIG))
        found["globex"].make("web", userData=coded(SCRIPT, 2))
        found["globex"].make("once", userData=coded("#!/bin/sh\npoweroff\n"), shutdownBehavior="terminate")
        for guests in found.values():
            guests.until_said("web", "GUEST-READY")
            guests.kubectl("wait", "--for=condition=Ready", "pod/probe", "pod/web", "--timeout=60s")
        yield found


@pytest.fixture(scope="module")
def acme(tenants: dict[str, Guests]) -> Guests:
    return tenants["acme"]


@pytest.fixture(scope="module")
def globex(tenants: dict[str, Guests]) -> Guests:
    return tenants["globex"]


# A machine is a pod


def test_machines_are_listed_beside_containers(acme: Guests) -> None:
    lines = acme.kubectl("get", "pods", "-o", "wide").splitlines()
    assert lines[0].split()[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    rows = {line.split()[0]: line.split() for line in lines[1:]}
    for name in ("probe", "web"):
        assert rows[name][1:4] == ["1/1", "Running", "0"], rows
        assert rows[name][6] == "n1"
    for name in ("probe", "web"):
        assert acme.events(name)["Scheduled"].endswith(f"default/{name} to n1")
    assert {"Pulled", "Created", "Started"} <= set(acme.events("web"))


def test_the_guest_has_the_pods_address_and_name(tenants: dict[str, Guests]) -> None:
    for name, host in (("acme", "front"), ("globex", "web")):
        said = tenants[name].until_said("web", "GUEST-READY")
        matched = re.search(r"GUEST-READY host=(\S+) boot=1 ip=(\S+)/\d+", said)
        assert matched and matched.groups() == (host, tenants[name].address("web")), said[-500:]


def test_boot_data_coded_once_and_twice(tenants: dict[str, Guests]) -> None:
    assert "CLOUD-CONFIG-RAN" in tenants["acme"].said("web")
    assert "SCRIPT-RAN" in tenants["globex"].said("web")


def test_ssh_with_the_key_of_the_pod(acme: Guests, globex: Guests) -> None:
    assert acme.ssh("web", "hostname") == "front"
    assert globex.ssh_at(acme.address("web"), "true").returncode == 255


def test_only_its_own_tenant_reaches_it(acme: Guests, globex: Guests) -> None:
    address = acme.address("web")
    seen = [
        ("ping", "-c1", "-W2", address),
        ("timeout", "2", "wget", "-qO-", f"http://{address}/"),
        ("sh", "-c", f"sleep 1 | nc -w2 {address} 22 | head -c 4 | grep SSH-"),
    ]
    for command in seen:
        assert acme.kubectl.run("exec", "probe", "--", *command).returncode == 0, command
        assert globex.kubectl.run("exec", "probe", "--", *command).returncode != 0, command
    # From one machine to the other, too.
    fetch = f"timeout 2 wget -qO- http://{address}/ || echo refused"
    assert globex.ssh("web", fetch).endswith("refused")


def test_a_service_leads_to_it(acme: Guests, until: Callable[..., Any]) -> None:
    acme.kubectl("expose", "pod", "web", "--port=80")
    fetch = ("exec", "probe", "--", "timeout", "5", "wget", "-qO-", "http://web/")
    until(lambda: acme.kubectl.run(*fetch).returncode == 0, 20, "the service answers")
    assert "host=front" in acme.kubectl(*fetch)


def test_the_console_is_the_log(acme: Guests) -> None:
    assert "GUEST-READY host=front" in acme.kubectl("logs", "web")
    assert len(acme.kubectl("logs", "web", "--tail=3").splitlines()) == 3


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, env)
        self.seen = b""

    def type(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    def until(self, text: bytes, seconds: float = 30) -> bool:
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            if time.monotonic() > deadline:
                return False
            if select.select([self._descriptor], [], [], 0.2)[0]:
                with contextlib.suppress(OSError):
                    self.seen += os.read(self._descriptor, 65536)
        return True

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._descriptor)


def log_in(terminal: Terminal) -> None:
    """getty may have printed its prompt before anybody looked: it prints another."""
    for _ in range(10):
        terminal.type(b"\r")
        if terminal.until(b"login: ", 3):
            break
    terminal.type(b"guest\r")
    assert terminal.until(b"assword:"), terminal.seen
    terminal.type(b"guest\r")
    assert terminal.until(b"$ "), terminal.seen


@pytest.mark.parametrize("words", [("attach", "-it"), ("vm", "console")])
def test_the_serial_console(acme: Guests, words: tuple[str, ...]) -> None:
    env = {**os.environ, "HOME": str(acme.kubectl.home), "KUBECONFIG": str(acme.kubectl.kubeconfig)}
    terminal = Terminal([*acme.kubectl.within, acme.kubectl.binary, *words, "web"], env)
    try:
        log_in(terminal)
        terminal.type(b"echo sum-$((40+2)); exit\r")
        assert terminal.until(b"sum-42"), terminal.seen
        assert terminal.until(b"login: ", 5), terminal.seen
    finally:
        terminal.close()


@pytest.mark.parametrize(("port", "answer"), [(80, b"GUEST-READY host=front"), (22, b"SSH-2.0-")])
def test_port_forward(acme: Guests, port: int, answer: bytes) -> None:
    env = {**os.environ, "HOME": str(acme.kubectl.home), "KUBECONFIG": str(acme.kubectl.kubeconfig)}
    command = [*acme.kubectl.within, acme.kubectl.binary, "port-forward", "pod/web", f":{port}"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        matched = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert matched
        ask = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 10 busybox nc 127.0.0.1 {matched[1]}"
        done = subprocess.run([*acme.kubectl.within, "sh", "-c", ask], capture_output=True, timeout=30, check=False)
        assert answer in done.stdout
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_top(acme: Guests, until: Callable[..., Any]) -> None:
    def figures() -> list[str]:
        lines = acme.kubectl.run("top", "pods", "--no-headers").stdout.splitlines()
        return next((line.split() for line in lines if line.split()[0] == "web"), [])

    name, cpu, memory = until(figures, 60, "figures of web")
    assert cpu.endswith("m") and int(memory.removesuffix("Mi")) > 20, (name, cpu, memory)


def test_requests_of_machines_are_counted(acme: Guests) -> None:
    """One that asks for more than the node has stays pending, for the reason that a container would."""
    acme.make("huge", resources={"limits": {"cpu": "1", "memory": "4000Gi"}})
    try:
        acme.until(lambda: "FailedScheduling" in acme.events("huge"), 20, "FailedScheduling")
        assert "Insufficient memory" in acme.events("huge")["FailedScheduling"]
        assert acme.column("huge") == "Pending"
    finally:
        acme.kubectl("delete", "pod", "huge", "--wait=false")


def test_its_process_is_its_pods(acme: Guests) -> None:
    """Counted and bounded with it, by no user that anything else runs as."""
    pid = acme.qemu("web")
    groups = Path(f"/proc/{pid}/cgroup").read_text()
    assert f"/pod{acme.pod('web')['metadata']['uid']}/{acme.status('web')['virtualMachineId']}" in groups, groups
    name = "memory.limit_in_bytes" if Path("/sys/fs/cgroup/memory").exists() else "memory.max"
    (limit,) = Path("/sys/fs/cgroup").glob(f"**/{acme.status('web')['virtualMachineId']}/{name}")
    assert int(limit.read_text()) == (128 + 128) << 20


# What is wrong with a machine's description is said

WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "cut": ({"image": "https://images.example.com/broken/cut.qcow2"}, "Failed", "the image is cut short or corrupt"),
    "no-yaml": ({"userData": base64.b64encode(b"#cloud-config\na: [").decode()}, "InvalidUserData", "is not YAML"),
    "no-volume": ({"bootVolume": "disk"}, "InvalidBootVolume", '"disk" is in neither volumeDevices nor volumeMounts'),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_machine_that_cannot_be_made(acme: Guests, name: str) -> None:
    machine, reason, message = WRONG[name]
    acme.make(name, **machine)
    try:
        acme.until(lambda: acme.warned(name, reason, message), 60, f"{reason}: {message}")
        status = acme.until(lambda: acme.pod(name)["status"].get("reason") and acme.pod(name)["status"], 20, "a reason")
        assert status["phase"] == "Pending" and (
            message in status["message"] or "back-off" in status["message"].lower()
        )
    finally:
        acme.kubectl("delete", "pod", name, "--grace-period=1", "--timeout=60s", timeout=90)


@pytest.mark.parametrize(("data", "said"), [("%%%", "userData"), (base64.b64encode(bytes(70000)).decode(), "Too long")])
def test_user_data_that_no_machine_can_have(acme: Guests, data: str, said: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "never"}, "spec": acme.template(userData=data)}
    assert said in acme.kubectl.fails("create", "-f", "-", input=json.dumps(pod))


# Actions


def test_a_snapshot_holds_disk_and_memory(acme: Guests) -> None:
    acme.ssh("web", f"echo kept >/root/file; sync; setsid sh -c '{COUNTER}' >/dev/null 2>&1 </dev/null &")
    acme.counts_beyond("web", 3)
    taken = acme.act("web", "snapshot", snapshotParams={"snapshotName": "clean"})
    assert taken["snapshotStatus"] == {"snapshotID": "clean"} and "error" not in taken
    acme.ssh("web", "rm /root/file; sync; kill $(cat /tmp/counter); rm /tmp/count")
    assert acme.act("web", "restore", restoreParams={"snapshotID": "clean"})["restoreStatus"] == {
        "restoreSuccessful": True
    }
    assert acme.ssh("web", "cat /root/file") == "kept"
    acme.counts_beyond("web", max(acme.count("web"), 3))
    (listed,) = acme.until(lambda: acme.status("web").get("snapshots"), 20, "the snapshot in the status")
    assert (listed["name"], listed["memory"]) == ("clean", True)


def test_actions_that_fail_say_why(acme: Guests) -> None:
    twice = acme.act("web", "snapshot", snapshotParams={"snapshotName": "clean"})
    assert "clean" in twice["error"] and "snapshotStatus" not in twice
    unknown = acme.act("web", "restore", restoreParams={"snapshotID": "never"})
    assert "never" in unknown["error"] and "restoreStatus" not in unknown
    assert "never" in acme.kubectl.fails("vm", "restore", "web", "never")
    body = json.dumps({"kind": "CustomAction", "apiVersion": "v1", "operation": "reboot"})
    path = "/api/v1/namespaces/default/pods/probe/action"
    assert "virtual machine" in acme.kubectl.fails("create", "--raw", path, "-f", "-", input=body)


def test_an_action_from_a_file_waits_for_its_time(acme: Guests, tmp_path: Path) -> None:
    action = {
        "apiVersion": "v1",
        "kind": "Action",
        "metadata": {"name": "later"},
        "spec": {"podName": "web", "rebootAction": {"delayInSeconds": 3}},
    }
    (tmp_path / "action.yaml").write_text(json.dumps(action))
    boots = acme.said("web").count("GUEST-READY")
    began = time.monotonic()
    acme.kubectl("apply", "-f", str(tmp_path / "action.yaml"))
    assert acme.result("later")["rebootStatus"] == {"rebootSuccessful": True}
    assert time.monotonic() - began >= 3
    acme.until_said("web", "GUEST-READY", boots + 1)
    assert acme.events("web")["Rebooted"] == "Rebooted virtual machine vm"


def names_in(table: str) -> list[str]:
    return [line.split()[0] for line in table.splitlines()]


def test_the_plugins_commands(acme: Guests) -> None:
    assert acme.vm("pause", "web") == "pod/web paused\n"
    acme.until(lambda: acme.column("web") == "Paused", 20, "Paused")
    assert acme.vm("resume", "web") == "pod/web resumed\n"
    assert acme.vm("snapshot", "web", "second") == "pod/web snapshot second taken\n"
    assert acme.vm("restore", "web", "second") == "pod/web restored to second\n"
    acme.until(lambda: names_in(acme.vm("snapshots", "web")) == ["NAME", "clean", "second"], 20, "both listed")
    assert acme.vm("reboot", "web") == "pod/web rebooted\n"


# Power


def power(guests: Guests, name: str, wanted: str, becomes: str) -> Any:
    guests.kubectl("patch", "pod", name, "-p", json.dumps({"spec": {"virtualMachine": {"powerSpec": wanted}}}))
    return guests.until_power(name, becomes)


def test_suspension_keeps_the_memory_and_no_process(globex: Guests) -> None:
    globex.ssh("web", f"setsid sh -c '{COUNTER}' >/dev/null 2>&1 </dev/null &")
    globex.counts_beyond("web", 3)
    assert globex.qemu("web")
    power(globex, "web", "Suspended", "suspended")
    assert not globex.qemu("web")
    assert globex.column("web") == "Suspended"
    power(globex, "web", "Running", "running")
    globex.counts_beyond("web", max(globex.count("web"), 3))
    assert globex.said("web").count("GUEST-READY") == 1
    power(globex, "web", "Paused", "paused")
    power(globex, "web", "Running", "running")
    assert globex.ssh("web", "hostname") == "web"


def test_a_stopped_machine_keeps_disk_node_and_reservation(globex: Guests) -> None:
    before = globex.pod("web")
    globex.ssh("web", "echo kept >/root/file; sync")
    asked = reserved(globex)
    power(globex, "web", "Shutdown", "shutdown")
    assert globex.column("web") == "Stopped"
    assert "GUEST-POWER-BUTTON" in globex.said("web")
    stopped = globex.pod("web")
    assert stopped["spec"]["nodeName"] == "n1" and stopped["status"]["podIP"] == before["status"]["podIP"]
    assert reserved(globex) == asked
    # As if the host had started anew meanwhile: network namespaces do not outlive it.
    netns.remove(globex.namespace("web"))
    power(globex, "web", "Running", "running")
    globex.until_said("web", "boot=2")
    assert globex.address("web") == before["status"]["podIP"]
    assert globex.ssh("web", "cat /root/file") == "kept"
    fetch = ("exec", "probe", "--", "timeout", "5", "wget", "-qO-", f"http://{globex.address('web')}/")
    assert "boot=2" in globex.kubectl(*fetch)


def reserved(guests: Guests) -> str:
    """What the node's pods have asked of its memory, as `kubectl describe node` adds it up."""
    described = guests.node.admin("describe", "node", "n1")
    found = re.search(r"^  memory +(\S+ \(\d+%\))", described.partition("Allocated resources")[2], re.M)
    assert found, described
    return found[1]


def test_a_guest_that_powers_itself_off(globex: Guests) -> None:
    globex.until_said("web", "boot=2")
    globex.ssh("web", "(sleep 0.5; poweroff) >/dev/null 2>&1 &")
    globex.until_power("web", "shutdown")
    assert globex.column("web") == "Stopped"
    pod = globex.pod("web")
    assert pod["spec"]["virtualMachine"]["powerSpec"] == "Running"
    assert pod["status"]["reason"] == "GuestShutdown"
    assert globex.vm("start", "web") == "pod/web started\n"
    globex.until_power("web", "running")
    globex.until_said("web", "boot=3")
    assert globex.vm("stop", "web", "--grace-period=0") == "pod/web stopped\n"
    globex.until_power("web", "shutdown")
    assert globex.pod("web")["spec"]["virtualMachine"]["powerSpec"] == "Shutdown"


def test_a_guest_whose_end_is_its_pods(globex: Guests) -> None:
    """`once` was made with the others, and has powered itself off since."""
    globex.until(lambda: globex.kubectl.run("get", "pod", "once").returncode != 0, BOOT, "once is gone")


def test_a_killed_process_is_started_again(acme: Guests) -> None:
    boots = acme.said("web").count("GUEST-READY")
    pid = acme.qemu("web")
    os.kill(pid, signal.SIGKILL)
    restarted = acme.until(lambda: acme.status("web").get("restartCount") and acme.status("web"), BOOT, "a restart")
    assert restarted["restartCount"] == 1 and "Killed" in restarted["lastTerminationState"]
    acme.until_said("web", "GUEST-READY", boots + 1)
    assert acme.qemu("web") not in (0, pid)
    assert "crashed" in acme.events("web")["Crashed"]
    assert acme.kubectl("get", "pod", "web", "--no-headers").split()[1:4] == ["1/1", "Running", "1"]


# Controllers


def test_a_deployment_of_machines(acme: Guests) -> None:
    template = acme.template(cloudInitUserDataScript="echo SCRIPT-RAN")
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "many"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "many"}},
            "template": {"metadata": {"labels": {"app": "many"}}, "spec": template},
        },
    }
    acme.kubectl("create", "-f", "-", input=json.dumps(deployment))
    acme.kubectl("scale", "deployment/many", "--replicas=3")
    acme.kubectl("rollout", "status", "deployment/many", "--timeout=100s", timeout=120)
    names = [pod["metadata"]["name"] for pod in acme.kubectl.json("get", "pods", "-l", "app=many")["items"]]
    assert len(names) == len({acme.address(name) for name in names}) == 3
    for name in names:
        assert "SCRIPT-RAN" in acme.until_said(name, "GUEST-READY")
    acme.kubectl("scale", "deployment/many", "--replicas=1")
    acme.until(lambda: len(acme.kubectl.json("get", "pods", "-l", "app=many")["items"]) == 1, 60, "one is left")
    patch = {"spec": {"template": {"spec": {"virtualMachine": {"resources": {"limits": {"memory": "120Mi"}}}}}}}
    acme.kubectl("patch", "deployment", "many", "-p", json.dumps(patch))
    acme.kubectl("rollout", "status", "deployment/many", "--timeout=100s", timeout=120)
    left = acme.kubectl.json("get", "pods", "-l", "app=many", "--field-selector=status.phase=Running")["items"]
    fresh = [pod for pod in left if "deletionTimestamp" not in pod["metadata"]]
    assert len(fresh) == 1 and fresh[0]["metadata"]["name"] not in names
    acme.kubectl("delete", "deployment", "many")
