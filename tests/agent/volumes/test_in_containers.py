"""What containers see of their volumes, environment and limits, on a real containerd."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from agent.pods.conftest import IMAGE, shared_node
from agent.volumes.conftest import mounts_below
from conftest import eventually

__all__ = ["shared_node"]

SCRIPT = """
echo "env:$COLOUR:$SECRET:$NODE:$URL:$MEMORY"
echo "who:$(id -u):$(id -G)"
echo "conf:$(cat /conf/a):$(stat -L -c %a /conf/a)"
echo "login:$(cat /login/key):$(stat -L -c %a:%g /login/key)"
echo "token:$(stat -L -c %a:%u:%g /api/token):$(wc -c < /api/token | grep -c .)"
echo "single:$(cat /etc/single)"
echo "scratch:$(stat -c %a:%g /scratch)"
(echo x > /conf/new) 2>/dev/null || echo "conf is read-only"
echo "mine" > /logs/out; echo "sub:$(ls /scratch/logs)"
grep -c " /fast tmpfs " /proc/mounts | sed 's/^/fast:/'
echo "dns:$(tr '\\n' ';' < /etc/resolv.conf)"
echo "host:$(hostname)"
echo "oom:$(cat /proc/self/oom_score_adj)"
trap 'exit 0' TERM
while true; do echo "now:$(cat /conf/a)"; sleep 0.2; done
"""


def running(pod: Any) -> bool:
    return bool(pod["status"].get("phase") == "Running")


def _documents(node: Any) -> None:
    for document in (
        {"kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1", "colour": "blue"}},
        {"kind": "Secret", "metadata": {"name": "login"}, "stringData": {"key": "s3cret"}},
    ):
        node.admin("create", "-f", "-", input=json.dumps({"apiVersion": "v1", **document}))


def _spec() -> dict[str, Any]:
    mounts = {"conf": "/conf", "login": "/login", "api": "/api", "scratch": "/scratch", "fast": "/fast"}
    variables = [
        {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "login", "key": "key"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "URL", "value": "http://$(COLOUR)/$(NONE)"},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
    ]
    return {
        "hostname": "seer",
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["192.0.2.9"], "searches": ["example.test"]},
        "securityContext": {"runAsUser": 1234, "runAsGroup": 1235, "fsGroup": 4242},
        "containers": [
            {
                "name": "app",
                "image": IMAGE,
                "command": ["sh", "-c", SCRIPT.replace("$(", "$$(")],
                "env": variables,
                "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
                "volumeMounts": [
                    *({"name": name, "mountPath": path} for name, path in mounts.items()),
                    {"name": "conf", "mountPath": "/etc/single", "subPath": "a"},
                    {"name": "scratch", "mountPath": "/logs", "subPathExpr": "logs/$(COLOUR)"},
                ],
            }
        ],
        "volumes": [
            {"name": "conf", "configMap": {"name": "settings"}},
            {"name": "login", "secret": {"secretName": "login", "defaultMode": 0o400}},
            {"name": "api", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "fast", "emptyDir": {"medium": "Memory"}},
        ],
    }


def test_what_a_container_sees(shared_node: Any) -> None:
    node = shared_node
    _documents(node)
    node.apply("seer", _spec())
    pod = node.until("seer", running)
    uid = pod["metadata"]["uid"]
    log = next((node.home / "pods").glob("*_seer_*/app/0.log"))

    def said() -> list[str]:
        return [line.split(" ", 3)[3] for line in log.read_text().splitlines()]

    seen = eventually(lambda: (lines := said()) and any("now:1" in line for line in lines) and lines)
    found = dict(line.split(":", 1) for line in seen if ":" in line)
    assert found["env"] == "blue:s3cret:default:http://blue/$(NONE):64"
    assert found["who"].startswith("1234:") and {"1235", "4242"} <= set(found["who"].split(":")[1].split())
    assert found["conf"] == "1:644" and found["single"] == "1" and "conf is read-only" in seen
    assert found["login"] == "s3cret:440:4242"
    assert found["token"] == "640:1234:4242:1"
    assert found["scratch"] == "2777:4242" and found["sub"] == "blue" and found["fast"] == "1"
    assert found["dns"] == "search example.test;nameserver 192.0.2.9;" and found["host"] == "seer"
    assert 900 < int(found["oom"]) < 1000

    group = Path("/sys/fs/cgroup/memory") / node.name / "kubepods" / "burstable" / f"pod{uid}"
    if group.parent.parent.is_dir():
        assert (group / "memory.limit_in_bytes").read_text().strip() == str(64 << 20)
        assert any(entry.is_dir() for entry in os.scandir(group)), "the container is in its pod's cgroup"

    node.admin("patch", "configmap", "settings", "--type=merge", "-p", '{"data": {"a": "2"}}')
    eventually(lambda: any("now:2" in line for line in said()), 20, "the new content arrives")

    node.kill_agent()
    node.start_agent()
    node.admin("delete", "pod", "seer", "--wait=false")
    node.gone("seer")
    folder = node.home / "agent" / "pods" / uid
    eventually(lambda: not folder.exists(), 20, "the pod's directory is gone")
    assert mounts_below(folder) == [] and not group.exists()
