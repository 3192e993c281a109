"""The API server under load: requests per second and CPU per request, over TLS with a token and RBAC on.

    bench/apiserver.py [seconds per row]

Prints one JSON object. `cpu_us` is user and system time of the server's process for each request; `budget_us` is what
DESIGN promises on the machine where a bare HTTP GET costs 10 us; `bare_us` is what it costs here, in the same run, so
that `scaled_us = cpu_us * 10 / bare_us` compares with the budget. `peer_us` is Kubernetes 1.36's API server and etcd.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from arktos.bootstrap import credentials
from arktos.bootstrap.components import Settings, components
from arktos.bootstrap.readiness import unready

HERE = Path(__file__).parent
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
PORT = 17443
TICK = os.sysconf("SC_CLK_TCK")
HEAD = "Host: localhost\r\nAuthorization: Bearer bench-token\r\nAccept: {accept}\r\nContent-Type: {type}"
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "pod-{i}", "labels": {"app": "web", "tier": "front"}, "annotations": {"note": "x" * 200}},
    "spec": {
        "containers": [
            {
                "name": "main",
                "image": "registry.example/web:1.2.3",
                "env": [{"name": f"VARIABLE_{n}", "value": "v" * 20} for n in range(8)],
                "ports": [{"containerPort": 8080, "name": "http"}],
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
            }
        ]
    },
}
BUDGETS = {"get": 95, "list_1000": 3700, "create_pod": 470, "patch_pod": 900, "watch_event": 5}
PEER = {
    "get": 550,
    "list_1000": 37800,
    "create_pod": 1580,
    "create_pod_alike": 1580,
    "patch_pod": 3110,
    "watch_event": 23,
    "create_configmap": 900,
    "update_configmap": 1280,
}


class Server:
    """`arktos apiserver` in a directory of its own."""

    def __init__(self, folder: Path) -> None:
        tokens = folder / "tokens.csv"
        tokens.write_text('bench-token,bench,1,"system:masters"\n')
        self.settings = Settings(str(folder), port=PORT, token_auth_file=str(tokens))
        credentials.ensure(self.settings.layout, "127.0.0.1", PORT, "10.96.0.1")
        self.component = components(self.settings)[0]
        began = time.perf_counter()
        self.process = subprocess.Popen(self.component.command, stderr=subprocess.DEVNULL)
        while unready(self.settings, self.component) is not None:
            if self.process.poll() is not None:
                raise SystemExit("the API server ended at its start")
            time.sleep(0.01)
        self.start_seconds = time.perf_counter() - began

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def rss(self) -> float:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096 / (1 << 20)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


JSON, PROTOBUF = "application/json", "application/vnd.kubernetes.protobuf"


def request(method: str, path: str, body: object = None, content_type: str = JSON, accept: str = JSON) -> str:
    head = f"{method} {path} HTTP/1.1\r\n{HEAD.replace('{type}', content_type).replace('{accept}', accept)}"
    return head + "\r\n\r\n" + (json.dumps(body, separators=(",", ":")) if body is not None else "")


def load(
    template: str, connections: int, seconds: float = SECONDS, first: int = 0, limit: int = 0
) -> dict[str, object]:
    job = {
        "host": "127.0.0.1",
        "port": PORT,
        "template": template,
        "connections": connections,
        "seconds": seconds,
        "first": first,
        "limit": limit,
    }
    done = subprocess.run(
        [sys.executable, str(HERE / "load.py")], input=json.dumps(job), capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def row(server: Server, name: str, template: str, connections: int, **more: object) -> dict[str, object]:
    before = server.cpu()
    found = load(template, connections, **more)  # type: ignore[arg-type]
    spent = server.cpu() - before
    count = max(int(str(found["requests"])), 1)
    return {
        "row": name,
        "connections": connections,
        "rps": round(count / float(str(found["seconds"]))),
        "cpu_us": round(spent / count * 1e6, 1),
        "p50_ms": round(float(str(found["p50_ms"])), 2),
        "p99_ms": round(float(str(found["p99_ms"])), 2),
        "codes": found["codes"],
        "budget_us": BUDGETS.get(name),
        "peer_us": PEER.get(name),
    }


async def watchers(
    count: int, expected: int, ready: asyncio.Event, counts: list[int], all_there: asyncio.Event, stop: asyncio.Event
) -> None:
    """`count` watches of a namespace's config maps; counts the events that reach them."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    text = request("GET", f"/api/v1/namespaces/watched-{count}/configmaps?watch=true").encode()
    loop = asyncio.get_running_loop()
    opened = 0

    class Watcher(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.write(text)  # type: ignore[attr-defined]

        def data_received(self, data: bytes) -> None:
            nonlocal opened
            if data.startswith(b"HTTP/1.1 200"):
                opened += 1
                if opened == count:
                    ready.set()
            counts[0] += data.count(b'{"type":"')
            if counts[0] >= expected:
                all_there.set()

    transports = [(await loop.create_connection(Watcher, "127.0.0.1", PORT, ssl=context))[0] for _ in range(count)]
    await stop.wait()
    for transport in transports:
        transport.abort()


def create_config_map(namespace: str, prefix: str) -> str:
    body = {"metadata": {"name": f"{prefix}-{{i}}"}, "data": {"k": "v" * 1800}}
    return request("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)


async def watch_row(server: Server, count: int, creates: int) -> dict[str, object]:
    """`cpu_us` is what an event costs for each watcher: the same creates without watchers are taken off."""
    before = server.cpu()
    await asyncio.to_thread(load, create_config_map("bench", f"alone-{count}"), 16, 60.0, 0, creates)
    alone = server.cpu() - before
    ready, all_there, stop, counts = asyncio.Event(), asyncio.Event(), asyncio.Event(), [0]
    task = asyncio.create_task(watchers(count, count * creates, ready, counts, all_there, stop))
    await ready.wait()
    template = create_config_map(f"watched-{count}", "watched")
    before, began = server.cpu(), time.perf_counter()
    await asyncio.to_thread(load, template, 16, 60.0, 0, creates)
    async with asyncio.timeout(60):
        await all_there.wait()
    took, spent = time.perf_counter() - began, server.cpu() - before
    stop.set()
    await task
    return {
        "row": "watch_event",
        "watchers": count,
        "events": counts[0],
        "expected": count * creates,
        "events_per_second": round(counts[0] / took),
        "creates_per_second": round(creates / took),
        "cpu_us": round((spent - alone) / max(counts[0], 1) * 1e6, 2),
        "cpu_us_with_creates": round(spent / max(counts[0], 1) * 1e6, 2),
        "budget_us": BUDGETS["watch_event"],
        "peer_us": PEER["watch_event"],
    }


def prepare() -> None:
    for namespace in ("bench", "listed", "watched-100", "watched-1000"):
        load(request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}}), 1, 5, 0, 1)
        account = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        load(request("POST", account, {"metadata": {"name": "default"}}), 1, 5, 0, 1)


