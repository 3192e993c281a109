"""What pods take of the kernel: file systems, links, filters, cgroups, KVM. Read from what it shows of itself.

Whether it makes links and filters is tried out, in a network namespace that ends with the program that tries.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

from arktos.bootstrap.checks.finding import Finding, Level
from arktos.bootstrap.nodes import accelerated, program

CAP_SYS_RESOURCE = 24
CONTROLLERS = ("cpu", "memory", "pids")
_WITHIN = 3.0
_CGROUPS = Path("sys/fs/cgroup")

TRIALS = (
    ("veth", "pods have no links to their bridges", ("ip", "link", "add", "v0", "type", "veth", "peer", "v1")),
    ("bridge", "tenants have no bridges", ("ip", "link", "add", "b0", "type", "bridge")),
    ("tun", "virtual machines have no network", ("ip", "tuntap", "add", "t0", "mode", "tap")),
    ("nf_tables", "tenants cannot be kept apart", ("nft", "add", "table", "inet", "t0")),
)
"""A feature, what is missing without it, and the command that uses it."""


def findings(grave: Level, root: Path = Path("/")) -> Iterator[Finding]:
    """`grave` is how bad it is that something is missing; `root` where /proc, /sys and /lib are."""
    yield overlay(grave, root)
    yield from links(grave)
    yield forwarding(grave, root)
    yield bridged(root)
    yield cgroups(grave, root)
    yield kvm(root)
    yield resource_capability(root)


def overlay(grave: Level, root: Path) -> Finding:
    known = {line.split()[-1] for line in _text(root / "proc/filesystems").splitlines() if line.strip()}
    if "overlay" in known:
        return Finding("overlayfs", Level.OK, "there")
    modules = _text(root / "lib/modules" / platform.release() / "modules.dep")
    if "/overlay.ko" in modules:
        return Finding("overlayfs", Level.OK, "a module, loaded when it is needed")
    return Finding("overlayfs", grave, "the kernel does not have it: containers cannot be made", "modprobe overlay")


def links(grave: Level) -> Iterator[Finding]:
    """Tries each in a namespace of its own."""
    for feature, without, command in TRIALS:
        path = program(command[0])
        if path is None:
            continue  # said where programs are looked for
        problem = tried((path, *command[1:]))
        if problem is None:
            yield Finding(feature, Level.OK, "works")
        elif os.geteuid() != 0:
            yield Finding(feature, Level.OK, "cannot be tried as this user", "sudo arktos doctor")
        else:
            advice = f"modprobe {feature}; then see dmesg"
            yield Finding(feature, grave, f"the kernel refuses it ({problem}): {without}", advice)


def tried(command: tuple[str, ...]) -> str | None:
    """Why a command does not work in a network namespace of its own; None if it does."""
    alone = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"]), *command]
    try:
        done = subprocess.run(alone, capture_output=True, text=True, timeout=_WITHIN, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0]


def forwarding(grave: Level, root: Path) -> Finding:
    path = root / "proc/sys/net/ipv4/ip_forward"
    if _text(path).strip() == "1":
        return Finding("ip_forward", Level.OK, "on")
    if os.geteuid() == 0 and not os.access(path, os.W_OK):
        text = "is off, and /proc/sys cannot be written: pods reach nothing"
        return Finding("ip_forward", grave, text, "sysctl -w net.ipv4.ip_forward=1, outside of this container")
    return Finding("ip_forward", Level.OK, "off; a node turns it on")


def bridged(root: Path) -> Finding:
    if _text(root / "proc/sys/net/bridge/bridge-nf-call-iptables").strip() != "1":
        return Finding("br_netfilter", Level.OK, "not in the way: iptables does not see what stays on a bridge")
    text = "iptables sees what stays on a bridge, pods of one tenant among themselves as well"
    return Finding("br_netfilter", Level.OK, text)


def cgroups(grave: Level, root: Path) -> Finding:
    base = root / _CGROUPS
    unified = _text(base / "cgroup.controllers").split()
    if unified:
        found, version = set(unified), "v2"
    else:
        found, version = {each.name for each in base.glob("*") if (each / "cgroup.procs").exists()}, "v1"
        found |= {name for each in found for name in each.split(",")}
    lacking = [name for name in CONTROLLERS if name not in found]
    if not found:
        return Finding(
            "cgroups", grave, f"nothing is mounted on /{_CGROUPS}", "boot with systemd, or mount cgroup2 there"
        )
    if lacking:
        text = f"{version}, without {', '.join(lacking)}: those limits of pods are not kept"
        advice = "boot with cgroup_enable=memory" if "memory" in lacking else "enable them in the kernel"
        return Finding("cgroups", grave, text, advice)
    if os.geteuid() == 0 and not os.access(base, os.W_OK):
        return Finding("cgroups", grave, f"{version}, but /{_CGROUPS} is read-only", "run outside of this container")
    return Finding("cgroups", Level.OK, f"{version}, with {', '.join(CONTROLLERS)}")


def kvm(root: Path = Path("/")) -> Finding:
    if accelerated():
        return Finding("KVM", Level.OK, "runs virtual machines at full speed")
    why, advice = why_emulated(root)
    return Finding("KVM", Level.WARN, f"virtual machines are emulated, slowly: {why}", advice)


def why_emulated(root: Path) -> tuple[str, str]:
    """Why KVM does not run guests, and what to do."""
    device, modules = root / "dev/kvm", root / "sys/module"
    vendors = [name for name in ("kvm_intel", "kvm_amd") if (modules / name).is_dir()]
    if (modules / "kvm_pvm").is_dir() and not vendors:
        return "this machine is a guest whose KVM (kvm_pvm) does not run ordinary ones", "use a machine of metal"
    if device.exists() and not os.access(device, os.R_OK | os.W_OK):
        return "/dev/kvm may not be opened by this user", "run as root, or: usermod -aG kvm $USER"
    flags = set(_text(root / "proc/cpuinfo").split())
    if not flags & {"vmx", "svm"}:
        advice = "turn on VT-x or AMD-V in the firmware; in a virtual machine, nested virtualization on its host"
        return "the processor shows no hardware virtualization", advice
    return "there is no /dev/kvm", f"modprobe {'kvm_intel' if 'vmx' in flags else 'kvm_amd'}"


def resource_capability(root: Path) -> Finding:
    status = _text(root / "proc/self/status")
    bits = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapBnd:")), 0)
    if bits >> CAP_SYS_RESOURCE & 1:
        return Finding("CAP_SYS_RESOURCE", Level.OK, "there")
    text = (
        "missing: when memory runs out the kernel may end important pods as soon as others (no negative oom_score_adj)"
    )
    return Finding("CAP_SYS_RESOURCE", Level.WARN, text, "give it to the container or service that this runs in")


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
