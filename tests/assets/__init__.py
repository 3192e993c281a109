"""What tests of nodes work with: images for containers and virtual machines, a registry, a file server."""

from __future__ import annotations

PACKAGES = (
    "busybox-static",
    "containerd",
    "containernetworking-plugins",
    "conntrack",
    "cpio",
    "docker-registry",
    "dropbear-bin",
    "e2fsprogs",
    "iproute2",
    "iptables",
    "kmod",
    "mtools",
    "nftables",
    "openssl",
    "qemu-system-x86",
    "qemu-utils",
    "runc",
    "syslinux",
    "syslinux-common",
)
"""Debian packages that tests of nodes need; without recommends."""
