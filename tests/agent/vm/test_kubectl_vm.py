"""`kubectl vm`, as people use it, on a real machine."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from typing import Any

import pytest

PROGRAM = [sys.executable, "-c", "from arktos.cli.kubectl_vm import main; main(prog_name='kubectl-vm')"]


def vm(node: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *arguments, f"--kubeconfig={node.admin.kubeconfig}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def does(node: Any, *arguments: str) -> str:
    done = vm(node, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def machine(vm_node: Any) -> str:
    vm_node.machine("web")
    vm_node.until_power("web", "running")
    vm_node.until_said("web", "GUEST-READY")
    return "web"


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command: list[str]) -> None:
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            os.execv(command[0], command)
        self.seen = b""

    def type(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    def until(self, text: bytes, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen[-2000:]
            if select.select([self._descriptor], [], [], 0.5)[0]:
                try:
                    self.seen += os.read(self._descriptor, 65536)
                except OSError:
                    pytest.fail(f"the program has ended; last: {self.seen[-2000:]!r}")

    def ended(self) -> int:
        try:
            while os.read(self._descriptor, 65536):
                pass
        except OSError:
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_console(vm_node: Any, machine: str) -> None:
    terminal = Terminal([*PROGRAM, "console", machine, f"--kubeconfig={vm_node.admin.kubeconfig}"])
    terminal.until(b"Ctrl-] leaves it")
    # getty may have printed its prompt before anybody looked: it prints another.
    for _ in range(20):
        terminal.type(b"\r")
        try:
            terminal.until(b"login: ", 3)
        except AssertionError:
            continue
        break
    terminal.type(b"guest\r")
    terminal.until(b"assword:")
    terminal.type(b"guest\r")
    terminal.until(b"$ ")
    terminal.type(b"echo sum-$((40+2))\r")
    terminal.until(b"sum-42")
    terminal.type(b"\x1d")
    assert terminal.ended() == 0


def test_power_and_snapshots(vm_node: Any, machine: str) -> None:
    assert does(vm_node, "pause", machine) == f"pod/{machine} paused\n"
    assert does(vm_node, "resume", machine) == f"pod/{machine} resumed\n"
    assert does(vm_node, "snapshot", machine, "clean") == f"pod/{machine} snapshot clean taken\n"
    vm_node.until(machine, lambda pod: pod["status"]["virtualMachineStatus"].get("snapshots"))
    assert does(vm_node, "snapshots", machine).splitlines()[1].split()[0] == "clean"
    assert does(vm_node, "restore", machine, "clean") == f"pod/{machine} restored to clean\n"
    assert does(vm_node, "stop", machine, "--grace-period=60") == f"pod/{machine} stopped\n"
    vm_node.until_power(machine, "shutdown")
    refused = vm(vm_node, "pause", machine)
    assert refused.returncode == 1 and "power state is shutdown" in refused.stderr
    assert does(vm_node, "start", machine) == f"pod/{machine} started\n"


def test_errors(vm_node: Any, machine: str) -> None:
    assert 'pods "none" not found' in vm(vm_node, "reboot", "none").stderr
    assert "Error: " in vm(vm_node, "restore", machine, "none").stderr
    assert vm(vm_node, "restore", machine, "none").returncode == 1
    assert 'pods "none" not found' in vm(vm_node, "console", "none").stderr
    assert "not found" in vm(vm_node, "stop", machine, "--namespace=elsewhere").stderr
    missing = subprocess.run(
        [*PROGRAM, "start", "x", "--kubeconfig=/none"], capture_output=True, text=True, check=False
    )
    assert missing.returncode == 1 and "/none" in missing.stderr
