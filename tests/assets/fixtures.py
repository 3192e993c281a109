"""The assets as fixtures, one of each per test process; skipped with the reason where the machine lacks a program."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from assets import container_images
from assets import vm_image as guest
from assets.http_files import FileServer
from assets.registry import Registry


def _need(*programs: str) -> None:
    missing = [name for name in programs if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="session")
def container_registry() -> Iterator[Registry]:
    """A registry that holds nothing but what tests push: use names of your own."""
    _need("docker-registry")
    with Registry() as registry:
        yield registry


@pytest.fixture(scope="session")
def busybox_image(container_registry: Registry) -> str:
    """The reference of the busybox image in the registry. It comes with `/www` for `httpd -f -p PORT -h /www`."""
    _need("busybox")
    return container_registry.push(container_images.busybox_image(), "busybox", container_images.BUSYBOX_TAG).reference


@pytest.fixture(scope="session")
def pause_image(container_registry: Registry) -> str:
    """The reference of the sandbox image in the registry."""
    return container_registry.push(container_images.pause_image(), "pause", container_images.PAUSE_TAG).reference


@pytest.fixture(scope="session")
def vm_image() -> Path:
    """A small bootable cloud image, qcow2, read-only: see `assets.vm_image`."""
    _need("qemu-img", "apt-get", "cpio", "mke2fs", "mcopy", "syslinux", "dropbear", "depmod", "openssl", "busybox")
    return guest.vm_image()


@pytest.fixture(scope="session")
def file_server() -> Iterator[FileServer]:
    """An HTTP server: `url = file_server.serve("/name", content)`; use paths of your own."""
    with FileServer() as server:
        yield server
