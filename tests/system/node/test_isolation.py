"""Two tenants on one node, and an admin of one who wants what is the other's: every door that he could try is shut.

Next to each door is one that opens, so that a test does not pass for another reason.
"""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ASSETS = Path(__file__).parents[2]
NODE = "198.18.0.1"
API_PORT = 6443
POD = "/api/v1/namespaces/default/pods/web"
TENANTS = ("acme", "globex")


def container(image: str = "nginx:1.27", **more: Any) -> dict[str, Any]:
    return {"name": "c", "image": image, "imagePullPolicy": "IfNotPresent", **more}


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> str:
    return obj("Pod", name, spec={"containers": containers, "terminationGracePeriodSeconds": 1, **spec})


def obj(kind: str, name: str, api: str = "v1", labels: dict[str, str] | None = None, **body: Any) -> str:
    return json.dumps({"apiVersion": api, "kind": kind, "metadata": {"name": name, "labels": labels or {}}, **body})


@pytest.fixture(scope="module")
def tenants(shared_node: Any) -> dict[str, Any]:
    """Both tenants, each with a pod `web` that serves port 80, behind a service of the tenant's name."""
    found = {}
    for name in TENANTS:
        shared_node.arktos("tenant", "create", name)
        found[name] = shared_node.tenant(name)
        found[name]("create", "-f", "-", input=pod("web", container()))
        found[name]("label", "pod", "web", "app=web")
    for name in TENANTS:
        found[name]("wait", "--for=condition=Ready", "pod/web", "--timeout=60s", timeout=90)
        found[name]("expose", "pod", "web", f"--name=of-{name}", "--port=80")
    return found


def address(kubectl: Any, name: str = "web") -> str:
    return str(kubectl.json("get", "pod", name)["status"]["podIP"])


def reached(kubectl: Any, ends: list[tuple[str, int]]) -> set[tuple[str, int]]:
    """Those of some addresses and ports that take a connection from the tenant's pod."""
    tries = [f"(nc -w 2 {host} {port} </dev/null >/dev/null 2>&1 && echo {host} {port}) &" for host, port in ends]
    said = kubectl("exec", "web", "--", "sh", "-c", "\n".join([*tries, "wait"]))
    return {(host, int(port)) for host, port in (line.split() for line in said.splitlines())}


def fetched(node: Any, where: Any, path: str, *options: str) -> str:
    """The status of a GET at the node, `000` where nothing answers."""
    command = ("curl", "-sk", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}", *options, path)
    return str(where.run(*command, check=False))


# --- the machine -----------------------------------------------------------------------------------------------------


def test_pods_reach_nothing_of_the_machine(shared_node: Any, tenants: dict[str, Any]) -> None:
    lines = shared_node.here.run("ss", "-Hltn").splitlines()
    ports = {int(line.split()[3].rpartition(":")[2]) for line in lines}
    assert {10250, API_PORT, 53} <= ports and len(ports) > 6, lines
    ends = [(host, port) for host in (NODE, "10.244.0.1") for port in sorted(ports - {53})]
    assert reached(tenants["acme"], ends) == {(NODE, API_PORT)}
    assert reached(tenants["acme"], [("10.96.0.1", 443), ("10.96.0.10", 53)]) == {
        ("10.96.0.1", 443),
        ("10.96.0.10", 53),
    }
    # What is meant for the machine alone listens for nobody else, and its sockets are root's.
    public = {line.split()[3] for line in lines if not line.split()[3].startswith(("127.", "[::1]"))}
    local = ports - {int(each.rpartition(":")[2]) for each in public}
    assert all(fetched(shared_node, shared_node.outside, f"http://{NODE}:{port}/") == "000" for port in local)
    sockets = list((shared_node.settings.layout.root / "run").glob("**/*.sock"))
    assert len(sockets) >= 3
    for path in sockets:
        mode = stat.S_IMODE(path.stat().st_mode)
        closed = any(not stat.S_IMODE(parent.stat().st_mode) & 0o007 for parent in path.parents)
        assert closed or not mode & 0o007, (path, oct(mode))


