"""`/version`: which Kubernetes the server speaks like, and what it is. Clients choose their behaviour by the minor."""

from __future__ import annotations

import platform
from functools import cache

from arktos.apiserver.encoding import dumps

MAJOR, MINOR = "1", "36"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def git_version() -> str:
    """The version that Kubernetes clients parse: upstream's, with ours as build metadata."""
    from importlib import metadata  # slow to import, and needed once

    return f"v{MAJOR}.{MINOR}.0+arktos-{metadata.version('arktos')}"


@cache
def document() -> bytes:
    """The answer, as JSON."""
    machine = platform.machine()
    return dumps(
        {
            "major": MAJOR,
            "minor": MINOR,
            "gitVersion": git_version(),
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": f"python{platform.python_version()}",
            "compiler": platform.python_implementation().lower(),
            "platform": f"{platform.system().lower()}/{_ARCHITECTURES.get(machine, machine)}",
        }
    )
