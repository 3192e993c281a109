"""The embedded store measured: prints JSON. `python bench/store.py [--objects N] [--dir D]`.

CPU is user + system of the whole process; what the load itself costs (making bodies, tasks) is in it. Bodies have 2,400
bytes, the disk is real.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
import timeit
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvloop

from arktos.model import registry
from arktos.model.selectors import parse
from arktos.store.embedded import EmbeddedStore, open_store
from arktos.store.hub import Hub
from arktos.store.records import AtRevision, Event, Header, Key, Owner, Put, Query, Record
from arktos.store.slots import fill

RESOURCES = {"pods": ["spec.nodeName", "status.phase"]}
BODY_BYTES = 2400


def body(name: str) -> bytes:
    start = b'{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"","name":"%s"},"spec":"' % name.encode()
    return start + b"x" * (BODY_BYTES - len(start) - 2) + b'"}'


def header(number: int, node: str = "") -> Header:
    return Header(
        uid=f"{number:08x}-0000-4000-8000-{number:012x}",
        hash_key=(number * 0x9E3779B97F4A7C15) % (1 << 63),
        labels={"app": f"app-{number // 10 % 500}", "pod-template-hash": f"{number // 10 % 500:010x}", "tier": "web"},
        fields={"spec.nodeName": node or f"node-{number % 500}", "status.phase": "Running"},
        owners=(Owner("ReplicaSet", f"{number // 10:08x}-0000-4000-9000-{number:012x}"[:23], number // 10),),
    )


def key(number: int) -> Key:
    return Key("pods", "acme", f"ns-{number // 1000}", f"web-{number // 10:06}-{number:06}")


def rss() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


async def commits(store: EmbeddedStore, concurrency: int, numbers: Iterator[int]) -> dict[str, float]:
    latencies: list[float] = []

    async def client() -> None:
        for number in numbers:
            start = time.perf_counter()
            await store.commit([], [Put(key(number), header(number), body(key(number).name))])
            latencies.append(time.perf_counter() - start)

    cpu, start = time.process_time(), time.perf_counter()
    await asyncio.gather(*[client() for _ in range(concurrency)])
    cpu, seconds = time.process_time() - cpu, time.perf_counter() - start
    latencies.sort()
    return {
        "per_second": round(len(latencies) / seconds),
        "p50_ms": round(latencies[len(latencies) // 2] * 1e3, 3),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1e3, 3),
        "cpu_us": round(cpu / len(latencies) * 1e6, 1),
    }


def load_cost(objects: int) -> float:
    """What the benchmark itself spends per commit."""
    start = time.process_time()
    for number in range(objects):
        Put(key(number), header(number), body(key(number).name))
    return round((time.process_time() - start) / objects * 1e6, 1)


def each(work: Callable[[], object], seconds: float = 0.3) -> float:
    """Microseconds per call, the best of five."""
    timer = timeit.Timer(work)
    count = max(1, int(seconds / 5 / max(1e-7, timer.timeit(3) / 3)))
    return round(min(timer.repeat(5, count)) / count * 1e6, 3)


def reads(store: EmbeddedStore) -> dict[str, float]:
    pods = registry.by_resource("pods")
    one, space = key(1234), Query("pods", "acme", "ns-1")
    on_node = Query("pods", None, None, parse("", "spec.nodeName=node-7", pods))
    labelled = Query("pods", "acme", "ns-1", parse("tier=web", "", pods))
    half = (1 << 63) // 1000
    in_range = Query("pods", None, None, parse("", f"metadata.hashkey=gt:0,metadata.hashkey=lte:{half}", pods))
    started = time.perf_counter()
    store.list(in_range)
    first = time.perf_counter() - started
    return {
        "get_us": each(lambda: store.get(one)),
        "list_1000_us": each(lambda: store.list(space)),
        "list_1000_by_label_us": each(lambda: store.list(labelled)),
        "list_page_500_of_all_us": each(lambda: store.list(Query("pods", None), limit=500)),
        "list_node_us": each(lambda: store.list(on_node)),
        "list_node_objects": len(store.list(on_node).records),
        "list_hash_range_us": each(lambda: store.list(in_range)),
        "list_hash_range_objects": len(store.list(in_range).records),
        "hash_index_built_ms": round(first * 1e3, 1),
    }


def fan_out(watchers: int) -> dict[str, float]:
    """The hub alone, without what a subscriber does: 1 event and 16 events at a time."""
    turns: deque[Callable[[], None]] = deque()
    hub = Hub(lambda _: ("spec.nodeName",), turns.append)
    pods = registry.by_resource("pods")

    def dispatch(events: list[Event]) -> None:
        hub.publish(events, 2)
        while turns:
            turns.popleft()()

    events = [Event(2, Record(key(n), 2, header(n), fill(body("a"), 2)), None, None) for n in range(16)]
    for number in range(5000):
        selector = parse("", f"spec.nodeName=other-{number}", pods)
        hub.subscribe(Query("pods", None, None, selector), lambda *_: None)
    bystanders = each(lambda: dispatch(events[:1]))
    for _ in range(watchers):
        hub.subscribe(Query("pods", "acme", "ns-0"), lambda *_: None)
    return {
        "event_beside_5000_node_watches_us": bystanders,
        "event_to_1000_us": each(lambda: dispatch(events[:1])),
        "events_16_to_1000_us": each(lambda: dispatch(events)),
    }


async def lazy(store: EmbeddedStore, count: int) -> dict[str, float]:
    lease = Key("leases", "system", "kube-node-lease", "node")
    state = b'{"kind":"Lease","metadata":{"resourceVersion":""},"spec":"%s"}' % (b"x" * 400)
    done = await store.commit([], [Put(lease, Header("u"), state, lazy=True)])
    cpu = time.process_time()
    for _ in range(count):
        current = AtRevision(lease, done.revision)
        done = await store.commit([current], [Put(lease, Header("u"), state, lazy=True)])
    return {"cpu_us": round((time.process_time() - cpu) / count * 1e6, 1)}


async def fill_store(path: Path, objects: int) -> dict[str, Any]:
    async with open_store(path, RESOURCES) as store:
        numbers = iter(range(objects))
        singles = iter([next(numbers) for _ in range(min(1500, objects // 20))])
        some = iter([next(numbers) for _ in range(min(10_000, objects // 4))])
        return {
            "load_cost_us": load_cost(2000),
            "commit_1": await commits(store, 1, singles),
            "commit_16": await commits(store, 16, some),
            "commit_128": await commits(store, 128, numbers),
            "lazy": await lazy(store, 3000),
            "fan_out": fan_out(1000),
        }


async def look(path: Path) -> dict[str, Any]:
    gc.collect()
    before, start = rss(), time.perf_counter()
    async with open_store(path, RESOURCES) as store:
        seconds = time.perf_counter() - start
        gc.collect()
        stats = store.stats()
        objects = sum(stats.objects.values())
        held = rss() - before
        return {
            "objects": objects,
            "load_seconds": round(seconds, 3),
            "rss_mb": round(rss() / 1e6, 1),
            "bytes_per_object": round(held / objects),
            "overhead_per_object": round(held / objects - BODY_BYTES),
            "history_events": stats.history_events,
            "file_mb": round(stats.file_bytes / 1e6, 1),
            "reads": reads(store),
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=int, default=50_000)
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--look", type=Path)
    arguments = parser.parse_args()
    if arguments.look:
        print(json.dumps(uvloop.run(look(arguments.look))))
        return
    with tempfile.TemporaryDirectory(dir=arguments.dir) as directory:
        path = Path(directory) / "store.db"
        result = uvloop.run(fill_store(path, arguments.objects))
        # Memory is measured in a process that has done nothing else.
        looked = subprocess.run([sys.executable, __file__, "--look", str(path)], capture_output=True, check=True)
        result["loaded"] = json.loads(looked.stdout)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