def test_the_nodes_agent_answers_no_tenant(shared_node: Any, tenants: dict[str, Any], tmp_path: Path) -> None:
    acme, here = tenants["acme"], shared_node.here
    token = acme("exec", "web", "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")
    bearer = ("-H", f"Authorization: Bearer {token}")
    config = json.loads(acme("config", "view", "--raw", "-o", "json"))
    user, cert = config["users"][0]["user"], tmp_path / "cert.pem"
    both = (user["client-certificate-data"], user["client-key-data"])
    cert.write_bytes(b"\n".join(base64.b64decode(each) for each in both))
    # He is known to the API server by each of them.
    mine = f"https://{NODE}:{API_PORT}{POD}"
    assert fetched(shared_node, here, mine, "--cert", str(cert)) == "200"
    for path in ("pods", "containerLogs/globex/default/web/c", "run/globex/default/web/c?cmd=id", "stats/summary"):
        for shown in (bearer, ("--cert", str(cert)), ()):
            assert fetched(shared_node, here, f"https://{NODE}:10250/{path}", *shown) == "401", (path, shown[:1])


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nodes/n1",
        "/api/v1/nodes/n1/proxy/pods",
        "/api/v1/nodes/n1/proxy/containerLogs/globex/default/web/c",
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1",
        "/apis/metrics.k8s.io/v1beta1/nodes",
        f"/tenants/globex{POD}",
        f"/tenants/globex{POD}/log",
        f"/tenants/globex{POD}/proxy/",
        "/tenants/system/api/v1/namespaces/default/events",
        "/tenants/globex/apis/metrics.k8s.io/v1beta1/namespaces/default/pods",
        "/tenants/all/api/v1/pods",
        "/metrics",
    ],
)
def test_the_api_shows_nothing_of_others(tenants: dict[str, Any], path: str) -> None:
    refused = tenants["acme"].fails("get", "--raw", path)
    assert "(Forbidden)" in refused or "(NotFound)" in refused, refused


