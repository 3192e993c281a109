"""What a newcomer does with containers: two tenants, the same names, every command that reaches into a pod."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"
TENANTS = ("acme", "globex")


@pytest.fixture(scope="module")
def tenants(shared_node: Any) -> dict[str, Any]:
    """Both tenants, each with the example's Deployment, rolled out."""
    found = {}
    for name in TENANTS:
        shared_node.arktos("tenant", "create", name)
        found[name] = shared_node.tenant(name)
        found[name]("apply", "-f", str(EXAMPLES / "deployment.yaml"))
    for name in TENANTS:
        found[name]("rollout", "status", "deployment/web", "--timeout=60s", timeout=90)
    return found


def staying(kubectl: Any, selector: str = "app=web") -> list[dict[str, Any]]:
    """Pods that are not being deleted: after a roll-out some still are."""
    items = kubectl.json("get", "pods", "-l", selector)["items"]
    return [item for item in items if "deletionTimestamp" not in item["metadata"]]


def pods(kubectl: Any, selector: str = "app=web") -> list[str]:
    """Their names."""
    return [item["metadata"]["name"] for item in staying(kubectl, selector)]


@contextlib.contextmanager
def running(kubectl: Any, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """kubectl in the background."""
    command = [*kubectl.within, kubectl.binary, *arguments]
    env = {**os.environ, "HOME": str(kubectl.home), "KUBECONFIG": str(kubectl.kubeconfig)}
    process = subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


@pytest.mark.parametrize("name", TENANTS)
def test_the_deployment_runs(tenants: dict[str, Any], name: str) -> None:
    items = tenants[name].json("get", "pods", "-l", "app=web")["items"]
    assert len(items) == 3
    for item in items:
        status = item["status"]
        assert (status["phase"], status["containerStatuses"][0]["ready"]) == ("Running", True)
        assert status["podIP"].startswith("10.244.0.")
        assert status["containerStatuses"][0]["containerID"].startswith("containerd://")


@pytest.mark.parametrize("name", TENANTS)
def test_commands_that_reach_into_pods(tenants: dict[str, Any], name: str, tmp_path: Path) -> None:
    kubectl = tenants[name]
    pod = pods(kubectl)[0]
    assert kubectl("exec", pod, "--", "hostname") == f"{pod}\n"
    assert kubectl("exec", "-i", pod, "--", "cat", input="over there\n") == "over there\n"
    failed = kubectl.run("exec", pod, "--", "sh", "-c", "exit 7")
    assert failed.returncode == 7
    source = tmp_path / "file"
    source.write_text("copied\n" * 1000)
    kubectl("cp", str(source), f"{pod}:/tmp/copy")
    kubectl("cp", f"{pod}:/tmp/copy", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == source.read_text()


@pytest.mark.parametrize("name", TENANTS)
def test_logs(tenants: dict[str, Any], name: str, until: Callable[..., Any]) -> None:
    kubectl = tenants[name]
    script = "echo first; i=0; while true; do i=$((i+1)); echo line $i; sleep 1; done"
    kubectl("run", "talker", "--image=busybox", "--", "sh", "-c", script)
    kubectl("wait", "--for=condition=Ready", "pod/talker", "--timeout=30s")
    assert kubectl("logs", "talker").startswith("first\n")
    with running(kubectl, "logs", "-f", "--tail=1", "talker") as process:
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(3)]
    numbers = [int(line.split()[1]) for line in seen]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    kubectl("delete", "pod", "talker", "--grace-period=1")


@pytest.mark.parametrize("name", TENANTS)
def test_attach_and_forward(tenants: dict[str, Any], name: str, until: Callable[..., Any]) -> None:
    kubectl = tenants[name]
    kubectl("run", "mirror", "--image=busybox", "--stdin=true", "--attach=false", "--restart=Never", "--", "cat")
    kubectl("wait", "--for=condition=Ready", "pod/mirror", "--timeout=30s")
    attached = kubectl.run("attach", "-i", "mirror", input="back\n")
    assert "back\n" in attached.stdout
    kubectl("delete", "pod", "mirror", "--grace-period=1")
    with running(kubectl, "port-forward", "deployment/web", ":80") as process:
        assert process.stdout is not None
        matched = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert matched
        fetch = ["curl", "-sS", "--max-time", "10", f"http://127.0.0.1:{matched[1]}/"]
        found = subprocess.run([*kubectl.within, *fetch], capture_output=True, text=True, check=False)
    assert found.stdout == "hello from busybox\n", found.stderr


@pytest.mark.parametrize("name", TENANTS)
def test_an_ephemeral_container(tenants: dict[str, Any], name: str) -> None:
    kubectl = tenants[name]
    pod = pods(kubectl)[0]
    kubectl("debug", pod, "--image=busybox", "-c", "look", "--", "sh", "-c", "echo I see; sleep 600")
    kubectl(
        "wait", f"pod/{pod}", "--timeout=30s", "--for=jsonpath={.status.ephemeralContainerStatuses[0].state.running}"
    )
    assert kubectl("logs", pod, "-c", "look") == "I see\n"


@pytest.mark.parametrize("name", TENANTS)
def test_top(tenants: dict[str, Any], name: str, until: Callable[..., Any]) -> None:
    kubectl = tenants[name]

    def measured() -> bool:
        lines = kubectl.run("top", "pods", "--no-headers").stdout.splitlines()
        return {line.split()[0] for line in lines} >= set(pods(kubectl))

    until(measured, 60, "figures of every pod")


def test_roll_out_and_back(tenants: dict[str, Any]) -> None:
    acme, globex = (tenants[name] for name in TENANTS)
    before = set(pods(globex))
    acme("set", "image", "deployment/web", "nginx=nginx:1.28")
    acme("rollout", "status", "deployment/web", "--timeout=60s", timeout=90)
    images = {item["spec"]["containers"][0]["image"] for item in acme.json("get", "pods", "-l", "app=web")["items"]}
    assert "nginx:1.28" in images
    acme("rollout", "undo", "deployment/web")
    acme("rollout", "status", "deployment/web", "--timeout=60s", timeout=90)
    assert set(pods(globex)) == before


def test_a_tenants_service_leads_to_its_own_pods(tenants: dict[str, Any], until: Callable[..., Any]) -> None:
    for name in TENANTS:
        kubectl = tenants[name]
        kubectl("expose", "deployment", "web", "--port=80")
        pod = pods(kubectl)[0]
        fetch = ("exec", pod, "--", "wget", "-qO-", "http://web")
        until(lambda kubectl=kubectl, fetch=fetch: kubectl.run(*fetch).returncode == 0, 20, name)
        assert kubectl("exec", pod, "--", "wget", "-qO-", "http://web.default.svc.cluster.local") == (
            "hello from busybox\n"
        )
    acme, globex = (tenants[name] for name in TENANTS)
    pod = pods(acme)[0]
    address = globex.json("get", "service", "web")["spec"]["clusterIP"]
    other = staying(globex)[0]["status"]["podIP"]
    for target in (address, other):
        script = f"(echo; sleep 2) | nc -w 2 {target} 80"
        assert acme.run("exec", pod, "--", "sh", "-c", script).stdout == ""
        assert acme.run("exec", pod, "--", "ping", "-c1", "-W1", target).returncode != 0


@pytest.mark.parametrize("name", TENANTS)
def test_through_the_api_to_pods_and_services(tenants: dict[str, Any], name: str, until: Callable[..., Any]) -> None:
    """By name and port, also where others have pods and services of the same names; nobody else's."""
    kubectl = tenants[name]
    pod, marker = f"files-{name}", f"only of {name}"
    script = f"mkdir /www; echo '{marker}' >/www/page; exec httpd -f -p 8080 -h /www"
    kubectl("run", pod, "--image=busybox", "--port=8080", "--", "sh", "-c", script)
    kubectl("expose", "pod", pod, "--name=files", "--port=80", "--target-port=8080")
    kubectl("wait", "--for=condition=Ready", f"pod/{pod}", "--timeout=30s")
    base = "/api/v1/namespaces/default"
    for path in (f"pods/{pod}:8080", f"pods/http:{pod}:8080", "services/files:80", "services/files"):
        fetch = ("get", "--raw", f"{base}/{path}/proxy/page")
        until(lambda fetch=fetch: kubectl.run(*fetch).stdout == f"{marker}\n", 20, path)
    missing = kubectl.run("get", "--raw", f"{base}/pods/{pod}:8080/proxy/none")
    assert missing.returncode != 0
    others = next(each for each in TENANTS if each != name)
    found = kubectl.run("get", "--raw", f"{base}/pods/files-{others}:8080/proxy/page")
    assert found.returncode != 0
    assert "not found" in found.stderr
    closed = kubectl.run("get", "--raw", f"{base}/pods/{pod}:9/proxy/page")
    assert closed.returncode != 0
    assert "refused" in closed.stderr
    kubectl("delete", f"pod/{pod}", "service/files", "--grace-period=1", "--timeout=40s")


def test_pods_reach_the_api(shared_node: Any, tenants: dict[str, Any], tmp_path: Path) -> None:
    """At the address of the Service `kubernetes`, with the service account's token, which is its own tenant's."""
    mount = "/var/run/secrets/kubernetes.io/serviceaccount"
    for name in TENANTS:
        kubectl = tenants[name]
        kubectl("create", "clusterrolebinding", "pods-look", "--clusterrole=view", "--serviceaccount=default:default")
        pod = staying(kubectl)[0]
        cat = ("exec", pod["metadata"]["name"], "--", "cat")
        token, ca = (kubectl(*cat, f"{mount}/{file}") for file in ("token", "ca.crt"))
        (tmp_path / "ca.crt").write_text(ca)
        found = subprocess.run(
            [
                *("nsenter", f"--net=/proc/{process_of(shared_node, pod)}/ns/net"),
                *("curl", "-sS", "--max-time", "20", "--cacert", str(tmp_path / "ca.crt")),
                *("-H", f"Authorization: Bearer {token}", "https://10.96.0.1/api/v1/namespaces/default/pods"),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert {item["metadata"]["tenant"] for item in json.loads(found.stdout)["items"]} == {name}


def test_names_for_pods_on_the_nodes_own_network(shared_node: Any, until: Callable[..., Any]) -> None:
    """The operator's, who alone may have them here, get the names of the operator's services."""
    spec = {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    command = ("--", "sh", "-c", "sleep 1000")
    kubectl = shared_node.admin
    kubectl("run", "on-host", "--image=busybox", f"--overrides={json.dumps({'spec': spec})}", *command)
    kubectl("wait", "--for=condition=Ready", "pod/on-host", "--timeout=40s")
    ask = ("exec", "on-host", "--", "nslookup", "kubernetes.default.svc.cluster.local")
    until(lambda: "10.96.0.1\n" in kubectl.run(*ask).stdout, 20, "an answer")
    assert kubectl.run("exec", "on-host", "--", "nslookup", "web.default.svc.cluster.local").returncode != 0
    kubectl("delete", "pod", "on-host", "--grace-period=1", "--timeout=40s")


def process_of(node: Any, pod: Any) -> str:
    """The number of the process that a pod's first container is."""
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    ctr = ("ctr", f"--address={node.settings.layout.containerd_socket}", "--namespace=k8s.io")
    rows = (line.split() for line in node.here.run(*ctr, "tasks", "list").splitlines())
    return next(row[1] for row in rows if row[0] == container)


def test_deletion_leaves_nothing(shared_node: Any, until: Callable[..., Any]) -> None:
    shared_node.arktos("tenant", "create", "shortlived")
    kubectl = shared_node.tenant("shortlived")
    kubectl("apply", "-f", str(EXAMPLES / "deployment.yaml"))
    kubectl("rollout", "status", "deployment/web", "--timeout=60s", timeout=90)
    items = kubectl.json("get", "pods")["items"]
    marks = [item["metadata"]["uid"] for item in items] + [item["status"]["podIP"] for item in items]
    marks.append("ark-" + hashlib.sha256(b"shortlived").hexdigest()[:8])
    assert set(traces(shared_node, marks)) == set(marks)
    kubectl("delete", "deployment", "web", "--timeout=60s")
    kubectl("delete", "pods", "--all", "--grace-period=1", "--timeout=60s", timeout=90)
    with contextlib.suppress(pytest.fail.Exception):
        until(lambda: not traces(shared_node, marks), 20)
    assert traces(shared_node, marks) == {}
    shared_node.arktos("tenant", "delete", "shortlived", "--wait")


def traces(node: Any, marks: list[str]) -> dict[str, list[str]]:
    """Where the marks (uids, addresses, bridges) are still found of what pods leave on a machine."""
    root = node.settings.layout
    places = {
        "links": node.here.run("ip", "-details", "link"),
        "routes": node.here.run("ip", "route"),
        "rules": node.here.run("nft", "list", "ruleset"),
        "mounts": Path("/proc/mounts").read_text(),
        "logs": "\n".join(path.name for path in root.pod_logs.iterdir()),
        "volumes": "\n".join(path.name for path in (root.node / "agent" / "pods").iterdir()),
        "cgroups": "\n".join(str(path) for path in Path("/sys/fs/cgroup").glob("*/arktos*/kubepods/*/*")),
    }
    found = {mark: [name for name, text in places.items() if _is_in(mark, text)] for mark in marks}
    return {mark: names for mark, names in found.items() if names}


def _is_in(mark: str, text: str) -> bool:
    return re.search(rf"{re.escape(mark)}(?![0-9])", text) is not None
