"""What the host must allow for pods to have a network, and what on it may be in the way."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from arktos.hostnet.links import LinkError, Links
from arktos.network.embedded.nft import run
from arktos.network.embedded.rules import TABLE
from arktos.network.provider import NetworkFailure
from arktos.wire import logs

_log = logs.get_logger(__name__)

_BRIDGED = "net/bridge/bridge-nf-call-iptables"
_SYSCTLS = (
    ("net/ipv4/ip_forward", "1", "pods reach nothing outside of their bridge"),
    (_BRIDGED, "1", "replies between pods of one bridge miss the translation of services and the rules"),
)


def prepare() -> list[str]:
    """Sets the sysctls of the current network namespace, says each change in the log; gives what is missing. Blocks."""
    missing: list[str] = []
    if not (Path("/proc/sys") / _BRIDGED).exists() and (modprobe := shutil.which("modprobe")):
        subprocess.run([modprobe, "br_netfilter"], capture_output=True, check=False)
    with Links() as links:
        for name, value, loss in _SYSCTLS:
            try:
                before = links.sysctl(name, value)
            except LinkError as error:
                _log.error("sysctl_refused", sysctl=name, value=value, error=str(error), consequence=loss)
                missing.append(f"{name.replace('/', '.')} cannot be set to {value}: {loss}")
                continue
            if before != value:
                _log.info("sysctl_set", sysctl=name, value=value, before=before)
    return missing


async def obstacles() -> list[str]:
    """Chains of others that drop what is forwarded, as Docker's do: no rule of ours can overrule them."""
    found: list[str] = []
    try:
        chains = json.loads(await run(["-j", "list", "chains"]))["nftables"]
    except (NetworkFailure, ValueError, KeyError) as error:
        return [f"the host's rules cannot be read: {error}"]
    for entry in chains:
        chain = entry.get("chain") or {}
        if chain.get("hook") == "forward" and chain.get("policy") == "drop" and chain.get("table") != TABLE:
            where = f"{chain['family']} {chain['table']} {chain['name']}"
            found.append(
                f"the host's chain {where!r} drops what is forwarded and not accepted there; let it accept interfaces "
                f"ark-*, as by: iptables -I FORWARD -i ark-+ -j ACCEPT; iptables -I FORWARD -o ark-+ -j ACCEPT"
            )
    return found
