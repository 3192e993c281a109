"""What a node does about what its pods use: tells of it, evicts, rotates. All of it real."""

from __future__ import annotations

import gzip
import json
from typing import Any

from conftest import eventually, free_ports

SMALL = ("--container-log-max-size=50k", "--container-log-max-files=3")


def running(pod: Any) -> bool:
    statuses = pod["status"].get("containerStatuses") or ()
    return pod["status"].get("phase") == "Running" and bool(statuses) and all(each["ready"] for each in statuses)


def restarted(node: Any, *flags: str) -> Any:
    """The node, its agent started again with these flags and a port that the API server can find."""
    node.kill_agent()
    node.more = [f"--port={free_ports(1)}", *flags]
    node.start_agent()
    return node


def test_what_pods_use_limits_and_logs(node: Any) -> None:
    restarted(node, *SMALL)
    burn = "while :; do n=$((n+1)); [ $((n % 5000)) = 0 ] && echo line-$n-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"
    node.run("busy", burn, "sleep 1000")
    limited = [{"name": "cache", "emptyDir": {"sizeLimit": "1Mi"}}]
    greedy = {
        "name": "c0",
        "image": "arktos.test/busybox:1",
        "command": ["sh", "-c", "dd if=/dev/zero of=/cache/f bs=1M count=4; sleep 1000"],
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
    }
    node.apply("greedy", {"containers": [greedy], "volumes": limited})
    node.until("busy", running)

    def measured() -> Any:
        found = node.admin.run("top", "pods", "--containers", "--no-headers")
        rows = {tuple(line.split()[:2]): line.split()[2:] for line in found.stdout.splitlines()}
        return rows if ("busy", "c0") in rows else None

    rows = eventually(measured, 60, "kubectl top knows the pod")
    assert int(rows["busy", "c0"][0].removesuffix("m")) > 20 > int(rows["busy", "c1"][0].removesuffix("m"))
    assert rows["busy", "c0"][1].endswith("Mi")
    (line,) = node.admin("top", "nodes", "--no-headers").splitlines()
    assert line.split()[0] == node.name and int(line.split()[1].removesuffix("m")) > 20
    text = node.admin("get", "--raw", f"/api/v1/nodes/{node.name}/proxy/metrics/resource")
    assert 'container_cpu_usage_seconds_total{container="c0",namespace="default",pod="busy",tenant="system"}' in text
    summary = json.loads(node.admin("get", "--raw", f"/api/v1/nodes/{node.name}/proxy/stats/summary"))
    assert summary["node"]["nodeName"] == node.name

    evicted = node.until("greedy", lambda pod: pod["status"]["phase"] == "Failed", 150)
    assert evicted["status"]["reason"] == "Evicted"
    assert evicted["status"]["message"] == 'Usage of EmptyDir volume "cache" exceeds the limit "1Mi". '
    (condition,) = [each for each in evicted["status"]["conditions"] if each["type"] == "DisruptionTarget"]
    assert (condition["status"], condition["reason"]) == ("True", "TerminationByKubelet")
    assert ("Evicted", evicted["status"]["message"]) in node.events("greedy")
    assert running(node.pod("busy"))

    folder = next((node.home / "pods").glob("*_busy_*/c0"))
    packed = eventually(lambda: list(folder.glob("0.log.*.gz")), 120, "logs are rotated and compressed")
    assert b"line-" in gzip.decompress(packed[0].read_bytes())
    assert len(list(folder.iterdir())) <= 3


def test_a_node_that_is_short_of_memory_says_so_and_evicts(node: Any) -> None:
    node.run("victim", "sleep 1000")
    node.run("critical", "sleep 1000", priorityClassName="system-node-critical")
    node.until("victim", running)
    node.until("critical", running)
    # All that this machine has: there is never as much.
    restarted(node, "--eviction-hard=memory.available<100%")
    victim = node.until("victim", lambda pod: pod["status"]["phase"] == "Failed", 60)
    assert victim["status"]["reason"] == "Evicted"
    assert victim["status"]["message"].startswith("The node was low on resource: memory. Threshold quantity: ")

    def pressed() -> bool:
        conditions = node.admin.json("get", "node", node.name)["status"]["conditions"]
        return any(each["type"] == "MemoryPressure" and each["status"] == "True" for each in conditions)

    eventually(pressed, 30, "the node is under memory pressure")
    assert running(node.pod("critical"))
    node.run("late", "sleep 1000")
    late = node.until("late", lambda pod: pod["status"]["phase"] == "Failed", 30)
    assert late["status"]["reason"] == "Evicted" and "[MemoryPressure]" in late["status"]["message"]
