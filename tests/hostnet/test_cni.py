"""Calling CNI plugins: small ones of the tests' own that note what they are told, and the host's real bridge."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arktos.hostnet import netns
from arktos.hostnet.cni import Cni, CniError, parsed
from arktos.hostnet.links import Links
from hostnet.private import private_network

_PLUGIN = """#!{python} -IS
import json, os, sys
conf = json.load(sys.stdin)
with open({notes!r}, "a") as notes:
    env = {{name: value for name, value in os.environ.items() if name.startswith("CNI_")}}
    notes.write(json.dumps({{"type": conf["type"], "conf": conf, "env": env}}) + "\\n")
if conf.get("fails") == os.environ["CNI_COMMAND"]:
    print(json.dumps({{"cniVersion": "1.0.0", "code": 105, "msg": "no luck", "details": "none at all"}}))
    sys.exit(1)
if conf.get("dies"):
    print("bang", file=sys.stderr)
    sys.exit(3)
if os.environ["CNI_COMMAND"] == "ADD":
    print(json.dumps(conf.get("prevResult") or {{"cniVersion": "1.0.0", "interfaces": [
        {{"name": "host0", "mac": "02:00:00:00:00:02"}},
        {{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": os.environ["CNI_NETNS"], "mtu": 1450}}],
        "ips": [{{"address": "fd00::1/64", "interface": 1}},
                {{"address": "10.1.2.3/24", "gateway": "10.1.2.1", "interface": 1}}],
        "dns": {{"nameservers": ["10.0.0.10"]}}}}))
"""


class Stage:
    def __init__(self, folder: Path) -> None:
        self.conf, self.bin, self.notes = folder / "net.d", folder / "bin", folder / "notes"
        self.conf.mkdir()
        self.bin.mkdir()
        for name in ("first", "second"):
            program = self.bin / name
            program.write_text(_PLUGIN.format(python=sys.executable, notes=str(self.notes)))
            program.chmod(0o755)
        self.cni = Cni(self.conf, [self.bin], timeout=20, cache_dir=folder / "cache")

    def configure(self, first: dict[str, Any], second: dict[str, Any], version: str = "1.0.0") -> None:
        plugins = [{"type": "first", **first}, {"type": "second", **second}]
        text = json.dumps({"cniVersion": version, "name": "net", "plugins": plugins})
        (self.conf / "10-net.conflist").write_text(text)

    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.notes.read_text().splitlines()]

    def order(self) -> list[tuple[str, str]]:
        return [(call["env"]["CNI_COMMAND"], call["type"]) for call in self.calls()]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def test_plugins_are_called_in_turn_and_undone_in_reverse(stage: Stage) -> None:
    stage.configure({"capabilities": {"portMappings": True, "bandwidth": True}}, {"capabilities": {"bandwidth": False}})
    ports = [{"hostPort": 80, "containerPort": 8080, "protocol": "tcp"}]
    able = {"portMappings": ports, "dns": {}}
    result = await stage.cni.add("c1", "/run/netns/x", "eth0", {"K8S_POD_UID": "u1", "IgnoreUnknown": "1"}, able)
    assert (result.address, result.gateway, result.mac) == ("10.1.2.3/24", "10.1.2.1", "02:00:00:00:00:01")
    assert (result.mtu, result.dns) == (1450, {"nameservers": ["10.0.0.10"]})
    await stage.cni.check("c1", "/run/netns/x", "eth0", {})
    await stage.cni.delete("c1", "/run/netns/x", "eth0", {})
    first = stage.calls()[0]
    assert first["env"]["CNI_ARGS"] == "K8S_POD_UID=u1;IgnoreUnknown=1"
    assert first["conf"]["runtimeConfig"] == {"portMappings": ports} and "capabilities" not in first["conf"]
    assert "runtimeConfig" not in stage.calls()[1]["conf"]
    assert stage.order() == [(c, p) for c in ("ADD", "CHECK") for p in ("first", "second")] + [
        ("DEL", "second"),
        ("DEL", "first"),
    ]
    assert all(call["conf"]["prevResult"] == result.raw for call in stage.calls()[1:])


async def test_failure_says_what_the_plugin_said_and_is_undone(stage: Stage) -> None:
    stage.configure({}, {"fails": "ADD"})
    with pytest.raises(CniError, match=r"second failed \(ADD\): no luck: none at all") as raised:
        await stage.cni.add("c1", "/run/netns/x", "eth0", {})
    assert raised.value.code == 105
    assert stage.order()[-2:] == [("DEL", "second"), ("DEL", "first")]
    stage.configure({"dies": True}, {})
    with pytest.raises(CniError, match="status 3: bang"):
        await stage.cni.add("c1", "/run/netns/x", "eth0", {})


async def test_a_plugin_that_hangs_is_killed(stage: Stage) -> None:
    program = stage.bin / "first"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    stage.configure({}, {})
    with pytest.raises(CniError, match="did not finish ADD"):
        await Cni(stage.conf, [stage.bin], timeout=0.2).add("c1", "/run/netns/x", "eth0", {})


async def test_old_networks_have_no_check(stage: Stage) -> None:
    stage.configure({"fails": "CHECK"}, {}, version="0.3.1")
    await stage.cni.check("c1", "/run/netns/x", "eth0", {})
    stage.configure({"fails": "CHECK"}, {})
    with pytest.raises(CniError, match="CHECK"):
        await stage.cni.check("c1", "/run/netns/x", "eth0", {})


def test_ready_says_what_is_missing(stage: Stage, tmp_path: Path) -> None:
    assert "no network configuration" in stage.cni.ready()
    stage.configure({"type": "third"}, {})
    assert "no CNI plugin 'third'" in stage.cni.ready()
    stage.configure({}, {})
    assert stage.cni.ready() == ""
    (stage.conf / "00-bad.conf").write_text("{")
    assert "00-bad.conf is no network configuration" in stage.cni.ready()
    assert "cannot read" in Cni(tmp_path / "none", []).ready()


@pytest.mark.parametrize(
    "raw", [{}, {"ips": [{"address": "fd00::1/64"}]}, {"ips": [{"address": "1.2.3.4/8", "interface": 4}]}, {"ips": 3}]
)
def test_answers_without_an_address_are_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(CniError):
        parsed(raw, "eth0")


@pytest.fixture(autouse=True)
def apart() -> Iterator[None]:
    with private_network():
        yield


@pytest.fixture
def space() -> Iterator[tuple[Path, Path]]:
    paths = [netns.create(f"arkt-{secrets.token_hex(4)}") for _ in range(2)]
    yield paths[0], paths[1]
    for path in paths:
        netns.remove(path)


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/usr/lib/cni/bridge").exists(), reason="needs root and plugins")
async def test_the_real_bridge_plugin(tmp_path: Path, space: tuple[Path, Path]) -> None:
    host, pod = space
    conf = tmp_path / "net.d"
    conf.mkdir()
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]], "dataDir": str(tmp_path / "ipam")}
    (conf / "1.conf").write_text(
        json.dumps(
            {"cniVersion": "0.4.0", "name": "n", "type": "bridge", "bridge": "tb0", "isGateway": True, "ipam": ipam}
        )
    )
    # The plugin must work in the test's own namespace, so it goes through nsenter.
    bins = tmp_path / "bin"
    bins.mkdir()
    (bins / "bridge").write_text(f"#!/bin/sh\nexec nsenter --net={host} /usr/lib/cni/bridge\n")
    (bins / "bridge").chmod(0o755)
    cni = Cni(conf, [bins, Path("/usr/lib/cni")], cache_dir=tmp_path / "cache")
    assert cni.ready() == ""
    result = await cni.add("c" * 12, pod, "eth0", {"IgnoreUnknown": "1"})
    assert result.address.startswith("10.77.0.") and result.gateway == "10.77.0.1"
    assert await asyncio.to_thread(_mac, pod) == result.mac
    await cni.check("c" * 12, pod, "eth0", {})
    await cni.delete("c" * 12, pod, "eth0", {})
    await cni.delete("c" * 12, pod, "eth0", {})
    assert await asyncio.to_thread(_mac, pod) == ""


def _mac(space: Path) -> str:
    with Links(space) as links:
        found = links.get("eth0")
        return found.mac if found else ""
