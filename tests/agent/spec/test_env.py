"""The environment of a container, from every source."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from agent.spec.pods import FACTS, container, pod, resources
from arktos.agent.spec.downward import field_value, resource_value
from arktos.agent.spec.env import EnvironmentSources, environment, references
from arktos.agent.spec.envfile import value_of
from arktos.agent.spec.facts import ConfigError
from arktos.agent.spec.services import service_variables


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


SOURCES = EnvironmentSources(
    config_maps={"settings": config_map("settings", colour="blue", **{"no=name": "x", "dotted.key": "y"})},
    secrets={"login": {"metadata": {"name": "login"}, "data": {"password": coded("s3cret $(HOME)")}}},
    services=[
        {
            "metadata": {"name": "my-db", "namespace": "shop"},
            "spec": {
                "clusterIP": "10.96.7.7",
                "ports": [{"name": "sql-port", "port": 5432}, {"port": 53, "protocol": "UDP"}],
            },
        },
        {"metadata": {"name": "headless", "namespace": "shop"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}},
        {"metadata": {"name": "other", "namespace": "else"}, "spec": {"clusterIP": "10.96.1.1", "ports": []}},
        {
            "metadata": {"name": "kubernetes", "namespace": "default"},
            "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443}]},
        },
    ],
    pod_ips=("10.244.0.9", "fd00::9"),
)


def made(holder: dict[str, Any], sources: EnvironmentSources = SOURCES, **spec: Any) -> dict[str, str]:
    pairs = environment(pod(holder, **spec), holder, sources, FACTS)
    found = dict(pairs)
    assert len(found) == len(pairs), "a name came twice"
    return found


def test_own_values_come_over_config_maps_over_services() -> None:
    holder = container(
        env=[
            {"name": "colour", "value": "red"},
            {"name": "MY_DB_SERVICE_HOST", "value": "localhost"},
            {"name": "URL", "value": "pg://$(MY_DB_SERVICE_HOST):$(MY_DB_SERVICE_PORT)/$(dotted.key)"},
            {"name": "LATER", "value": "$(AFTER)"},
            {"name": "AFTER", "value": "1"},
        ],
        envFrom=[{"configMapRef": {"name": "settings"}}],
    )
    found = made(holder)
    assert found["colour"] == "red"
    assert found["URL"] == "pg://localhost:5432/y"
    assert found["LATER"] == "$(AFTER)"


def test_values_of_secrets_are_not_expanded() -> None:
    holder = container(
        env=[{"name": "P", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}}],
        envFrom=[{"prefix": "IN_", "secretRef": {"name": "login"}}],
    )
    found = made(holder)
    assert found["P"] == found["IN_password"] == "s3cret $(HOME)"


def test_keys_that_cannot_be_names_are_told_and_left_out() -> None:
    told: list[str] = []
    holder = container(envFrom=[{"configMapRef": {"name": "settings"}, "prefix": "S_"}])
    found = dict(environment(pod(holder), holder, SOURCES, FACTS, skipped=told.append))
    assert found["S_colour"] == "blue" and "S_no=name" not in found
    assert told == [
        "Keys [S_no=name] from the EnvFrom configMap shop/settings were skipped since they are considered invalid "
        "environment variable names."
    ]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "k"}}}]},
            'configmap "no" not found',
        ),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "no", "key": "k"}}}]}, 'secret "no" not found'),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "k"}}}]},
            "couldn't find key k in ConfigMap shop/settings",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "login", "key": "k"}}}]},
            "couldn't find key k in Secret shop/login",
        ),
        ({"envFrom": [{"configMapRef": {"name": "no"}}]}, 'configmap "no" not found'),
        ({"envFrom": [{"secretRef": {"name": "no"}}]}, 'secret "no" not found'),
        (
            {"env": [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k"}}}]},
            'environment file "p" not found in volume "v"',
        ),
    ],
)
def test_what_is_missing_is_named(part: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(container(**part))
    assert (caught.value.reason, caught.value.message) == ("CreateContainerConfigError", message)


def test_what_is_optional_may_be_missing() -> None:
    holder = container(
        env=[
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "k", "optional": True}}},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "login", "key": "no", "optional": True}}},
            {"name": "C", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k", "optional": True}}},
        ],
        envFrom=[{"secretRef": {"name": "no", "optional": True}}],
    )
    assert not {"A", "B", "C"} & set(made(holder))


def test_environment_files() -> None:
    text = "# made by init\n\nA='one'\n B='two\nlines = \"x\"' # why\nA='later'\nD= 'not'\nE=''\n"
    assert value_of(text, "A") == "one"
    assert value_of(text, "B") == 'two\nlines = "x"'
    assert value_of(text, "D") == value_of(text, "E") == ""
    assert value_of(text, "C") is None
    for malformed, why in {
        "A": "missing '='",
        "='1'": "empty variable name",
        "A ='1'": "whitespace before '=' is not allowed",
        "A=1": "value must be enclosed in single quotes",
        "A='1\n2": "unclosed single quote",
        "A='1' B": "unexpected content after closing quote",
    }.items():
        with pytest.raises(ValueError, match=f"invalid environment variable format at line 1: {why}"):
            value_of(malformed, "A")
    ref = {"volumeName": "v", "path": "p", "key": "B"}
    holder = container(env=[{"name": "B", "valueFrom": {"fileKeyRef": ref}}])
    assert references(holder).files == {("v", "p")}
    assert made(holder, EnvironmentSources(files={("v", "p"): "B='x y'"}))["B"] == "x y"
    with pytest.raises(ConfigError, match='environment variable key "B" not found in file "p"'):
        made(holder, EnvironmentSources(files={("v", "p"): "A='x'"}))


def test_service_links() -> None:
    found = service_variables(SOURCES.services, "shop", links=True)
    assert found == {
        "KUBERNETES_SERVICE_HOST": "10.96.0.1",
        "KUBERNETES_SERVICE_PORT": "443",
        "KUBERNETES_PORT": "tcp://10.96.0.1:443",
        "KUBERNETES_SERVICE_PORT_HTTPS": "443",
        "KUBERNETES_PORT_443_TCP": "tcp://10.96.0.1:443",
        "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
        "KUBERNETES_PORT_443_TCP_PORT": "443",
        "KUBERNETES_PORT_443_TCP_ADDR": "10.96.0.1",
        "MY_DB_SERVICE_HOST": "10.96.7.7",
        "MY_DB_SERVICE_PORT": "5432",
        "MY_DB_PORT": "tcp://10.96.7.7:5432",
        "MY_DB_SERVICE_PORT_SQL_PORT": "5432",
        "MY_DB_PORT_5432_TCP": "tcp://10.96.7.7:5432",
        "MY_DB_PORT_5432_TCP_PROTO": "tcp",
        "MY_DB_PORT_5432_TCP_PORT": "5432",
        "MY_DB_PORT_5432_TCP_ADDR": "10.96.7.7",
        "MY_DB_PORT_53_UDP": "udp://10.96.7.7:53",
        "MY_DB_PORT_53_UDP_PROTO": "udp",
        "MY_DB_PORT_53_UDP_PORT": "53",
        "MY_DB_PORT_53_UDP_ADDR": "10.96.7.7",
    }
    assert {name.split("_")[0] for name in service_variables(SOURCES.services, "shop", links=False)} == {"KUBERNETES"}
    six = {"metadata": {"name": "s", "namespace": "n"}, "spec": {"clusterIP": "fd00::1", "ports": [{"port": 80}]}}
    assert service_variables([six], "n", links=True)["S_PORT"] == "tcp://[fd00::1]:80"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web"),
        ("metadata.namespace", "shop"),
        ("metadata.tenant", "acme"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['a/b']", 'say "hi"'),
        ("metadata.labels", 'app="web"\ntier="1"'),
        ("metadata.annotations", 'a/b="say \\"hi\\""'),
        ("spec.nodeName", "node1"),
        ("spec.serviceAccountName", "robot"),
        ("status.hostIP", "192.0.2.1"),
        ("status.podIP", "10.244.0.9"),
        ("status.podIPs", "10.244.0.9,fd00::9"),
    ],
)
def test_fields(path: str, value: str) -> None:
    meta = {"labels": {"tier": "1", "app": "web"}, "annotations": {"a/b": 'say "hi"'}}
    described = pod(meta=meta, serviceAccountName="robot")
    assert field_value(described, path, FACTS, SOURCES.pod_ips) == value


def test_fields_of_pods_on_the_nodes_network_and_unknown_ones() -> None:
    assert field_value(pod(hostNetwork=True), "status.podIP", FACTS) == "192.0.2.1"
    known = {**pod(), "status": {"podIPs": [{"ip": "10.244.0.3"}]}}
    assert field_value(known, "status.podIP", FACTS) == "10.244.0.3"
    with pytest.raises(ConfigError, match=r"unsupported fieldPath: spec\.what"):
        field_value(pod(), "spec.what", FACTS)


@pytest.mark.parametrize(
    ("selector", "value"),
    [
        ({"resource": "limits.cpu"}, "2"),
        ({"resource": "limits.cpu", "divisor": "1m"}, "1500"),
        ({"resource": "limits.memory"}, str(64 << 20)),
        ({"resource": "limits.memory", "divisor": "1Mi"}, "64"),
        ({"resource": "limits.memory", "divisor": "1G"}, "1"),
        ({"resource": "requests.cpu", "divisor": "0"}, "1"),
        ({"resource": "requests.memory"}, "0"),
        ({"resource": "limits.ephemeral-storage", "divisor": "1Gi"}, "10"),
        ({"resource": "limits.cpu", "containerName": "bare"}, "4"),
        ({"resource": "limits.memory", "containerName": "bare", "divisor": "1Gi"}, "8"),
        ({"resource": "requests.cpu", "containerName": "bare"}, "0"),
    ],
)
def test_resources(selector: dict[str, str], value: str) -> None:
    holder = container(**resources({"cpu": "250m"}, {"cpu": "1500m", "memory": "64Mi"}))
    assert resource_value(pod(holder, container("bare")), holder, selector, FACTS) == value


def test_resources_of_the_pod_stand_in_for_those_of_its_containers() -> None:
    whole = {"limits": {"memory": "1Gi"}}
    holder = container()
    assert resource_value(pod(holder, resources=whole), holder, {"resource": "limits.memory"}, FACTS) == str(1 << 30)
    with pytest.raises(ConfigError, match="container gone not found"):
        resource_value(pod(holder), holder, {"resource": "limits.cpu", "containerName": "gone"}, FACTS)
    with pytest.raises(ConfigError, match="unsupported container resource"):
        resource_value(pod(holder), holder, {"resource": "cpu"}, FACTS)
