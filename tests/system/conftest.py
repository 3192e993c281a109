"""Clients of system tests: plain HTTP over TLS, with nothing of ours between a test and the socket."""

from __future__ import annotations

import base64
import dataclasses
import http.client
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from arktos.bootstrap import credentials

Obj = dict[str, Any]
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
GONE = (OSError, http.client.HTTPException, ValueError)
"""What a client meets when its server is killed; ValueError for an answer cut short."""


@dataclass
class Answer:
    status: int
    body: Obj
    headers: dict[str, str]


@dataclass
class Api:
    """A client with the credentials of a kubeconfig. One connection, not for several threads; `clone` for more."""

    host: str
    port: int
    context: ssl.SSLContext
    prefix: str = ""
    timeout: float = 20.0
    connection: http.client.HTTPSConnection | None = None

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Api:
        document = yaml.safe_load(path.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        both = path.with_name(f"{path.name}.pem")
        both.write_bytes(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        context.load_cert_chain(both)
        server = urlsplit(cluster["server"])
        return cls(str(server.hostname), int(server.port or 443), context, server.path)

    def clone(self) -> Api:
        return Api(self.host, self.port, self.context, self.prefix, self.timeout)

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout, context=self.context)

    def __call__(self, method: str, path: str, body: Obj | None = None, media: str = "application/json") -> Answer:
        """One request. Raises one of GONE when the server goes away; the next call connects again."""
        connection = self.connection
        try:
            if connection is None:
                connection = self.connection = self.connect()
            data = None if body is None else json.dumps(body).encode()
            if method == "PATCH":
                media = "application/merge-patch+json"
            connection.request(method, self.prefix + path, data, {"Content-Type": media} if data else {})
            answer = connection.getresponse()
            content = answer.read()
            if len(content) < int(answer.getheader("Content-Length") or 0):
                raise http.client.IncompleteRead(content)
            headers = {name.lower(): value for name, value in answer.getheaders()}
            parsed = json.loads(content) if "json" in headers.get("content-type", "") else {"text": content.decode()}
            return Answer(answer.status, parsed, headers)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def watch(self, path: str, since: str, stop: threading.Event) -> Iterator[Obj]:
        """Events until the stream ends, the server is gone (one of GONE) or `stop` is set."""
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=0.5, context=self.context)
        try:
            query = f"?watch=1&allowWatchBookmarks=true&resourceVersion={since}"
            connection.request("GET", self.prefix + path + query)
            answer = connection.getresponse()
            if answer.status != 200:
                yield {"type": "ERROR", "object": json.loads(answer.read())}
                return
            buffer = b""
            while not stop.is_set():
                try:
                    piece = answer.read1(1 << 16)
                except TimeoutError:
                    continue
                if not piece:
                    return
                *lines, buffer = (buffer + piece).split(b"\n")
                for line in lines:
                    yield json.loads(line)
        finally:
            connection.close()


def config_map(name: str, count: int, padding: int = 0) -> Obj:
    data = {"count": str(count), "padding": "x" * padding}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def lease(name: str, count: int, holder: str = "a") -> Obj:
    stamp = f"2026-01-01T00:00:00.{count % 1000000:06d}Z"
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": stamp, "leaseTransitions": count}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}


@dataclass
class Load:
    """Writers that go on whatever happens to the server, and what was acknowledged to them.

    Each writer creates objects and changes each of them a few times, deletes every fifth, and keeps a lease of its own.
    `counts` is the newest content that was acknowledged, `attempted` the newest that was sent.
    """

    api: Api
    writers: int = 6
    counts: dict[str, int] = field(default_factory=dict)
    attempted: dict[str, int] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    revisions: dict[int, str] = field(default_factory=dict)
    holders: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    highest: int = 0
    acknowledged: int = 0
    refused: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,), daemon=True) for n in range(self.writers)]

    @contextmanager
    def running(self) -> Iterator[Load]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(30)
            assert not any(thread.is_alive() for thread in self._threads)

    def _write(self, number: int) -> None:
        api = self.api.clone()
        item = 0
        while not self._stop.is_set():
            item += 1
            name = f"w{number}-{item}"
            self._until_done(api, "POST", CONFIGMAPS, config_map(name, 0, padding=item % 5 * 700), name, 0)
            for count in range(1, 4):
                self._until_done(api, "PUT", f"{CONFIGMAPS}/{name}", config_map(name, count), name, count)
            if item % 5 == 0:
                self._until_done(api, "DELETE", f"{CONFIGMAPS}/{name}", None, name, -1)
            self._lease(api, f"w{number}", item)

    def _lease(self, api: Api, name: str, item: int) -> None:
        """Every third change is of the holder, which is durable; the others only renew."""
        if item == 1:
            self._until_done(api, "POST", LEASES, lease(name, 0), f"lease/{name}", 0)
        holder = item // 3
        if self._until_done(api, "PATCH", f"{LEASES}/{name}", lease(name, item, f"h{holder}"), f"lease/{name}", 0):
            with self._lock:
                self.holders[name] = holder

    def _until_done(self, api: Api, method: str, path: str, body: Obj | None, name: str, count: int) -> bool:
        """Tries until it is acknowledged or the load stops."""
        repeated = False
        while not self._stop.is_set():
            with self._lock:
                before = self.highest
                self.attempted[name] = count
            try:
                answer = api(method, path, body)
            except GONE:
                repeated = True
                time.sleep(0.02)
                continue
            if self._settled(answer, method, name, count, before, repeated):
                return True
        return False

    def _settled(self, answer: Answer, method: str, name: str, count: int, before: int, repeated: bool) -> bool:
        with self._lock:
            if answer.status in (200, 201):
                self.acknowledged += 1
                if method == "DELETE":
                    self.deleted.add(name)
                    self.counts.pop(name, None)
                    return True
                revision = int(answer.body["metadata"]["resourceVersion"])
                # What had happened before the server died changes nothing now, and answers with its own revision.
                if (revision <= before or revision in self.revisions) and not repeated:
                    self.problems.append(f"{name}: revision {revision} after {before} had been handed out")
                self.revisions[revision] = name
                self.highest = max(self.highest, revision)
                self.counts[name] = count
                return True
            if answer.status in (429, 503):
                if answer.status == 503 and "retry-after" not in answer.headers:
                    self.problems.append(f"{name}: 503 without Retry-After")
                self.refused[answer.status] = self.refused.get(answer.status, 0) + 1
            elif repeated and (method, answer.status) in {("POST", 409), ("DELETE", 404)}:
                # What was sent before the server died had happened.
                if method == "DELETE":
                    self.deleted.add(name)
                    self.counts.pop(name, None)
                else:
                    self.counts[name] = count
                return True
            else:
                self.problems.append(f"{method} {name}: {answer.status} {answer.body}")
                return True
        time.sleep(0.02)
        return False

    def check(self, api: Api) -> None:
        """What was acknowledged is there, at least as new."""
        assert self.problems == []
        found = {item["metadata"]["name"]: item for item in api("GET", CONFIGMAPS).body["items"]}
        for name, count in self.counts.items():
            if name.startswith("lease/"):
                continue
            if self.attempted[name] == -1 and name not in found:
                continue  # a deletion that was not answered
            assert int(found[name]["data"]["count"]) >= count, name
        assert not self.deleted & set(found)
        held = {item["metadata"]["name"]: item["spec"] for item in api("GET", LEASES).body["items"]}
        for name, holder in self.holders.items():
            assert int(held[name]["holderIdentity"].removeprefix("h")) >= holder, name


