"""What a container left as its termination message: the file that it wrote, or the end of its log."""

from __future__ import annotations

import os
from collections.abc import Mapping

from arktos.agent.pods.observed import Container
from arktos.agent.spec import labels

LONGEST_FILE = 4096
LONGEST_LOG = 2048
LOG_LINES = 80
_BLOCK = 64 << 10
_FALLBACK = "FallbackToLogsOnError"


def last_words(ended: Container, mounts: Mapping[str, str]) -> str:
    """The message of a container that has ended: what the runtime said, then the file at its terminationMessagePath
    (`mounts` tells where that is on the host), then, where its policy asks for that and it failed, the end of its log.

    Reads files: call it in a thread. What cannot be read is left out.
    """
    path = mounts.get(ended.annotations.get(labels.TERMINATION_MESSAGE_PATH, ""), "")
    said = _head(path) if path else ""
    fallback = ended.annotations.get(labels.TERMINATION_MESSAGE_POLICY) == _FALLBACK
    if not said and fallback and ended.exit_code and ended.log_path:
        said = log_tail(ended.log_path)
    return "\n".join(filter(None, (ended.message, said)))


def log_tail(path: str) -> str:
    """The last lines of a log in the runtimes' format, without their heads: at most 80 and 2048 bytes."""
    try:
        with open(path, "rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _BLOCK))
            lines = log.read().split(b"\n")
    except OSError:
        return ""
    said = b""
    for line in [line for line in lines if line][-LOG_LINES:]:
        parts = line.split(b" ", 3)
        if len(parts) == 4:
            said += parts[3] + (b"" if parts[2].startswith(b"P") else b"\n")
    return said[-LONGEST_LOG:].decode(errors="replace")


def _head(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(LONGEST_FILE).decode(errors="replace")
    except OSError:
        return ""
