#!/bin/sh
# Installs what the machine lacks and Python cannot bring. Says what it does; does nothing where nothing is missing.
# `machine.sh` for running Arktos, `machine.sh test` for its tests as well. Where only root could install, it says what
# is missing and goes on: what needs it will say so too.
set -u

missing=""
# need PROGRAM PACKAGE: looks also where an ordinary user's PATH does not lead.
need() {
    PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 || [ -e "$1" ] || missing="$missing $2"
}

need python3 python3
python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
need kubectl kubernetes-client
if [ "$(id -u)" -eq 0 ] || [ -n "${ARKTOS_NODE:-}" ]; then
    # What a node runs pods with. An ordinary user starts the control plane alone.
    need containerd containerd
    need runc runc
    need /usr/lib/cni/loopback containernetworking-plugins
    need nft nftables
    need ip iproute2
    need conntrack conntrack
    need qemu-system-x86_64 qemu-system-x86
    need qemu-img qemu-utils
    need mkfs.ext4 e2fsprogs
    need curl curl # the tour fetches a page
    if [ "${1:-}" = test ]; then
        need docker-registry docker-registry
        need /bin/busybox busybox-static
        need syslinux syslinux
        need /usr/lib/syslinux/mbr/mbr.bin syslinux-common
        need mformat mtools
        need dropbear dropbear-bin
        need cpio cpio
        need depmod kmod
        need openssl openssl
        need ssh openssh-client
        need ping iputils-ping
        need ethtool ethtool
        need iptables iptables
    fi
fi
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then sudo=""; elif command -v sudo >/dev/null 2>&1; then sudo="sudo"; else
    echo "Missing, and only root can install:$missing" >&2
    exit 1
fi
echo "Installing:$missing"
apt="$sudo env DEBIAN_FRONTEND=noninteractive apt-get"
$apt update -qq || echo "apt-get update failed; trying with the lists that there are" >&2
# shellcheck disable=SC2086
if ! $apt install -y -qq --no-install-recommends $missing >/dev/null; then
    # One that cannot be had must not keep the others away.
    for package in $missing; do
        $apt install -y -qq --no-install-recommends "$package" >/dev/null || echo "Could not install $package" >&2
    done
fi
command -v python3 >/dev/null 2>&1 && python3 -c 'import ensurepip' 2>/dev/null