def test_figures_are_of_own_pods(tenants: dict[str, Any], until: Callable[..., Any]) -> None:
    for name in TENANTS:
        kubectl = tenants[name]
        until(lambda kubectl=kubectl: kubectl.run("top", "pods", "--no-headers").returncode == 0, 60, "figures")
        items = json.loads(kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/pods"))["items"]
        assert {item["metadata"].get("tenant", name) for item in items} == {name}


# --- credentials -----------------------------------------------------------------------------------------------------


def test_tokens_are_good_for_their_own_tenant(shared_node: Any, tenants: dict[str, Any]) -> None:
    acme, server = tenants["acme"], f"https://{NODE}:{API_PORT}"

    def asked(token: str, path: str) -> str:
        return fetched(shared_node, shared_node.here, server + path, "-H", f"Authorization: Bearer {token.strip()}")

    acme("create", "clusterrolebinding", "all", "--clusterrole=cluster-admin", "--serviceaccount=default:default")
    acme("create", "-f", "-", input=pod("brief", container()))
    acme("wait", "--for=condition=Ready", "pod/brief", "--timeout=60s", timeout=90)
    token = acme("exec", "brief", "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")
    assert asked(token, POD) == "200"
    for path in (f"/tenants/globex{POD}", f"/tenants/system{POD}", "/api/v1/nodes", "/api/v1/tenants/globex"):
        assert asked(token, path) in ("403", "404"), path
    stranger = acme("create", "token", "default", "--audience=https://vault.example.com")
    assert asked(stranger, POD) == "401"
    acme("delete", "pod", "brief", "--timeout=30s")
    assert asked(token, POD) == "401"


# --- names and addresses ---------------------------------------------------------------------------------------------


def test_names_are_of_the_own_tenant(tenants: dict[str, Any]) -> None:
    acme, globex = (tenants[name] for name in TENANTS)
    theirs, service = address(globex), globex.json("get", "service", "of-globex")["spec"]["clusterIP"]

    def known(kubectl: Any, name: str) -> bool:
        return bool(kubectl.run("exec", "web", "--", "nslookup", name).returncode == 0)

    for name in ("of-globex.default.svc.cluster.local", service):
        assert known(globex, name) and not known(acme, name), name
    dashed = theirs.replace(".", "-")
    for name in (f"{dashed}.default.pod.cluster.local", theirs):
        assert not known(acme, name), name
    assert known(acme, "of-acme.default.svc.cluster.local")


def slice_(service: str, at: str, port: int) -> str:
    labels = {"kubernetes.io/service-name": service}
    body = {"addressType": "IPv4", "endpoints": [{"addresses": [at]}], "ports": [{"port": port, "protocol": "TCP"}]}
    return obj("EndpointSlice", f"{service}-by-hand", "discovery.k8s.io/v1", labels, **body)


def test_services_by_hand_lead_nowhere_else(
    shared_node: Any, tenants: dict[str, Any], until: Callable[..., Any]
) -> None:
    acme, globex = (tenants[name] for name in TENANTS)
    targets = {
        "own": (address(acme), 80),
        "theirs": (address(globex), 80),
        "agent": (NODE, 10250),
        "loopback": ("127.0.0.1", API_PORT),
        "metadata": ("169.254.169.254", 80),
        "service": (globex.json("get", "service", "of-globex")["spec"]["clusterIP"], 80),
    }
    ports = {}
    for name, (at, port) in targets.items():
        spec = {"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}]}
        acme("create", "-f", "-", input=obj("Service", name, spec=spec))
        made = acme.run("create", "-f", "-", input=slice_(name, at, port))
        assert made.returncode == 0 or "may not be in" in made.stderr, made.stderr
        ports[name] = acme.json("get", "service", name)["spec"]

    def outside(name: str) -> str:
        port = ports[name]["ports"][0]["nodePort"]
        return fetched(shared_node, shared_node.outside, f"http://{NODE}:{port}/")

    # Slices are taken in one after another: when the last leads, all are known.
    until(lambda: outside("own") == "200", 20, "the tenant's own pod")
    closed = [name for name in targets if name != "own"]
    assert {name: outside(name) for name in closed} == dict.fromkeys(closed, "000")
    assert reached(acme, [(ports[name]["clusterIP"], 80) for name in targets]) == {(ports["own"]["clusterIP"], 80)}
    for name in closed:
        path = f"/api/v1/namespaces/default/services/{name}:80/proxy/"
        assert re.search("no endpoints available|address not allowed", acme.fails("get", "--raw", path))


def test_addresses_cannot_be_claimed(tenants: dict[str, Any]) -> None:
    acme, globex = (tenants[name] for name in TENANTS)
    spec = {"ports": [{"port": 80}], "externalIPs": [NODE]}
    assert "Use of external IPs is denied" in acme.fails("create", "-f", "-", input=obj("Service", "x", spec=spec))
    forged = json.dumps({"status": {"podIP": address(globex), "podIPs": [{"ip": address(globex)}]}})
    patch = ("patch", "pod", "web", "--subresource=status", "--type=merge", "-p", forged)
    assert "is stated by the pod's node" in acme.fails(*patch)
    volume = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/"}}
    assert "volumes on nodes (hostPath)" in acme.fails(
        "create", "-f", "-", input=obj("PersistentVolume", "x", spec=volume)
    )


# --- what pods ask of their node -------------------------------------------------------------------------------------


def test_links_in_volumes_lead_nowhere_else(
    shared_node: Any, tenants: dict[str, Any], until: Callable[..., Any]
) -> None:
    """What a first container left in a volume is another's subPath."""
    acme, root = tenants["acme"], shared_node.settings.layout.root
    mount = {"name": "v", "mountPath": "/v"}
    script = f"ln -s / /v/machine; ln -s ../../../.. /v/up; mkdir /v/own; ln -s {root} /v/data; ln -s own /v/inside"
    command = ["sh", "-c", "ls /v/sub; sleep 3600"]
    wanted = {"machine": "machine/etc", "up": "up", "data": "data", "own": "own"}
    mains = [
        container(volumeMounts=[{"name": "v", "mountPath": "/v/sub", "subPath": path}], command=command)
        | {"name": name}
        for name, path in wanted.items()
    ]
    first = container(command=["sh", "-c", script], volumeMounts=[mount]) | {"name": "first"}
    volumes = [{"name": "v", "emptyDir": {}}]
    acme("create", "-f", "-", input=pod("links", *mains, initContainers=[first], volumes=volumes))

    def states() -> dict[str, Any]:
        listed = acme.json("get", "pod", "links")["status"].get("containerStatuses") or ()
        return {each["name"]: each["state"] for each in listed}

    def settled() -> bool:
        found = states()
        waiting = [found.get(name, {}).get("waiting", {}) for name in ("machine", "up", "data")]
        return "running" in found.get("own", {}) and all("Config" in each.get("reason", "") for each in waiting)

    until(settled, 30, states)
    acme("delete", "pod", "links", "--wait=false")


def test_runtimes_are_the_operators_to_choose(tenants: dict[str, Any], until: Callable[..., Any]) -> None:
    acme = tenants["acme"]
    acme("create", "-f", "-", input=obj("RuntimeClass", "mine", "node.k8s.io/v1", handler="unconfined"))
    acme("create", "-f", "-", input=pod("handled", container(), runtimeClassName="mine"))
    annotated = json.loads(pod("annotated", container()))
    annotated["metadata"]["annotations"] = {"arktos.io/runtime": "vm"}
    acme("create", "-f", "-", input=json.dumps(annotated))

    def said() -> str:
        items = acme.json("get", "events")["items"]
        return "\n".join(f"{item['involvedObject']['name']}: {item['message']}" for item in items)

    for wanted in (r"handled: .*no runtime for \"unconfined\"", r"annotated: .*no container runtime 'vm'"):
        until(lambda wanted=wanted: re.search(wanted, said()), 30, said)
    escape = obj("RuntimeClass", "up", "node.k8s.io/v1", handler="../../runc")
    assert "Invalid value" in acme.fails("create", "-f", "-", input=escape)
    acme("delete", "pod", "handled", "annotated", "--wait=false")


def test_a_pod_has_its_share_of_processes(tenants: dict[str, Any]) -> None:
    uid = tenants["acme"].json("get", "pod", "web")["metadata"]["uid"]
    trees = [path for path in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")) if path.is_dir()][:1]
    limits = [path.read_text().strip() for tree in trees for path in tree.glob(f"**/pod{uid}/pids.max")]
    assert limits == ["4096"]


@pytest.fixture(scope="module")
def private(shared_node: Any) -> Iterator[str]:
    """The name of an image that only who knows the password gets."""
    command = [*shared_node.here.within, sys.executable, "-W", "ignore", "-m", "assets.private_registry"]
    env = {**os.environ, "PYTHONPATH": str(ASSETS)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield f"{process.stdout.readline().strip()}/team/app:1"
    finally:
        process.stdin.close()
        process.wait(10)


def test_a_private_image_is_not_handed_on(
    shared_node: Any, tenants: dict[str, Any], private: str, until: Callable[..., Any]
) -> None:
    acme, globex = (tenants[name] for name in TENANTS)
    server = f"--docker-server={private.partition('/')[0]}"
    secret = ("create", "secret", "docker-registry", "pull", server, "--docker-username=acme")
    acme(*secret, "--docker-password=letmein")
    globex(*secret, "--docker-password=guessed")
    pulls = {"imagePullSecrets": [{"name": "pull"}]}
    acme("create", "-f", "-", input=pod("private", container(private), **pulls))
    acme("wait", "--for=condition=Ready", "pod/private", "--timeout=60s", timeout=90)
    image = acme.json("get", "pod", "private")["status"]["containerStatuses"][0]["imageID"]
    # It is here now: under its name, and under its id.
    never = container(private, imagePullPolicy="Never")
    tries: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
        "without": (container(private), {}, "ErrImagePull"),
        "guessed": (container(private), pulls, "ErrImagePull"),
        "never": (never, pulls, "ErrImageNeverPull"),
        "digest": (container(f"{private.rpartition(':')[0]}@sha256:{image.rpartition(':')[2]}"), {}, "ErrImagePull"),
    }
    for name, (wanted, spec, _) in tries.items():
        globex("create", "-f", "-", input=pod(name, wanted, **spec))
    for name, (_, _, reason) in tries.items():
        reasons = {reason, reason.replace("Err", "") + "BackOff"}

        def shown(name: str = name) -> dict[str, Any]:
            listed = globex.json("get", "pod", name)["status"].get("containerStatuses") or [{}]
            return dict(listed[0].get("state", {}).get("waiting", {}))

        until(lambda shown=shown, reasons=reasons: shown().get("reason") in reasons, 30, shown)
    acme("create", "-f", "-", input=pod("again", never, **pulls))
    acme("wait", "--for=condition=Ready", "pod/again", "--timeout=30s", timeout=60)
    globex("delete", "pod", *tries, "--wait=false")


NAMES = ("..", "a,metadata.namespace=b", "a b", "a/../../../../globex/api/v1/namespaces/default/secrets/b", "%2e%2e")


def test_odd_names_in_references_are_their_pods_trouble_alone(
    shared_node: Any, tenants: dict[str, Any], until: Callable[..., Any]
) -> None:
    """The agent reads with rights over all tenants, and for all of them."""
    acme, globex = (tenants[name] for name in TENANTS)
    agent = shared_node.here.run("pgrep", "-f", f"arktos agent .*{shared_node.settings.layout.root}")
    made = []
    for number, name in enumerate(NAMES):
        specs: dict[str, dict[str, Any]] = {
            "pull": {"imagePullSecrets": [{"name": name}]},
            "class": {"runtimeClassName": name},
            "env": {"containers": [container(envFrom=[{"secretRef": {"name": name}}])]},
            "files": {"volumes": [{"name": "v", "secret": {"secretName": name}}]},
            "claim": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]},
        }
        for kind, spec in specs.items():
            tried = acme.run("create", "-f", "-", input=pod(f"{kind}-{number}", container(), **spec))
            made += [f"{kind}-{number}"] if tried.returncode == 0 else []
    globex("create", "-f", "-", input=pod("calm", container()))
    globex("wait", "--for=condition=Ready", "pod/calm", "--timeout=60s", timeout=90)
    for name in made:
        until(
            lambda name=name: acme.json("get", "events", f"--field-selector=involvedObject.name={name}")["items"],
            30,
            name,
        )
    assert shared_node.here.run("pgrep", "-f", f"arktos agent .*{shared_node.settings.layout.root}") == agent
    if made:
        acme("delete", "pod", *made, "--timeout=60s", timeout=90)
