"""Puts the plugin's program and configuration where container runtimes look. Blocks; call it in a thread."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from arktos.network.cni import shim

CONFIGURATION = "10-arktos.conflist"
PLUGIN = "arktos"
_OTHERS = Path("/usr/lib/cni")


def install_program(bin_dir: Path) -> None:
    """The shim, with the interpreter that runs us, and links to the host's own plugins beside it (runtimes want
    `loopback`). Raises OSError."""
    bin_dir.mkdir(parents=True, exist_ok=True)
    source = Path(shim.__file__).read_text()
    # Isolated and without site: neither the environment nor an installed package can change what runs as root.
    interpreter = os.path.realpath(sys.executable)
    _replace(bin_dir / PLUGIN, f"#!{interpreter} -IS\n{source}", 0o755)
    for plugin in sorted(_OTHERS.iterdir()) if _OTHERS.is_dir() else ():
        link = bin_dir / plugin.name
        if not link.exists() and plugin.name != PLUGIN:
            link.unlink(missing_ok=True)
            link.symlink_to(plugin)


def install_configuration(conf_dir: Path, socket_path: Path) -> None:
    """From now on runtimes find the network ready. Raises OSError."""
    conf_dir.mkdir(parents=True, exist_ok=True)
    plugin = {"type": PLUGIN, "socket": str(socket_path), "capabilities": {"portMappings": True}}
    document = {"cniVersion": "1.0.0", "name": "arktos", "plugins": [plugin]}
    _replace(conf_dir / CONFIGURATION, json.dumps(document, indent=2) + "\n", 0o644)


def _replace(path: Path, text: str, mode: int) -> None:
    try:
        if path.read_text() == text:
            return
    except OSError:
        pass
    # Another ending: runtimes read every .conflist that they see.
    fresh = path.parent / f".{path.name}.new"
    fresh.write_text(text)
    fresh.chmod(mode)
    fresh.rename(path)
