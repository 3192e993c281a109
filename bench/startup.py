"""How long `arktos up --no-node` takes, and what it weighs.

    bench/startup.py [starts]

Prints one JSON object: seconds until everything is ready, on an empty data directory (`cold`: certificates are made)
and on one that was used (`warm`, the median of several), seconds of `arktos down`, and each process's resident MiB.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STARTS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
PORT = 17543
PROCESSES = ("supervisor", "keeper", "apiserver", "controllers", "scheduler")


def arktos(data_dir: Path, *arguments: str) -> float:
    """Seconds of a command."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "arktos", *arguments, f"--data-dir={data_dir}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def resident(data_dir: Path) -> dict[str, float]:
    """Resident MiB of each process."""
    found = {}
    for name in PROCESSES:
        pid = json.loads((data_dir / "run" / f"{name}.json").read_text())["pid"]
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        found[name] = int(next(line for line in status if line.startswith("VmRSS:")).split()[1]) / 1024
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        up = ("up", "--no-node", f"--port={PORT}")
        starts, stops, weights = [], [], {}
        for _ in range(STARTS + 1):
            starts.append(arktos(data_dir, *up))
            weights = resident(data_dir)
            stops.append(arktos(data_dir, "down"))
    result = {
        "benchmark": "startup",
        "cold_seconds": round(starts[0], 2),
        "warm_seconds": round(statistics.median(starts[1:]), 2),
        "budget_seconds": 3,
        "down_seconds": round(statistics.median(stops), 2),
        "rss_mib": {name: round(size, 1) for name, size in weights.items()},
        "rss_mib_sum": round(sum(weights.values()), 1),
        "budget_mib": round(250e6 / (1 << 20), 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
