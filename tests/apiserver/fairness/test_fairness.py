"""Priority and fairness of a real server, under real connections."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import httptools
import pytest

from conftest import System, _system, eventually

TOKENS = 't-admin,admin,1,"system:masters"\nt-acme,alice,2,"",acme\nt-globex,bob,3,"",globex\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("fairness")
    (folder / "tokens.csv").write_text(TOKENS)
    system = _system(folder, token_auth_file=str(folder / "tokens.csv"), authorization_mode="RBAC,AlwaysAllow")
    system.start_server()
    for name in ("acme", "globex"):
        tenant = {"apiVersion": "v1", "kind": "Tenant", "metadata": {"name": name}}
        system.admin("apply", "-f", "-", input=json.dumps(tenant))
        system.tenant(name)("create", "namespace", "shop")
        system.tenant(name)("create", "configmap", "one", "-n", "shop", f"--from-literal=k={'x' * 2000}")
    yield system
    system.stop_server()


class Caller(asyncio.Protocol):
    """One connection that asks the same again and again."""

    def __init__(self, text: bytes, until: float) -> None:
        self.text, self.until = text, until
        self.taken: list[float] = []
        self.codes: dict[int, int] = {}
        self.headers: dict[str, str] = {}
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self) -> None:
        self.parser, self.sent = httptools.HttpResponseParser(self), time.perf_counter()
        self.transport.write(self.text)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_message_complete(self) -> None:
        now, code = time.perf_counter(), self.parser.get_status_code()
        self.taken.append(now - self.sent)
        self.codes[code] = self.codes.get(code, 0) + 1
        if now < self.until:
            self.ask()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def call(
    server: System, token: str, target: str, connections: int, seconds: float, body: str = ""
) -> list[Caller]:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    method = "POST" if body else "GET"
    text = (
        f"{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    loop, until = asyncio.get_running_loop(), time.perf_counter() + seconds + connections / 200
    made = [
        await loop.create_connection(lambda: Caller(text, until), "127.0.0.1", server.settings.port, ssl=context)
        for _ in range(connections)
    ]
    callers = [caller for _, caller in made]
    for caller in callers:
        caller.ask()
    await asyncio.wait([caller.done for caller in callers], timeout=seconds + 40)
    return callers


def flood(server: System, token: str, target: str, connections: int, seconds: float) -> asyncio.Task[list[Caller]]:
    return asyncio.get_running_loop().create_task(call(server, token, target, connections, seconds))


def quantiles(callers: list[Caller]) -> list[float]:
    return statistics.quantiles([taken for caller in callers for taken in caller.taken], n=20)


def test_the_first_schemas_and_levels_are_there(server: System) -> None:
    schemas = server.admin.json("get", "flowschemas")["items"]
    assert len(schemas) == 13
    assert {condition["status"] for schema in schemas for condition in schema["status"]["conditions"]} == {"False"}
    levels = server.admin.json("get", "prioritylevelconfigurations")["items"]
    assert {level["metadata"]["name"] for level in levels} >= {"exempt", "catch-all", "workload-low", "global-default"}
    assert server.tenant("acme").json("get", "flowschemas")["items"] == []


async def test_answers_name_schema_and_level(server: System) -> None:
    (caller,) = await call(server, "t-acme", "/api/v1/namespaces/shop/configmaps/one", 1, 0.0)
    uids = {
        resource: server.admin.json("get", resource, "global-default")["metadata"]["uid"]
        for resource in ("flowschema", "prioritylevelconfiguration")
    }
    assert caller.headers["x-kubernetes-pf-flowschema-uid"] == uids["flowschema"]
    assert caller.headers["x-kubernetes-pf-prioritylevel-uid"] == uids["prioritylevelconfiguration"]


async def test_a_flood_delays_itself(server: System) -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "many-"}, "data": {"k": "x" * 2000}}
    await call(server, "t-acme", "/api/v1/namespaces/shop/configmaps", 8, 1.0, json.dumps(obj))
    target = "/api/v1/configmaps"
    flooding = flood(server, "t-acme", target, 150, 4.0)
    await asyncio.sleep(0)
    watching = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - watching < 1.0:
        await call(server, "t-globex", "/version", 1, 0.0)
    calm = await call(server, "t-globex", "/api/v1/namespaces/shop/configmaps/one", 1, 1.5)
    hostile = await flooding
    assert calm[0].codes.keys() == {200}
    assert quantiles(calm)[9] < quantiles(hostile)[9] / 2
    assert quantiles(calm)[17] < 0.25


async def test_what_finds_no_room_is_told_when_to_come_again(server: System) -> None:
    level = server.admin.json("get", "prioritylevelconfiguration", "global-default")
    level["spec"]["limited"]["limitResponse"]["queuing"] = {"queues": 4, "handSize": 2, "queueLengthLimit": 3}
    level["metadata"].pop("annotations")
    server.admin("replace", "-f", "-", input=json.dumps(level))
    callers = await call(server, "t-acme", "/api/v1/configmaps?limit=500", 60, 1.5)
    refused = [caller for caller in callers if 429 in caller.codes]
    assert refused and all(caller.codes.keys() <= {200, 429} for caller in callers)
    told = server.admin("get", "--raw", "/metrics")
    assert re.search(
        r'apiserver_flowcontrol_rejected_requests_total\{flow_schema="global-default",'
        r'priority_level="global-default",reason="queue-full"\} [1-9]',
        told,
    )
    assert re.search(r'apiserver_flowcontrol_dispatched_requests_total\{flow_schema="global-default".*\} [1-9]', told)
    assert re.search(r"apiserver_flowcontrol_request_wait_duration_seconds_count\{.*global-default.*\} [1-9]", told)
    assert "apiserver_flowcontrol_nominal_limit_seats" in told
    eventually(
        lambda: 'current_inqueue_seats{priority_level="global-default"} 0.0' in server.admin("get", "--raw", "/metrics")
    )


def test_a_tenants_schemas_count_for_nobody(server: System) -> None:
    schema = {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "FlowSchema",
        "metadata": {"name": "mine"},
        "spec": {
            "priorityLevelConfiguration": {"name": "exempt"},
            "matchingPrecedence": 3,
            "rules": [
                {
                    "subjects": [{"kind": "Group", "group": {"name": "*"}}],
                    "resourceRules": [
                        {
                            "verbs": ["*"],
                            "apiGroups": ["*"],
                            "resources": ["*"],
                            "clusterScope": True,
                            "namespaces": ["*"],
                        }
                    ],
                }
            ],
        },
    }
    server.tenant("acme")("apply", "-f", "-", input=json.dumps(schema))
    server.tenant("acme")("get", "pods", "-n", "shop")
    assert 'flow_schema="mine"' not in server.admin("get", "--raw", "/metrics")
    schema["metadata"] = {"name": "ours"}
    server.admin("apply", "-f", "-", input=json.dumps(schema))
    server.admin("delete", "flowschema", "ours")


def test_a_schema_without_its_level_is_dangling(server: System) -> None:
    header = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "metadata": {"name": "lost"}}
    spec = {"priorityLevelConfiguration": {"name": "lost"}, "matchingPrecedence": 9000}
    server.admin("apply", "-f", "-", input=json.dumps({**header, "kind": "FlowSchema", "spec": spec}))

    def dangling() -> dict[str, str]:
        status = server.admin.json("get", "flowschema", "lost").get("status", {})
        return next((each for each in status.get("conditions", ()) if each["type"] == "Dangling"), {})

    eventually(lambda: dangling().get("status") == "True", what="the level is missed")
    assert dangling()["reason"] == "NotFound"
    assert dangling()["message"] == (
        'This FlowSchema references the PriorityLevelConfiguration object named "lost" but there is no such object'
    )
    limited = {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}
    level = {**header, "kind": "PriorityLevelConfiguration", "spec": {"type": "Limited", "limited": limited}}
    server.admin("apply", "-f", "-", input=json.dumps(level))
    eventually(lambda: dangling().get("status") == "False", what="the level is found")
    assert dangling()["reason"] == "Found"
    server.admin("delete", "prioritylevelconfiguration", "lost")
    eventually(lambda: dangling().get("status") == "True", what="the level is missed again")
    server.admin("delete", "flowschema", "lost")


def test_a_restart_keeps_what_was_taken_over(server: System, tmp_path: Path) -> None:
    level = server.admin.json("get", "prioritylevelconfiguration", "workload-low")
    level["spec"]["limited"]["nominalConcurrencyShares"] = 1
    server.admin("replace", "-f", "-", input=json.dumps(level))
    level = server.admin.json("get", "prioritylevelconfiguration", "leader-election")
    level["spec"]["limited"]["nominalConcurrencyShares"] = 1
    level["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"] = "false"
    server.admin("replace", "-f", "-", input=json.dumps(level))
    server.admin("delete", "flowschema", "probes")
    server.stop_server()
    server.start_server()
    shares = {
        item["metadata"]["name"]: item["spec"]["limited"]["nominalConcurrencyShares"]
        for item in server.admin.json("get", "prioritylevelconfigurations")["items"]
        if "limited" in item["spec"]
    }
    assert (shares["workload-low"], shares["leader-election"]) == (100, 1)
    assert server.admin.json("get", "flowschema", "probes")
