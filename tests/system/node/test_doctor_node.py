"""What `arktos doctor` says of a whole node: well, hung, and well again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any


def test_a_node_that_is_well_and_one_that_hangs(shared_node: Any, until: Callable[..., Any]) -> None:
    until(lambda: "n1 is Ready" in shared_node.arktos("doctor", check=False).stdout, 30, "a node that is ready")
    well = shared_node.arktos("doctor").stdout
    assert "[bad ]" not in well
    for words in ("containerd socket: containerd", "vmruntime socket: ", "pod network: configured", "image server: "):
        assert f"[ ok ] {words}" in well, well
    pid = shared_node.pid("containerd")
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        hung = shared_node.arktos("doctor", check=False)
        took = time.monotonic() - began
    finally:
        os.kill(pid, signal.SIGCONT)
    assert hung.returncode == 1 and took < 10
    assert "[bad ] containerd socket: " in hung.stdout and "does not answer" in hung.stdout
    until(lambda: "[bad ]" not in shared_node.arktos("doctor", check=False).stdout, 30, "a node that is well again")