def main() -> None:
    bare = json.loads(
        subprocess.run(
            [sys.executable, str(HERE / "http_server.py"), "2"], capture_output=True, text=True, check=True
        ).stdout
    )
    with tempfile.TemporaryDirectory() as scratch:
        server = Server(Path(scratch))
        rows: list[dict[str, object]] = []
        try:
            prepare()
            rss = {"empty": round(server.rss(), 1)}
            pods = "/api/v1/namespaces/{}/pods"
            load(request("POST", pods.format("listed"), POD), 16, 120, 0, 1000)
            one = pods.format("listed") + "/pod-1"
            rows.append(row(server, "get", request("GET", one), 64))
            rows.append(row(server, "list_1000", request("GET", pods.format("listed")), 16))
            rows.append(row(server, "get_protobuf", request("GET", one, accept=PROTOBUF), 64))
            rows.append(row(server, "list_1000_protobuf", request("GET", pods.format("listed"), accept=PROTOBUF), 16))
            # Before the creates: what the store writes behind many of them would be counted here.
            patch = {"metadata": {"annotations": {"n": "{i}"}}}
            kind = "application/strategic-merge-patch+json"
            rows.append(row(server, "patch_pod", request("PATCH", one, patch, kind), 1))
            config = {"metadata": {"name": "c-{i}"}, "data": {"k": "v" * 500}}
            configs = "/api/v1/namespaces/bench/configmaps"
            rows.append(row(server, "create_configmap", request("POST", configs, config), 64))
            update = {"metadata": {"name": "c-1"}, "data": {"k": "v" * 500, "n": "{i}"}}
            rows.append(row(server, "update_configmap", request("PUT", configs + "/c-1", update), 1))
            rows.append(row(server, "create_pod", request("POST", pods.format("bench"), POD), 64, first=1_000_000))
            alike = {**POD, "metadata": {"generateName": "web-", "labels": {"app": "web", "tier": "front"}}}
            rows.append(row(server, "create_pod_alike", request("POST", pods.format("bench"), alike), 64))
            for count, creates in ((100, 2000), (1000, 300)):
                rows.append(asyncio.run(watch_row(server, count, creates)))
            print(
                json.dumps(
                    {
                        "bench": "apiserver",
                        "cores": os.cpu_count(),
                        "start_s": round(server.start_seconds, 2),
                        "rss_mib": rss,
                        "bare": bare,
                        "rows": rows,
                    }
                )
            )
        finally:
            server.stop()


if __name__ == "__main__":
    main()
