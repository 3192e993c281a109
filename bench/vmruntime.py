"""What a virtual machine costs, and what its runtime does.

    bench/vmruntime.py [memory MiB ...]

Prints one JSON object: the runtime's resident memory and processor use with no machine; for each size of guest the
seconds of each step until it serves, of suspension, resume and snapshot, and the resident MiB of its process above the
guest's own memory. Needs root, QEMU and the reference CNI plugins; the guest is the tests' own.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import lab

from arktos.rpc import vm
from arktos.rpc.protos import vm_pb2 as pb
from arktos.vmruntime import stats
from assets.vm_image import vm_image
from vmruntime.harness import RuntimeClient, RuntimeProcess

SIZES = [int(text) for text in sys.argv[1:]] or [192, 512]
IDLE_SECONDS = 10


async def timed(work: Coroutine[Any, Any, Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = await work
    return round(time.perf_counter() - began, 3), found


async def idle(pid: int) -> dict[str, float]:
    before = stats.of_process(pid)
    await asyncio.sleep(IDLE_SECONDS)
    after = stats.of_process(pid)
    percent = (after.cpu - before.cpu) / 1e9 / IDLE_SECONDS * 100
    return {"resident_mib": round(after.memory / 2**20, 1), "processor_percent": round(percent, 2)}


async def one(runtime: RuntimeProcess, client: RuntimeClient, memory: int) -> dict[str, Any]:
    name = f"m{memory}"
    found: dict[str, Any] = {"memory_mib": memory}
    found["sandbox_seconds"], sandbox = await timed(client.sandbox(name))
    config = client.container_config(memory=memory << 20)
    found["create_seconds"], machine = await timed(client.container(sandbox, config))
    began = time.perf_counter()
    found["start_seconds"], _ = await timed(client.start(machine))
    await client.until_logged(name, "GUEST-READY")
    found["serving_seconds"] = round(time.perf_counter() - began, 2)
    found["overhead_mib"] = await asyncio.to_thread(lab.guest_overhead, runtime.qemus()[machine], memory)
    question = pb.CreateSnapshotRequest(id=machine, name="bench")
    found["snapshot_seconds"], _ = await timed(client(vm.CREATE_SNAPSHOT, question))
    restore = client(vm.RESTORE_SNAPSHOT, pb.RestoreSnapshotRequest(id=machine, name="bench"))
    found["restore_seconds"], _ = await timed(restore)
    found["suspend_seconds"], _ = await timed(client.power(machine, pb.SUSPENDED))
    found["resume_seconds"], _ = await timed(client.power(machine, pb.RUNNING))
    found["shutdown_seconds"], _ = await timed(client.power(machine, pb.STOPPED, 60))
    found["remove_seconds"], _ = await timed(client.remove_sandbox(sandbox))
    return found


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="vmruntime-bench-") as folder:
        runtime = RuntimeProcess(Path(folder), vm_image())
        try:
            began = time.perf_counter()
            await runtime.start()
            ready = round(time.perf_counter() - began, 2)
            client = RuntimeClient(runtime)
            await client.pull()
            assert runtime.process is not None
            result = {
                "load": os.getloadavg()[0],
                "ready_seconds": ready,
                "idle": await idle(runtime.process.pid),
                "machines": [await one(runtime, client, memory) for memory in SIZES],
            }
            await client.aclose()
            print(json.dumps(result, indent=2))
        finally:
            runtime.close()


if __name__ == "__main__":
    asyncio.run(main())
