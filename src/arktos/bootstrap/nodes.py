"""What a machine needs to be a node, and what an installation was told about its own."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

CLUSTER_DOMAIN = "cluster.local"

_ROUTABLE = "192.0.2.1"
"""An address of nobody's (RFC 5737): asking for the way there sends nothing."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """One node. `address` is how other machines reach it, `server` how it reaches the API; `containers` and `vms` say
    which runtimes it has. A mirror is `PREFIX=REPLACEMENT`."""

    name: str
    address: str
    server: str
    cluster_dns: str
    containers: bool = True
    vms: bool = True
    agent_port: int = 10250
    health_port: int = 6446
    """The first of three: network, VM runtime, agent."""
    cluster_cidr: str = "10.244.0.0/16"
    cgroup_root: str = "/arktos"
    labels: str = ""
    accelerator: str = "auto"
    registry_mirrors: tuple[str, ...] = ()
    image_mirrors: tuple[str, ...] = ()
    insecure_registries: tuple[str, ...] = ()
    local_images: bool = False
    agent_args: tuple[str, ...] = ()
    """Flags of `arktos agent` beyond those that follow from the rest: `max-pods=50`."""


@dataclass(frozen=True, slots=True)
class Need:
    """A program that nodes need: what for, and the Debian package that brings it."""

    program: str
    package: str
    purpose: str


NETWORK_NEEDS = (
    Need("nft", "nftables", "the pod network"),
    Need("ip", "iproute2", "the pod network"),
)
CONTAINER_NEEDS = (
    Need("containerd", "containerd", "containers"),
    Need("ctr", "containerd", "containers"),
    Need("runc", "runc", "containers"),
    Need("/usr/lib/cni/loopback", "containernetworking-plugins", "containers"),
)
VM_NEEDS = (
    Need("qemu-system-x86_64", "qemu-system-x86", "virtual machines"),
    Need("qemu-img", "qemu-utils", "virtual machines"),
    Need("mkfs.ext4", "e2fsprogs", "virtual machines"),
)

_PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def program(name: str) -> str | None:
    """Where a program is, also in the directories that are not on an ordinary user's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_PLACES}")


def missing(needs: tuple[Need, ...]) -> list[Need]:
    return [need for need in needs if program(need.program) is None]


def obstacle() -> str:
    """Why this machine cannot be a node at all; "" if it can. (It may still lack one of the runtimes.)"""
    if os.geteuid() != 0:
        return "running pods takes root"
    if lacking := missing(NETWORK_NEEDS):
        return "; ".join(f"{need.program} is missing (package {need.package})" for need in lacking)
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is missing"
    if missing(CONTAINER_NEEDS) and missing(VM_NEEDS):
        return "neither containerd nor QEMU is installed"
    return ""


def accelerated() -> bool:
    """Whether KVM runs ordinary guests here. /dev/kvm alone does not say so: a paravirtual one opens and then fails."""
    modules = Path("/sys/module/kvm_intel").is_dir() or Path("/sys/module/kvm_amd").is_dir()
    return modules and os.access("/dev/kvm", os.R_OK | os.W_OK)


def default_name() -> str:
    """This machine's host name in the form of a node's name (RFC 1123)."""
    cleaned = re.sub(r"[^a-z0-9.-]", "-", socket.gethostname().lower()).strip("-.")
    return cleaned or "node"


def default_address(towards: str = _ROUTABLE) -> str:
    """This machine's IPv4 address on the way to `towards`; "" if it has none but loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((towards, 9))
        except OSError:
            return ""
        found = str(probe.getsockname()[0])
    return "" if found.startswith("127.") else found


def is_own(address: str) -> bool:
    """Whether this machine has an IPv4 address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def cgroup_root(data_dir: Path, default: Path) -> str:
    """The cgroup below which an installation's pods are: installations on one machine must not clean up each other."""
    if data_dir == default:
        return "/arktos"
    return "/arktos-" + hashlib.sha256(str(data_dir).encode()).hexdigest()[:8]
