"""CNI questions and answers, by version."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.network.cni import messages
from arktos.network.cni.messages import CniFault, question, result, version_of
from arktos.network.provider import Attached, PortMapping

ENV = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/run/netns/x",
    "CNI_IFNAME": "eth0",
    "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=web;K8S_POD_UID=u-1",
}


def ask(env: dict[str, str] | None = None, **conf: Any) -> messages.Question:
    return question({"env": {**ENV, **(env or {})}, "conf": {"cniVersion": "1.0.0", **conf}})


def test_a_whole_question() -> None:
    mappings = [
        {"hostPort": 80, "containerPort": 8080, "protocol": "TCP", "hostIP": ""},
        {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "0.0.0.0"},
        {"hostPort": 54, "containerPort": 53, "protocol": "udp", "hostIP": "10.0.0.1"},
        {"HostPort": 81, "ContainerPort": 81, "Protocol": "tcp", "HostIP": ""},
        {"hostPort": 0, "containerPort": 9},
        {"hostPort": 55, "containerPort": 55, "hostIP": "fd00::1"},
    ]
    found = ask(runtimeConfig={"portMappings": mappings})
    assert (found.pod_uid, found.pod_namespace, found.pod_name) == ("u-1", "ns", "web")
    assert found.ports == (
        PortMapping(80, 8080),
        PortMapping(53, 53, "udp"),
        PortMapping(54, 53, "udp", "10.0.0.1"),
        PortMapping(81, 81),
    )


@pytest.mark.parametrize(
    ("env", "conf", "code", "text"),
    [
        ({"CNI_COMMAND": "JUMP"}, {}, 4, "CNI_COMMAND is 'JUMP'"),
        ({"CNI_NETNS": ""}, {}, 4, "CNI_NETNS missing"),
        ({"CNI_IFNAME": "a/b"}, {}, 4, "cannot name an interface"),
        ({"CNI_IFNAME": "a" * 16}, {}, 4, "cannot name an interface"),
        ({"CNI_ARGS": "nonsense"}, {}, 4, "no NAME=VALUE"),
        ({}, {"cniVersion": "2.0.0"}, 1, "not supported"),
        ({"CNI_COMMAND": "CHECK"}, {"cniVersion": "0.3.1"}, 1, "has no CHECK"),
        ({"CNI_COMMAND": "GC"}, {"cniVersion": "1.0.0"}, 1, "has no GC"),
        ({"CNI_COMMAND": "GC"}, {"cniVersion": "1.1.0"}, 7, "valid-attachments"),
        ({}, {"runtimeConfig": {"portMappings": [{"hostPort": 70000, "containerPort": 1}]}}, 7, "out of range"),
        (
            {},
            {"runtimeConfig": {"portMappings": [{"hostPort": 1, "containerPort": 1, "protocol": "icmp"}]}},
            7,
            "range",
        ),
        ({}, {"runtimeConfig": {"portMappings": [{"hostPort": "x"}]}}, 7, "malformed"),
    ],
)
def test_refusals(env: dict[str, str], conf: dict[str, Any], code: int, text: str) -> None:
    with pytest.raises(CniFault, match=text) as refused:
        ask(env, **conf)
    assert refused.value.code == code


def test_del_needs_no_namespace_and_gc_says_who_stays() -> None:
    assert ask({"CNI_COMMAND": "DEL", "CNI_NETNS": ""}).command == "DEL"
    stays = [{"containerID": "c1", "ifname": "eth0"}]
    found = ask({"CNI_COMMAND": "GC"}, **{"cniVersion": "1.1.0", "cni.dev/valid-attachments": stays})
    assert found.attachments == {("c1", "eth0")}


def test_the_result_of_each_version() -> None:
    attached = Attached("eth0", "/run/netns/x", "02:00:00:00:00:01", 1450, "10.1.1.2/24", "10.1.1.1", "arkp1")
    new, old = result("1.0.0", attached), result("0.3.1", attached)
    assert new["interfaces"][new["ips"][0]["interface"]] == {
        "name": "eth0",
        "mac": "02:00:00:00:00:01",
        "sandbox": "/run/netns/x",
        "mtu": 1450,
    }
    assert "version" not in new["ips"][0] and old["ips"][0]["version"] == "4"
    assert (new["cniVersion"], old["cniVersion"]) == ("1.0.0", "0.3.1")
    assert new["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.1.1.1"}]


ANY = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
)
CONF = st.fixed_dictionaries({"cniVersion": ANY, "runtimeConfig": ANY})
DOCUMENTS = (
    ANY | st.fixed_dictionaries({"env": ANY, "conf": ANY}) | st.fixed_dictionaries({"env": st.just(ENV), "conf": CONF})
)


@given(DOCUMENTS)
def test_no_question_is_anything_but_understood_or_refused(document: Any) -> None:
    assert version_of(document) in messages.VERSIONS
    try:
        question(document)
    except CniFault as fault:
        assert fault.message("1.0.0")["code"] == fault.code > 0


def test_an_address_and_a_mac_may_be_asked_for() -> None:
    found = ask({"CNI_ARGS": "IgnoreUnknown=1;IP=10.1.2.3;MAC=02:00:00:00:00:01"})
    assert (str(found.address), found.mac) == ("10.1.2.3", "02:00:00:00:00:01")
    assert (ask().address, ask().mac) == (None, "")
    for wrong in ("IP=10.1.2", "IP=fd00::1", "MAC=01:00:00:00:00:01", "MAC=00:00:00:00:00:01", "MAC=02:00", "MAC=x"):
        with pytest.raises(CniFault, match=wrong.split("=")[0]):
            ask({"CNI_ARGS": wrong})
