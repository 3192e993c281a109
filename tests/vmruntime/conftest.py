"""A runtime for each module that wants one, in a network namespace of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from assets.fixtures import vm_image as vm_image
from vmruntime.harness import RuntimeClient, RuntimeProcess, entered


@pytest.fixture
async def runtime(tmp_path: Path, vm_image: Path) -> AsyncIterator[RuntimeProcess]:
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and taps")
    if shutil.which("qemu-system-x86_64") is None or shutil.which("bridge", path="/usr/lib/cni") is None:
        pytest.skip("needs qemu-system-x86 and the reference CNI plugins")
    process = RuntimeProcess(tmp_path, vm_image)
    try:
        # What the runtime serves on loopback is served in its network.
        with entered(process.netns):
            await process.start()
            yield process
    finally:
        process.close()


@pytest.fixture
async def client(runtime: RuntimeProcess) -> AsyncIterator[RuntimeClient]:
    client = RuntimeClient(runtime)
    await client.pull()
    yield client
    await client.aclose()
