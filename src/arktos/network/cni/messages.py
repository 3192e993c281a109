"""The CNI specification's messages: what is asked, and answers and errors as its versions write them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from arktos.network.provider import Attached, PortMapping

Json = dict[str, Any]

INCOMPATIBLE_VERSION = 1
BAD_ENVIRONMENT = 4
IO_FAILURE = 5
UNDECODABLE = 6
BAD_CONFIGURATION = 7
TRY_AGAIN = 11
UNAVAILABLE = 50
"""STATUS only: no ADD can succeed now."""
FAILED = 100

VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
_SINCE = {"CHECK": 2, "GC": 4, "STATUS": 4}
"""Index of the version in which a command came."""
_COMMANDS = ("ADD", "DEL", "CHECK", "GC", "STATUS")
_OWN_MAC = re.compile(r"[0-9a-f][26ae](:[0-9a-f]{2}){5}")
_PROTOCOLS = ("tcp", "udp", "sctp")


class CniFault(Exception):
    """An error as the specification has it."""

    def __init__(self, code: int, message: str, details: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.details = details

    def message(self, version: str) -> Json:
        return {"cniVersion": version, "code": self.code, "msg": str(self), "details": self.details}


@dataclass(frozen=True, slots=True)
class Question:
    """One call. `pod_*`, `address` and `mac` are from CNI_ARGS; `attachments` are those of GC."""

    command: str
    version: str
    container_id: str = ""
    netns: str = ""
    ifname: str = ""
    pod_uid: str = ""
    pod_namespace: str = ""
    pod_name: str = ""
    ports: tuple[PortMapping, ...] = ()
    attachments: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    address: IPv4Address | None = None
    mac: str = ""


def version_of(document: Any) -> str:
    """The version to answer in, whatever else is wrong with the question."""
    try:
        found = document["conf"].get("cniVersion")
    except (KeyError, TypeError, AttributeError):
        return VERSIONS[-2]
    return found if found in VERSIONS else VERSIONS[-2]


def question(document: Any) -> Question:
    """What the shim sent, understood. Raises CniFault."""
    try:
        env, conf = dict(document["env"]), dict(document["conf"])
    except (KeyError, TypeError, ValueError) as error:
        raise CniFault(UNDECODABLE, "the call cannot be read", repr(error)) from error
    version = conf.get("cniVersion") or VERSIONS[-2]
    if version not in VERSIONS:
        raise CniFault(INCOMPATIBLE_VERSION, f"version {version!r} is not supported", f"supported: {VERSIONS}")
    command = env.get("CNI_COMMAND", "")
    if command not in _COMMANDS:
        raise CniFault(BAD_ENVIRONMENT, f"CNI_COMMAND is {command!r}")
    if VERSIONS.index(version) < _SINCE.get(command, 0):
        raise CniFault(INCOMPATIBLE_VERSION, f"version {version} has no {command}")
    if command == "STATUS":
        return Question(command, version)
    if command == "GC":
        return Question(command, version, attachments=_attachments(conf))
    return _interface_question(command, version, env, conf)


def _interface_question(command: str, version: str, env: Mapping[str, str], conf: Json) -> Question:
    needed = ("CNI_CONTAINERID", "CNI_IFNAME") if command == "DEL" else ("CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS")
    missing = [name for name in needed if not env.get(name)]
    if missing:
        raise CniFault(BAD_ENVIRONMENT, f"{', '.join(missing)} missing")
    ifname = env["CNI_IFNAME"]
    if len(ifname) > 15 or "/" in ifname or ":" in ifname or ifname in (".", "..") or not ifname.isprintable():
        raise CniFault(BAD_ENVIRONMENT, f"CNI_IFNAME {ifname!r} cannot name an interface")
    args = arguments(env.get("CNI_ARGS", ""))
    runtime = conf.get("runtimeConfig") or {}
    return Question(
        command,
        version,
        env["CNI_CONTAINERID"],
        env.get("CNI_NETNS", ""),
        ifname,
        args.get("K8S_POD_UID", ""),
        args.get("K8S_POD_NAMESPACE", ""),
        args.get("K8S_POD_NAME", ""),
        _ports(runtime.get("portMappings") if isinstance(runtime, dict) else None) if command == "ADD" else (),
        address=_address(args.get("IP", "")),
        mac=_mac(args.get("MAC", "")),
    )


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text) if text else None
    except ValueError:
        raise CniFault(BAD_ENVIRONMENT, f"CNI_ARGS: IP {text!r} is no IPv4 address") from None


def _mac(text: str) -> str:
    """One that may be a pod's: of one interface, and of no maker's."""
    if text and not _OWN_MAC.fullmatch(text):
        raise CniFault(BAD_ENVIRONMENT, f"CNI_ARGS: MAC {text!r} is no locally administered unicast address")
    return text


def arguments(text: str) -> dict[str, str]:
    """CNI_ARGS. Raises CniFault."""
    found: dict[str, str] = {}
    for pair in filter(None, text.split(";")):
        name, equals, value = pair.partition("=")
        if not equals:
            raise CniFault(BAD_ENVIRONMENT, f"CNI_ARGS: {pair!r} is no NAME=VALUE")
        found[name] = value
    return found


def result(version: str, attached: Attached, dns: Json | None = None) -> Json:
    """The answer to ADD."""
    host: Json = {"name": attached.host_ifname}
    inside: Json = {"name": attached.ifname, "mac": attached.mac, "sandbox": attached.netns, "mtu": attached.mtu}
    address: Json = {"address": attached.address, "gateway": attached.gateway, "interface": 1}
    if VERSIONS.index(version) < VERSIONS.index("1.0.0"):
        address["version"] = "4"
    return {
        "cniVersion": version,
        "interfaces": [host, inside],
        "ips": [address],
        "routes": [{"dst": "0.0.0.0/0", "gw": attached.gateway}],
        "dns": dns or {},
    }


def _ports(mappings: Any) -> tuple[PortMapping, ...]:
    found: list[PortMapping] = []
    try:
        for entry in mappings or ():
            # containerd writes HostPort for hostPort, and Go's plugins read either.
            mapping = {name.lower(): value for name, value in entry.items()}
            host, inside = int(mapping.get("hostport") or 0), int(mapping.get("containerport") or 0)
            protocol = str(mapping.get("protocol") or "tcp").lower()
            host_ip = str(mapping.get("hostip") or "")
            if not host or ":" in host_ip:
                continue  # Not asked for, or of a family that pods do not have here.
            if protocol not in _PROTOCOLS or not (0 < host < 65536 and 0 < inside < 65536):
                raise CniFault(BAD_CONFIGURATION, f"portMappings: {entry!r} is out of range")
            found.append(PortMapping(host, inside, protocol, "" if host_ip == "0.0.0.0" else host_ip))
    except (TypeError, ValueError, AttributeError) as error:
        raise CniFault(BAD_CONFIGURATION, "portMappings are malformed", repr(error)) from error
    return tuple(dict.fromkeys(found))


def _attachments(conf: Json) -> frozenset[tuple[str, str]]:
    if "cni.dev/valid-attachments" not in conf:
        # Else a runtime that does not know the command's key would have everything removed.
        raise CniFault(BAD_CONFIGURATION, "GC needs cni.dev/valid-attachments")
    try:
        return frozenset((str(e["containerID"]), str(e["ifname"])) for e in conf["cni.dev/valid-attachments"] or ())
    except (KeyError, TypeError) as error:
        raise CniFault(BAD_CONFIGURATION, "cni.dev/valid-attachments is malformed", repr(error)) from error