@dataclass
class Watcher:
    """Follows a resource across crashes, as an informer does: each new watch starts where the last one ended."""

    api: Api
    path: str
    events: list[Obj] = field(default_factory=list)
    state: dict[str, Obj] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    interruptions: int = 0

    def __post_init__(self) -> None:
        listing = self.api.clone()("GET", self.path).body
        self.revision = listing["metadata"]["resourceVersion"]
        self.state = {item["metadata"]["name"]: item for item in listing["items"]}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    @contextmanager
    def running(self) -> Iterator[Watcher]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join(10)
            assert not self._thread.is_alive()

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                for event in self.api.watch(self.path, self.revision, self._stop):
                    self._take(event)
            except GONE:
                time.sleep(0.02)
            self.interruptions += 1

    def _take(self, event: Obj) -> None:
        metadata = event["object"]["metadata"]
        if event["type"] == "ERROR":
            self.problems.append(str(event["object"]))
            self._stop.set()
            return
        if int(metadata["resourceVersion"]) < int(self.revision):
            self.problems.append(f"revision {metadata['resourceVersion']} after {self.revision}")
        if event["type"] != "BOOKMARK":
            if int(metadata["resourceVersion"]) == int(self.revision):
                self.problems.append(f"{metadata['name']} at {self.revision} came twice")
            self.events.append(event)
            self._replay(event["type"], metadata["name"], event["object"])
        self.revision = metadata["resourceVersion"]

    def _replay(self, kind: str, name: str, obj: Obj) -> None:
        if (kind == "ADDED") == (name in self.state):
            self.problems.append(f"{kind} of {name}, which was {'' if name in self.state else 'not '}there")
        if kind == "DELETED":
            self.state.pop(name, None)
        else:
            self.state[name] = obj

    def agrees(self, api: Api) -> bool:
        """Whether replaying the events has led to what a list says."""
        truth = {
            item["metadata"]["name"]: item["metadata"]["resourceVersion"]
            for item in api("GET", self.path).body["items"]
        }
        return truth == {name: obj["metadata"]["resourceVersion"] for name, obj in self.state.items()}


@pytest.fixture(scope="session")
def api_for() -> Callable[[Any], Api]:
    """A client of a system's operator."""
    return lambda system: Api.from_kubeconfig(system.settings.layout.admin_kubeconfig)


@pytest.fixture(scope="session")
def load_on() -> Callable[..., Load]:
    return Load


@pytest.fixture(scope="session")
def watcher_of() -> Callable[..., Watcher]:
    return Watcher


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """Waits for a condition; fails when it does not come true in time."""

    def wait(look: Callable[[], Any], seconds: float = 20.0, what: str = "the condition") -> Any:
        deadline = time.monotonic() + seconds
        while not (found := look()):
            if time.monotonic() > deadline:
                pytest.fail(f"{what} did not come true in {seconds} s; last: {found!r}")
            time.sleep(0.02)
        return found

    return wait


@pytest.fixture
def apiserver_at(apiserver: Any, tmp_path: Path) -> Iterator[Callable[[Path], Any]]:
    """Starts an API server of the test's own in a given directory."""
    started = []

    def start(folder: Path) -> Any:
        settings = dataclasses.replace(apiserver.settings, data_dir=str(folder / "data"))
        system = type(apiserver)(settings, tmp_path)
        apiserver.stop_server()
        credentials.ensure(settings.layout, settings.address, settings.port, "10.96.0.1")
        started.append(system)
        system.start_server()
        return system

    yield start
    for system in started:
        system.stop_server()


@pytest.fixture
def port() -> int:
    """The first of three neighbouring ports that nobody uses."""
    for first in range(30000 + os.getpid() % 100 * 20, 32700, 3):
        try:
            for number in range(first, first + 3):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        return first
    raise RuntimeError("no free ports")
