"""Names: resolv.conf, /etc/hosts, hostnames."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.spec.pods import FACTS, container, pod
from arktos.agent.spec.dns import dns_config, parse_resolv_conf
from arktos.agent.spec.facts import ConfigError, Resolver
from arktos.agent.spec.hostname import pod_hostname
from arktos.agent.spec.hosts import hosts_file, writes_hosts_file

CLUSTER = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.org"]


@pytest.mark.parametrize(
    ("spec", "servers", "searches", "options"),
    [
        ({}, ["10.96.0.10"], CLUSTER, ["ndots:5"]),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, ["192.0.2.53"], ["example.org"], ["timeout:2"]),
        ({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True}, ["10.96.0.10"], CLUSTER, ["ndots:5"]),
        ({"dnsPolicy": "Default"}, ["192.0.2.53"], ["example.org"], ["timeout:2"]),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.8"]}}, ["192.0.2.8"], [], []),
        (
            {
                "dnsConfig": {
                    "nameservers": ["192.0.2.8", "10.96.0.10"],
                    "searches": ["a.b", "cluster.local"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
                }
            },
            ["10.96.0.10", "192.0.2.8"],
            [*CLUSTER, "a.b"],
            ["ndots:2", "edns0"],
        ),
    ],
)
def test_policies(spec: dict[str, Any], servers: list[str], searches: list[str], options: list[str]) -> None:
    made, warnings = dns_config(pod(**spec), FACTS)
    assert (list(made.servers), list(made.searches), list(made.options)) == (servers, searches, options)
    assert warnings == []


def test_what_a_resolver_cannot_take_is_left_out_and_told() -> None:
    stated = {"nameservers": ["1.1.1.1", "2.2.2.2", "3.3.3.3"], "searches": [f"{n:0100}.test" for n in range(40)]}
    made, warnings = dns_config(pod(dnsConfig=stated), FACTS)
    assert list(made.servers) == ["10.96.0.10", "1.1.1.1", "2.2.2.2"]
    assert len(" ".join(made.searches)) <= 2048 and list(made.searches)[:4] == CLUSTER
    assert [each.reason for each in warnings] == ["DNSConfigForming", "DNSConfigForming"]
    assert warnings[0].message == (
        "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
        "10.96.0.10 1.1.1.1 2.2.2.2"
    )
    assert warnings[1].message.startswith("Search Line limits were exceeded")


def test_without_cluster_dns_the_nodes_resolver_serves() -> None:
    made, warnings = dns_config(pod(), replace(FACTS, cluster_dns=()))
    assert list(made.servers) == ["192.0.2.53"] and [each.reason for each in warnings] == ["MissingClusterDNS"]


def test_resolv_conf() -> None:
    text = "# x\nnameserver 192.0.2.1 # first\nnameserver fe80::1%eth0\ndomain a.\n"
    text += "search b.example. c\noptions ndots:1 rotate\n"
    assert parse_resolv_conf(text) == Resolver(("192.0.2.1", "fe80::1%eth0"), ("b.example", "c"), ("ndots:1", "rotate"))


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({}, "web"),
        ({"hostname": "db", "subdomain": "sub"}, "db"),
        ({"hostname": "db", "subdomain": "sub", "setHostnameAsFQDN": True}, "db.sub.shop.svc.cluster.local"),
        ({"setHostnameAsFQDN": True}, "web"),
        ({"hostnameOverride": "other.name", "subdomain": "sub", "setHostnameAsFQDN": True}, "other.name"),
        ({"hostNetwork": True}, ""),
    ],
)
def test_hostnames(spec: dict[str, Any], name: str) -> None:
    assert pod_hostname(pod(**spec), FACTS) == name


def test_long_hostnames() -> None:
    assert pod_hostname(pod(meta={"name": "a" * 62 + ".b"}), FACTS) == "a" * 62
    with pytest.raises(ConfigError) as caught:
        pod_hostname(pod(hostname="h" * 40, subdomain="s", setHostnameAsFQDN=True), FACTS)
    assert caught.value.message == (
        f"Failed to construct FQDN from Pod hostname and cluster domain, FQDN {'h' * 40}.s.shop.svc.cluster.local is "
        "too long (64 characters is the max, 65 characters requested)"
    )


def test_hosts_file() -> None:
    aliases = [{"ip": "192.0.2.7", "hostnames": ["one", "two"]}]
    assert hosts_file(pod(subdomain="sub", hostAliases=aliases), ["10.244.0.9"], FACTS) == (
        "# Kubernetes-managed hosts file.\n"
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\n"
        "fe00::0\tip6-mcastprefix\n"
        "fe00::1\tip6-allnodes\n"
        "fe00::2\tip6-allrouters\n"
        "10.244.0.9\tweb.sub.shop.svc.cluster.local\tweb\n"
        "\n# Entries added by HostAliases.\n"
        "192.0.2.7\tone\ttwo\n"
    )
    shared = hosts_file(pod(hostNetwork=True), ["192.0.2.1"], FACTS, "127.0.0.1 localhost")
    assert shared == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n"
    assert not writes_hosts_file(pod(), container(volumeMounts=[{"mountPath": "/etc/hosts", "name": "x"}]))
