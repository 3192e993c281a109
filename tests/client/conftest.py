"""A small API server for the clients' tests: it stores objects, lists, watches with a history window, and
misbehaves on demand. It knows nothing of kinds: a collection is a path."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from arktos.client.client import Client
from arktos.client.kubeconfig import ClientConfig

Obj = dict[str, Any]


@dataclass
class Call:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Answer:
    """What to say to the next request instead of the truth. `cut` closes the connection without a word."""

    code: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


def status(code: int, reason: str, message: str = "", **details: Any) -> Obj:
    """A failure as the server words it."""
    body: Obj = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return body | {"message": message or reason, "details": details}


class FakeApi:
    """The truth is `objects`; `put` and `remove` change it as other clients would."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Obj] = {}
        self.history: list[tuple[int, str, str, Obj]] = []
        self.forgotten = 0
        self.revision = 100
        self.calls: list[Call] = []
        self.answers: deque[Answer] = deque()
        self.refuse_watchlist = False
        self.changed = asyncio.Condition()
        self.writers: set[asyncio.StreamWriter] = set()
        self.watching: set[asyncio.StreamWriter] = set()
        self.over: list[asyncio.Future[None]] = []
        self.port = 0

    # the truth

    async def put(self, collection: str, name: str, **content: Any) -> Obj:
        key = (collection, name)
        self.revision += 1
        old = self.objects.get(key)
        meta = dict(old["metadata"]) if old else {"name": name, "uid": f"uid-{self.revision}"}
        meta |= content.pop("metadata", {})
        meta["resourceVersion"] = str(self.revision)
        self.objects[key] = {"metadata": meta, **content}
        await self._tell("MODIFIED" if old else "ADDED", key)
        return self.objects[key]

    async def remove(self, collection: str, name: str) -> None:
        key = (collection, name)
        self.revision += 1
        self.objects[key]["metadata"] |= {"resourceVersion": str(self.revision)}
        await self._tell("DELETED", key)
        del self.objects[key]

    async def _tell(self, type: str, key: tuple[str, str]) -> None:
        self.history.append((self.revision, type, key[0], json.loads(json.dumps(self.objects[key]))))
        async with self.changed:
            self.changed.notify_all()

    def forget_history(self) -> None:
        """From now on, no revision of the past can be watched from."""
        self.history.clear()
        self.forgotten = self.revision

    def say(self, body: Any, code: int = 200, **headers: str) -> None:
        """Answers the next request with this, whatever it is."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append(Answer(code, body, named))

    def cut_watches(self) -> None:
        for writer in self.watching:
            writer.transport.abort()

    # the wire

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.over.append(over)
        self.writers.add(writer)
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.writers.discard(writer)
            self.watching.discard(writer)
            over.set_result(None)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.strip().split("\r\n")
        method, target, _ = line.split(" ")
        headers = {name.lower(): value for name, _, value in (h.partition(": ") for h in rest)}
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
        url = urlsplit(target)
        call = Call(method, url.path, dict(parse_qsl(url.query)), headers, json.loads(raw) if raw else None)
        self.calls.append(call)
        if self.answers:
            answer = self.answers.popleft()
            if answer.cut:
                return False
            await self._answer(writer, answer.code, answer.body, answer.headers)
        elif call.query.get("watch") == "true":
            return await self._watch(call, writer)
        else:
            await self._answer(writer, *self._truth(call), {})
            async with self.changed:
                self.changed.notify_all()
        return True

    async def _answer(self, writer: asyncio.StreamWriter, code: int, body: Any, headers: dict[str, str]) -> None:
        data = json.dumps(body).encode()
        extra = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {code} X\r\nContent-Length: {len(data)}\r\n{extra}\r\n".encode() + data)
        await writer.drain()

    def _truth(self, call: Call) -> tuple[int, Any]:
        collection, _, name = call.path.rpartition("/")
        known = self.objects.get((collection, name))
        if call.method == "GET" and known is None and self._is_collection(call.path):
            return 200, self._page(call)
        if call.method == "POST":
            key = (call.path, call.body["metadata"]["name"])
            if key in self.objects:
                return 409, status(409, "AlreadyExists")
            return 201, self._store("ADDED", key, call.body)
        if known is None:
            return 404, status(404, "NotFound")
        if call.method == "PUT":
            wanted = call.body["metadata"].get("resourceVersion")
            if wanted and wanted != known["metadata"]["resourceVersion"]:
                return 409, status(409, "Conflict")
            return 200, self._store("MODIFIED", (collection, name), call.body)
        if call.method == "PATCH":
            return 200, self._store("MODIFIED", (collection, name), known | call.body)
        return 200, known

    @staticmethod
    def _is_collection(path: str) -> bool:
        return path.endswith("s")

    def _page(self, call: Call) -> Obj:
        items = [o for (c, _), o in sorted(self.objects.items()) if c == call.path]
        start = int(call.query.get("continue", "0"))
        limit = int(call.query.get("limit", "0")) or len(items) or 1
        meta = {"resourceVersion": str(self.revision)}
        if start + limit < len(items):
            meta["continue"] = str(start + limit)
        return {"kind": "List", "apiVersion": "v1", "metadata": meta, "items": items[start : start + limit]}

    def _store(self, type: str, key: tuple[str, str], body: Obj) -> Obj:
        self.revision += 1
        old = self.objects.get(key)
        uid = old["metadata"]["uid"] if old else f"uid-{self.revision}"
        meta = body["metadata"] | {"name": key[1], "uid": uid, "resourceVersion": str(self.revision)}
        self.objects[key] = body | {"metadata": meta}
        self.history.append((self.revision, type, key[0], json.loads(json.dumps(self.objects[key]))))
        return self.objects[key]

    async def _watch(self, call: Call, writer: asyncio.StreamWriter) -> bool:
        initial = call.query.get("sendInitialEvents") == "true"
        if initial and self.refuse_watchlist:
            await self._answer(writer, 422, status(422, "Invalid", "sendInitialEvents is forbidden"), {})
            return True
        at = int(call.query.get("resourceVersion", "0"))
        if not initial and at < self.forgotten:
            await self._answer(writer, 410, status(410, "Expired", "too old resource version"), {})
            return True
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.watching.add(writer)
        if initial:
            at = self.revision
            for (collection, _), obj in sorted(self.objects.items()):
                if collection == call.path:
                    self._event(writer, "ADDED", obj)
            end = {"k8s.io/initial-events-end": "true"}
            self._event(writer, "BOOKMARK", {"metadata": {"resourceVersion": str(at), "annotations": end}})
        while not writer.is_closing():
            if at < self.forgotten and any(True for _ in self.history):
                self._event(writer, "ERROR", status(410, "Expired"))
                writer.write(b"0\r\n\r\n")
                return True
            for revision, type, collection, obj in self.history:
                if revision > at:
                    at = revision
                    if collection == call.path:
                        self._event(writer, type, obj)
            await writer.drain()
            async with self.changed:
                await self.changed.wait()
        return False

    @staticmethod
    def _event(writer: asyncio.StreamWriter, type: str, obj: Obj) -> None:
        line = json.dumps({"type": type, "object": obj}).encode() + b"\n"
        writer.write(b"%x\r\n%b\r\n" % (len(line), line))


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    fake = FakeApi()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    yield fake
    server.close()
    for writer in list(fake.writers):
        writer.transport.abort()
    async with fake.changed:
        fake.changed.notify_all()
    await asyncio.gather(*fake.over)


@pytest.fixture
async def client(api: FakeApi) -> AsyncIterator[Client]:
    async with Client(ClientConfig(server=f"http://127.0.0.1:{api.port}")) as client:
        yield client
