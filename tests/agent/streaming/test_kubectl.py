"""kubectl of every minor, through API server and agent, to containers: commands, logs, files and ports."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from arktos.agent.runtimes import Runtime, RuntimeSpec
from arktos.rpc import cri
from arktos.rpc.protos import cri_pb2 as pb
from conftest import Kubectl, eventually, kubectl_binaries

POD = "shell"


def running(pod: Any) -> bool:
    statuses = pod["status"].get("containerStatuses") or ()
    return pod["status"].get("phase") == "Running" and bool(statuses) and all(each["ready"] for each in statuses)


@pytest.fixture(scope="module")
def shell(shared_node: Any) -> Any:
    """A node that runs a pod with two containers: a shell, and a web server."""
    shared_node.run(POD, "echo started; sleep 100000", "httpd -f -p 8080 -h /www")
    shared_node.until(POD, running, 60)
    return shared_node


@pytest.fixture(params=kubectl_binaries()[1:] or kubectl_binaries(), ids=lambda path: Path(path).name)
def kubectl(request: pytest.FixtureRequest, shell: Any) -> Kubectl:
    return Kubectl(shell.admin.kubeconfig, shell.system.home, str(request.param))


@contextmanager
def started(kubectl: Kubectl, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    env = {**os.environ, "HOME": str(kubectl.home), "KUBECONFIG": str(kubectl.kubeconfig)}
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    process = subprocess.Popen([kubectl.binary, *arguments], env=env, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_exec_carries_input_output_errors_and_the_exit_code(kubectl: Kubectl) -> None:
    done = kubectl.run(
        *("exec", "-i", POD, "-c", "c0", "--", "sh", "-c", "cat; echo oops >&2; exit 7"), input="some\ninput\n"
    )
    assert done.stdout == "some\ninput\n"
    assert "oops" in done.stderr
    assert done.returncode == 7


def test_exec_of_a_terminal_has_its_size(kubectl: Kubectl) -> None:
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
        options = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
        with started(kubectl, "exec", "-it", POD, "-c", "c0", "--", "sh", **options) as process:
            said = b""

            def hears(text: bytes) -> bool:
                nonlocal said
                while select.select([ours], [], [], 0)[0]:
                    said += os.read(ours, 65536)
                return text in said

            eventually(lambda: hears(b"# "), 30, "a prompt")
            # The size follows the command, so a prompt may come before it. What is typed is echoed, and is no answer.
            os.write(ours, b"tty; until stty size | grep '^33 1[1]1'; do sleep 0.1; done\n")
            eventually(lambda: hears(b"33 111"), 30, "the size")
            assert b"/dev/pts/" in said
            os.write(ours, b"exit 3\n")
            assert process.wait(30) == 3
    finally:
        os.close(ours)
        os.close(theirs)


def test_files_are_copied_both_ways(kubectl: Kubectl, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "there").write_bytes(content)
    target = f"/tmp/{tmp_path.name}"
    kubectl("cp", str(tmp_path / "there"), f"{POD}:{target}", "-c", "c0")
    kubectl("cp", f"{POD}:{target}", str(tmp_path / "back"), "-c", "c0")
    assert (tmp_path / "back").read_bytes() == content


def test_logs_are_read_and_followed(kubectl: Kubectl, shell: Any) -> None:
    assert kubectl("logs", POD, "-c", "c0") == "started\n"
    name = "talks-" + re.sub(r"\W", "", Path(kubectl.binary).name)
    shell.run(name, "for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done; exit 0", restartPolicy="Never")
    shell.until(name, lambda pod: pod["status"].get("phase") in ("Running", "Succeeded"), 60)
    followed = kubectl("logs", "-f", name)
    assert followed == "".join(f"line {n}\n" for n in range(1, 6))
    assert kubectl("logs", "--tail=2", name) == "line 4\nline 5\n"
    stamped = kubectl("logs", "--timestamps", "--tail=1", name)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\S+ line 5\n", stamped)
    assert kubectl("logs", "--limit-bytes=9", name) == "line 1\nli"


def test_a_port_is_forwarded(kubectl: Kubectl) -> None:
    with started(kubectl, "port-forward", f"pod/{POD}", ":8080") as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        port = int(re.search(r":(\d+) ->", line)[1])  # type: ignore[index]
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
                assert b"hello" in answer.read()


def test_attach_sees_what_is_said_from_then_on(kubectl: Kubectl, shell: Any) -> None:
    name = "says-" + re.sub(r"\W", "", Path(kubectl.binary).name)
    container = {
        "name": "c0",
        "image": "arktos.test/busybox:1",
        "stdin": True,
        "command": ["sh", "-c", 'while read line; do echo "heard $line"; done; echo end; sleep 1000'],
    }
    shell.apply(name, {"containers": [container]})
    shell.until(name, running, 60)
    with started(kubectl, "attach", "-i", name, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"heard one\n"


def test_refusals_are_kubernetes(shell: Any) -> None:
    kubectl = shell.admin
    base = f"/api/v1/namespaces/default/pods/{POD}"
    assert "specified for pod shell, choose one of: [c0 c1]" in kubectl.fails("get", "--raw", f"{base}/log")
    assert "container nope is not valid for pod shell" in kubectl.fails("logs", POD, "-c", "nope")
    asked = f"{base}/log?container=c0&sinceSeconds=0"
    assert "must be greater than 0" in kubectl.fails("get", "--raw", asked)
    shell.apply("waits", {"containers": [{"name": "c", "image": "nowhere.test/x:1", "imagePullPolicy": "Never"}]})
    shell.until("waits", lambda pod: bool(pod["status"].get("containerStatuses")))
    expected = 'container "c" in pod "waits" is waiting to start: ErrImageNeverPull'
    eventually(lambda: expected in kubectl.fails("logs", "waits"), 20)
    assert "container not found" in kubectl.fails("exec", "waits", "--", "true")


def test_pods_and_nodes_are_proxied_to(shell: Any) -> None:
    kubectl = shell.admin
    base = f"/api/v1/namespaces/default/pods/{POD}:8080/proxy"
    assert "hello" in kubectl("get", "--raw", base + "/")
    echoed = kubectl("get", "--raw", base + "/cgi-bin/echo?a=b%20c")
    assert "query=a=b+c" in echoed  # as kubectl writes it
    pods = json.loads(kubectl("get", "--raw", f"/api/v1/nodes/{shell.name}/proxy/pods"))
    assert POD in [pod["metadata"]["name"] for pod in pods["items"]]
    assert kubectl("get", "--raw", f"/api/v1/nodes/{shell.name}/proxy/healthz") == "ok"


def test_a_followed_log_goes_on_through_rotations(shell: Any) -> None:
    count = 3000
    script = f"i=0; while [ $i -lt {count} ]; do i=$((i+1)); echo $i; [ $((i % 100)) -eq 0 ] && sleep 0.1; done; exit 0"
    pod = shell.run("rotates", script, restartPolicy="Never")
    shell.until("rotates", lambda pod: pod["status"].get("phase") in ("Running", "Succeeded"), 60)
    folder = shell.home / "pods" / f"system_default_rotates_{pod['metadata']['uid']}" / "c0"

    async def rotate(container: str) -> None:
        runtime = Runtime(RuntimeSpec("containerd", "container", str(shell.socket)))
        for number in range(4):
            size = (folder / "0.log").stat().st_size
            (folder / "0.log").rename(folder / f"0.log.2026010{number + 1}-000000")
            await runtime.call(cri.REOPEN_CONTAINER_LOG, pb.ReopenContainerLogRequest(container_id=container))
            assert size
            async with asyncio.timeout(20):
                while not (folder / "0.log").stat().st_size:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        await runtime.aclose()

    with started(shell.admin, "logs", "-f", "rotates") as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        container = shell.pod("rotates")["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
        asyncio.run(rotate(container))
        said = process.stdout.read()
    expected = "".join(f"{n}\n" for n in range(1, count + 1))
    assert (first + said).decode() == expected
    assert shell.admin("logs", "rotates") == expected
    assert shell.admin("logs", "--tail=1500", "rotates") == "".join(f"{n}\n" for n in range(1501, count + 1))
