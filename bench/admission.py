"""What a write costs where admission policies are configured, and where they are not.

    bench/admission.py [requests]

Prints one JSON object: `create_us` is processor time of the server's process per CREATE of a ConfigMap, with as many
validating policies as the key says (`other`: one policy, about something else); `evaluate_us` is one evaluation of an
expression in this process.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from arktos.bootstrap import credentials
from arktos.bootstrap.components import Settings, components
from arktos.bootstrap.readiness import unready
from arktos.client import Client
from arktos.model import cel, registry

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
PORT = 17745
TICK = os.sysconf("SC_CLK_TCK")
GROUP = "admissionregistration.k8s.io"
CONFIG_MAP, TENANT, NAMESPACE, POLICY, BINDING = (
    registry.by_resource(name)
    for name in (
        "configmaps",
        "tenants",
        "namespaces",
        f"validatingadmissionpolicies.{GROUP}",
        f"validatingadmissionpolicybindings.{GROUP}",
    )
)
EXPRESSIONS = {
    "field": "object.spec.replicas <= 5",
    "labels": "has(object.metadata.labels) && object.metadata.labels.all(k, k.size() < 64)",
    "images": "object.spec.containers.all(c, c.image.startsWith('registry.example.com/'))",
    "pattern": "object.metadata.name.matches('^[a-z]+(-[a-z]+)*$')",
    "quantity": "quantity(object.spec.memory).isLessThan(quantity('4Gi'))",
}
OBJECT: dict[str, Any] = {
    "metadata": {"name": "some-name", "labels": {"app": "a", "tier": "b"}},
    "spec": {"replicas": 3, "memory": "512Mi", "containers": [{"image": "registry.example.com/a:1"}] * 3},
}


def policy(name: str, tenant: str, resource: str) -> dict[str, Any]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": [resource], "operations": ["CREATE", "UPDATE"]}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "object.data.size() < 100 && object.data.all(k, object.data[k].size() < 1000)"}],
    }
    return {"metadata": {"name": name, "tenant": tenant}, "spec": spec}


def binding(name: str, tenant: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "tenant": tenant}, "spec": {"policyName": name, "validationActions": ["Deny"]}}


def config_map(tenant: str, number: int) -> dict[str, Any]:
    meta = {"name": f"m{number}", "namespace": "default", "tenant": tenant}
    return {"metadata": meta, "data": {"a": "1", "b": "x" * 100, "c": "3"}}


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


async def creates(client: Client, pid: int, tenant: str) -> float:
    for number in range(200):
        await client.create(CONFIG_MAP, config_map(tenant, number))
    before = cpu(pid)
    for number in range(200, 200 + COUNT):
        await client.create(CONFIG_MAP, config_map(tenant, number))
    return round((cpu(pid) - before) / COUNT * 1e6, 1)


async def measure(client: Client, pid: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for label, resources in (("0", []), ("other", ["secrets"]), ("1", ["configmaps"]), ("5", ["configmaps"] * 5)):
        tenant = f"bench-{label}"
        await client.create(TENANT, {"metadata": {"name": tenant}, "spec": {}})
        await client.create(NAMESPACE, {"metadata": {"name": "default", "tenant": tenant}})
        for number, resource in enumerate(resources):
            await client.create(POLICY, policy(f"p{number}", tenant, resource))
            await client.create(BINDING, binding(f"p{number}", tenant))
        found[label] = await creates(client, pid, tenant)
    return found


def evaluations() -> dict[str, float]:
    found: dict[str, float] = {}
    for name, expression in EXPRESSIONS.items():
        program = cel.compile(expression, {"object": cel.DYN})
        values = {"object": OBJECT}
        program.evaluate(values)
        began = time.perf_counter()
        for _ in range(10_000):
            program.evaluate(values)
        found[name] = round((time.perf_counter() - began) * 100, 2)
    return found


async def created(settings: Settings, pid: int) -> dict[str, float]:
    async with Client.from_kubeconfig(settings.layout.admin_kubeconfig) as client:
        return await measure(client, pid)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(folder, port=PORT)
        credentials.ensure(settings.layout, "127.0.0.1", PORT, "10.96.0.1")
        component = components(settings)[0]
        process = subprocess.Popen(component.command, stderr=subprocess.DEVNULL)
        try:
            while unready(settings, component) is not None:
                time.sleep(0.05)
            found = asyncio.run(created(settings, process.pid))
        finally:
            process.terminate()
            process.wait()
    print(json.dumps({"create_us": found, "evaluate_us": evaluations()}, indent=2))


main()
