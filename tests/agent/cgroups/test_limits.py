"""How pods are placed and bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.spec.pods import container, pod, resources
from arktos.agent.cgroups.hierarchy import Mounted, mounted
from arktos.agent.cgroups.limits import Limits, pod_limits
from arktos.agent.cgroups.placing import class_group, pod_class, pod_group

GUARANTEED = pod(container(**resources({"cpu": "1", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"})))
BURSTABLE = pod(container(**resources({"cpu": "250m"}, {"memory": "1Gi"})))


@pytest.mark.parametrize(
    ("described", "group"),
    [
        (GUARANTEED, "arktos/kubepods/podu-1"),
        (BURSTABLE, "arktos/kubepods/burstable/podu-1"),
        (pod(), "arktos/kubepods/besteffort/podu-1"),
    ],
)
def test_places(described: dict[str, Any], group: str) -> None:
    assert pod_group("/arktos", pod_class(described), "u-1") == group


def test_a_class_is_never_changed_and_roots_may_be_deep_or_none() -> None:
    assert pod_class({**GUARANTEED, "status": {"qosClass": "Burstable"}}) == "Burstable"
    assert class_group("/a/b/", "BestEffort") == "a/b/kubepods/besteffort"
    assert class_group("/", "Guaranteed") == "kubepods"
    for uid in ("", ".", "..", "a/b", "a\0"):
        with pytest.raises(ValueError):
            pod_group("/arktos", "Burstable", uid)


@pytest.mark.parametrize(
    ("described", "limits"),
    [
        (GUARANTEED, Limits(1024, 100_000, memory=1 << 30)),
        (BURSTABLE, Limits(256, 0, memory=1 << 30)),
        (pod(), Limits(2)),
        (pod(container(**resources({"cpu": "1"}, {"cpu": "1", "memory": "1Gi"})), container("b")), Limits(1024)),
        (
            pod(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "3", "memory": "1Gi"}}),
            Limits(2048, 300_000, memory=1 << 30),
        ),
        (
            pod(GUARANTEED["spec"]["containers"][0], overhead={"cpu": "500m", "memory": "1Gi"}),
            Limits(1536, 150_000, memory=2 << 30),
        ),
    ],
)
def test_bounds(described: dict[str, Any], limits: Limits) -> None:
    assert pod_limits(described) == limits


HYBRID = """22 1 0:20 / {root} rw - tmpfs tmpfs rw
23 22 0:21 / {root}/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
24 22 0:22 / {root}/memory rw,relatime - cgroup cgroup rw,memory
25 22 0:23 / {root}/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
26 22 0:24 / {root}/unified rw,relatime - cgroup2 cgroup2 rw
"""


def test_what_is_mounted(tmp_path: Path) -> None:
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified" / "cgroup.controllers").write_text("\n")
    both = tmp_path / "cpu,cpuacct"
    assert mounted(HYBRID.format(root=tmp_path)) == Mounted(
        v1={
            "cpu": both,
            "cpuacct": both,
            "memory": tmp_path / "memory",
            "name=systemd": tmp_path / "systemd",
            "unified": tmp_path / "unified",
        }
    )
    (tmp_path / "unified" / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    assert mounted(HYBRID.format(root=tmp_path)) == Mounted(v2=tmp_path / "unified")
    assert mounted("22 1 0:20 / / rw - ext4 /dev/vda rw\n") == Mounted()
