"""What an API server weighs with 0, 10,000 and 50,000 pods.

    bench/memory.py [pods ...]

Prints one JSON object: for each number, resident MiB, MiB of stored JSON, and bytes per object above what is stored;
also after a restart, which is without history.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from arktos.bootstrap import credentials
from arktos.bootstrap.components import Settings, components
from arktos.bootstrap.readiness import unready

sys.path.insert(0, str(Path(__file__).parent))
from load import Job, run

NUMBERS = [int(text) for text in sys.argv[1:]] or [0, 10_000, 50_000]
PORT = 17643
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "pod-{i}", "labels": {"app": "web", "tier": "front"}, "annotations": {"note": "x" * 100}},
    "spec": {
        "containers": [
            {
                "name": "main",
                "image": "registry.example/web:1.2.3",
                "env": [{"name": f"VARIABLE_{n}", "value": "v" * 12} for n in range(6)],
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
            }
        ]
    },
}


class Server:
    """An API server in a directory of its own, for a token's user."""

    def __init__(self, folder: Path) -> None:
        tokens = folder / "tokens.csv"
        tokens.write_text('bench-token,bench,1,"system:masters",system\n')
        self.settings = Settings(str(folder / "data"), port=PORT, token_auth_file=str(tokens))
        credentials.ensure(self.settings.layout, "127.0.0.1", PORT, "10.96.0.1")
        self.start()

    def start(self) -> None:
        component = components(self.settings)[0]
        self.process = subprocess.Popen(component.command, stderr=subprocess.DEVNULL)
        while unready(self.settings, component) is not None:
            if self.process.poll() is not None:
                raise RuntimeError("the API server does not start")
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def resident(self) -> float:
        """MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in status if line.startswith("VmRSS:")).split()[1]) / 1024

    def create(self, plural: str, obj: dict[str, object], first: int, count: int) -> None:
        """`count` objects in `default`."""
        if not count:
            return
        head = (
            f"POST /api/v1/namespaces/default/{plural} HTTP/1.1\r\nHost: localhost\r\n"
            "Authorization: Bearer bench-token\r\nContent-Type: application/json"
        )
        connections = min(count, 32)
        job = Job("127.0.0.1", PORT, f"{head}\r\n\r\n{json.dumps(obj)}", connections, 3600.0, first, count)
        done = asyncio.run(run(job))
        codes = done["codes"]
        if not isinstance(codes, dict) or set(codes) != {201}:
            raise RuntimeError(f"{asdict(job)['template'][:50]}: {codes}")


def stored(server: Server) -> tuple[int, int]:
    """Pods in the store and bytes of their JSON."""
    program = (
        "import asyncio, sys; from pathlib import Path; from arktos.store.embedded import open_store\n"
        "from arktos.store.records import Query\n"
        "async def main():\n"
        "    async with open_store(Path(sys.argv[1]), {}) as store:\n"
        "        found = store.list(Query('pods', None)).records\n"
        "        print(len(found), sum(len(record.body) for record in found))\n"
        "asyncio.run(main())"
    )
    command = [sys.executable, "-c", program, str(server.settings.layout.store)]
    count, size = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(count), int(size)


def measure(server: Server) -> list[dict[str, float]]:
    """A row for each number of pods."""
    rows: list[dict[str, float]] = []
    # What pods run as; there are no controllers here to make it.
    server.create("serviceaccounts", {"metadata": {"name": "default"}}, 0, 1)
    empty = server.resident()
    made = 0
    for number in NUMBERS:
        server.create("pods", POD, made, number - made)
        made = number
        busy = server.resident()
        server.stop()
        count, size = stored(server)
        server.start()
        fresh = server.resident()
        above = (fresh - empty) * (1 << 20) - size
        rows.append(
            {
                "pods": count,
                "rss_mib_with_history": round(busy, 1),
                "rss_mib_after_restart": round(fresh, 1),
                "stored_mib": round(size / (1 << 20), 1),
                "bytes_above_stored_per_object": round(above / count) if count else 0,
            }
        )
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            rows = measure(server)
        finally:
            server.stop()
    print(json.dumps({"benchmark": "memory", "rows": rows, "budget_mib_at_50000": round(300e6 / (1 << 20), 1)}))


if __name__ == "__main__":
    main()
