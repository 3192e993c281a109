"""What a node needs of its machine besides the kernel: rights, programs, name servers, nobody who drops its packets."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from arktos.bootstrap.checks.finding import Finding, Level
from arktos.bootstrap.nodes import CONTAINER_NEEDS, NETWORK_NEEDS, VM_NEEDS, missing, program

OURS = "arktos"
"""How the names of our own nft tables begin."""

_WITHIN = 3.0
_DNS_WITHIN = 1.5
_DNS_PORT = 53


def findings(grave: Level) -> Iterator[Finding]:
    """`grave` is how bad it is that something is missing."""
    if os.geteuid() == 0:
        yield Finding("root", Level.OK, "this is root")
    else:
        yield Finding("root", grave, "running pods takes root; a control plane alone does not", "sudo arktos up")
    for purpose, needs in (("network", NETWORK_NEEDS), ("containers", CONTAINER_NEEDS), ("virtual machines", VM_NEEDS)):
        lacking = missing(needs)
        for need in lacking:
            yield Finding(
                "program", grave, f"{need.program} is missing: {need.purpose}", f"apt-get install {need.package}"
            )
        if not lacking:
            yield Finding("programs", Level.OK, f"for {purpose}: {', '.join(_short(need.program) for need in needs)}")
    if Path("/dev/net/tun").exists():
        yield Finding("/dev/net/tun", Level.OK, "there")
    else:
        advice = "modprobe tun; in a container, give it the device"
        yield Finding("/dev/net/tun", grave, "is missing: virtual machines have no network", advice)


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def forwarding() -> Iterator[Finding]:
    """Whether somebody else's rules drop what pods send."""
    path = program("nft")
    if os.geteuid() != 0 or path is None:
        yield Finding("forwarding", Level.OK, "rules cannot be read as this user", "sudo arktos doctor")
        return
    command = [path, "--json", "list", "chains"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN, check=False)
    try:
        chains = [each["chain"] for each in json.loads(listed.stdout)["nftables"] if "chain" in each]
    except (ValueError, KeyError):
        yield Finding("forwarding", Level.WARN, f"nft does not tell its chains: {listed.stderr.strip()[:200]}")
        return
    droppers = [*foreign_droppers(chains), *_legacy()]
    if not droppers:
        yield Finding("forwarding", Level.OK, "nobody else drops packets")
    for dropper in droppers:
        docker = "iptables -I DOCKER-USER -j ACCEPT" if program("dockerd") else "iptables -P FORWARD ACCEPT"
        yield Finding("forwarding", Level.WARN, f"{dropper} drops what nobody accepts: pods reach nothing", docker)


def foreign_droppers(chains: Iterable[dict[str, object]]) -> list[str]:
    """The chains of others, as nft lists them, that drop forwarded packets by default. Pure."""
    return [
        f"chain {chain['name']} of table {chain['family']} {chain['table']}"
        for chain in chains
        if chain.get("hook") == "forward" and chain.get("policy") == "drop" and not _is_ours(str(chain["table"]))
    ]


def _is_ours(table: str) -> bool:
    return table == OURS or table.startswith(f"{OURS}-")


def _legacy() -> list[str]:
    """The same of the older iptables, which nft does not show. Only where it is in use: to ask loads it."""
    try:
        used = "filter" in Path("/proc/net/ip_tables_names").read_text().split()
    except OSError:
        used = False
    path = program("iptables-legacy")
    if not used or path is None:
        return []
    command = [path, "-w", "1", "-S", "FORWARD"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN, check=False)
    return ["chain FORWARD of iptables-legacy"] if "-P FORWARD DROP" in listed.stdout else []


def name_servers(path: Path = Path("/etc/resolv.conf"), port: int = _DNS_PORT) -> Iterator[Finding]:
    """Whether the resolvers that pods' questions are passed on to answer."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    servers = [words[1] for line in lines if (words := line.split())[:1] == ["nameserver"] and len(words) > 1]
    if not servers:
        text = f"{path} names none: pods resolve the cluster's names only"
        yield Finding("name servers", Level.WARN, text, f"put a nameserver line into {path}")
        return
    problems = [(server, problem) for server in servers[:3] if (problem := unanswered(server, port))]
    for server, problem in problems:
        text = f"{server} does not answer ({problem}): pods resolve the world's names slowly, or not"
        yield Finding("name server", Level.WARN, text, f"put one that does into {path}")
    if len(problems) < len(servers[:3]):
        silent = {server for server, _ in problems}
        answering = ", ".join(server for server in servers[:3] if server not in silent)
        yield Finding("name servers", Level.OK, f"{answering} answers")


def unanswered(server: str, port: int = _DNS_PORT) -> str:
    """Why a name server does not answer; "" if it does. Asks for the root's name servers."""
    ident = secrets.token_bytes(2)
    question = ident + bytes.fromhex("010000010000000000000000020001")
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            server, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )[0]
        with socket.socket(family, kind) as asker:
            asker.settimeout(_DNS_WITHIN / 2)
            asker.connect(address)
            asker.send(question)
            answer = asker.recv(4096)
    except OSError as error:
        return str(error) or type(error).__name__
    return "" if answer[:2] == ident else "it answers something else"
