"""Kinds that tenants define: what 500 of them in 50 tenants weigh, and how soon they can be used.

    bench/crds.py [definitions [tenants]]

Prints one JSON object. `established_ms` is from the request that creates a definition to the answer of a list of its
objects; `bytes_each` is resident memory per definition, before and after each was used once; `discovery_ms` is the
first aggregated discovery of a tenant after one of its definitions changed, `again_ms` the next one, `other_ms` that of
a tenant without definitions. `cpu_us` are of the server's process, per request.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from arktos.bootstrap import credentials
from arktos.bootstrap.components import Settings, components
from arktos.bootstrap.readiness import unready
from arktos.client import Client
from arktos.model import registry
from arktos.model.kinds import Kind, Scope

DEFINITIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 500
TENANTS = int(sys.argv[2]) if len(sys.argv) > 2 else 50
PORT = 17743
TICK = os.sysconf("SC_CLK_TCK")
CRD, TENANT, NAMESPACE = (
    registry.by_resource(name) for name in ("customresourcedefinitions.apiextensions.k8s.io", "tenants", "namespaces")
)
FIELDS: dict[str, Any] = {
    f"field{n}": {
        "type": "string",
        "description": "A field of the object, as operators describe theirs.",
        "maxLength": 64,
    }
    for n in range(40)
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                **FIELDS,
                "replicas": {"type": "integer", "minimum": 0, "default": 1},
                "steps": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"type": "string"}, **FIELDS},
                    },
                },
            },
            "x-kubernetes-validations": [{"rule": "self.replicas <= 100"}],
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}


def definition(number: int, tenant: str) -> dict[str, Any]:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": SCHEMA},
        "subresources": {"status": {}},
    }
    names = {"plural": f"things{number}", "kind": f"Thing{number}"}
    return {
        "metadata": {"name": f"things{number}.bench.example.com", "tenant": tenant},
        "spec": {"group": "bench.example.com", "scope": "Namespaced", "names": names, "versions": [version]},
    }


def kind(number: int) -> Kind:
    return Kind("bench.example.com", "v1", f"Thing{number}", f"things{number}", Scope.NAMESPACE, schema="")


def thing(tenant: str, name: str = "t") -> dict[str, Any]:
    spec = {"field1": "x", "steps": [{"name": "a", "field2": "y"}]}
    return {"metadata": {"name": name, "namespace": "default", "tenant": tenant}, "spec": spec}


class Server:
    """`arktos apiserver` in a directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(str(folder), port=PORT)
        credentials.ensure(self.settings.layout, "127.0.0.1", PORT, "10.96.0.1")
        component = components(self.settings)[0]
        self.process = subprocess.Popen(component.command, stderr=subprocess.DEVNULL)
        while unready(self.settings, component) is not None:
            if self.process.poll() is not None:
                raise SystemExit("the API server ended at its start")
            time.sleep(0.05)

    def rss(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    await call()
    return (time.perf_counter() - began) * 1000


async def measure(server: Server, client: Client) -> dict[str, Any]:
    tenants = [f"bench-{n}" for n in range(TENANTS)]
    for tenant in tenants:
        await client.create(TENANT, {"metadata": {"name": tenant}, "spec": {}})
        await client.create(NAMESPACE, {"metadata": {"name": "default", "tenant": tenant}})
    empty = server.rss()
    established: list[float] = []

    async def establish(number: int) -> None:
        tenant = tenants[number % TENANTS]
        await client.create(CRD, definition(number, tenant))
        await client.list(kind(number), tenant=tenant, namespace="default")

    for number in range(DEFINITIONS):
        established.append(await timed(lambda number=number: establish(number)))  # type: ignore[misc]
    stored = server.rss()
    for number in range(DEFINITIONS):
        await client.create(kind(number), thing(tenants[number % TENANTS]))
    used = server.rss()
    return {
        "definitions": DEFINITIONS,
        "tenants": TENANTS,
        "definition_bytes": len(json.dumps(definition(0, "x"), separators=(",", ":"))),
        "established_ms": {"p50": round(statistics.median(established), 2), "max": round(max(established), 2)},
        "bytes_each": {"stored": (stored - empty) // DEFINITIONS, "used": (used - empty) // DEFINITIONS},
        **await discovery(client, tenants),
        "cpu_us": await costs(server, client, tenants[0]),
    }


async def discovery(client: Client, tenants: list[str]) -> dict[str, float]:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

    async def look(tenant: str) -> object:
        return await client._call("GET", f"/tenants/{tenant}/apis", accept=accept)

    await look("system")
    await look(tenants[0])
    name = definition(0, "x")["metadata"]["name"]
    await client.patch(CRD, name, {"metadata": {"labels": {"a": "b"}}}, tenant=tenants[0])
    first, again = await timed(lambda: look(tenants[0])), await timed(lambda: look(tenants[0]))
    return {
        "discovery_ms": round(first, 2),
        "again_ms": round(again, 2),
        "other_ms": round(await timed(lambda: look("system")), 2),
    }


async def costs(server: Server, client: Client, tenant: str, count: int = 500) -> dict[str, float]:
    async def cost(call: Callable[[int], Awaitable[object]]) -> float:
        before = server.cpu()
        for number in range(count):
            await call(number)
        return round((server.cpu() - before) / count * 1e6, 1)

    row = kind(0)
    where = {"tenant": tenant, "namespace": "default"}
    return {
        "create": await cost(lambda n: client.create(row, thing(tenant, f"t{n}"))),
        "get": await cost(lambda n: client.get(row, f"t{n}", **where)),
        "patch": await cost(lambda n: client.patch(row, f"t{n}", {"spec": {"replicas": 3}}, **where)),
    }


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            path = server.settings.layout.admin_kubeconfig
            async with Client.from_kubeconfig(path) as client:
                print(json.dumps(await measure(server, client), indent=2))
        finally:
            server.stop()


if __name__ == "__main__":
    asyncio.run(main())
