"""The unit with which systemd starts an installation at boot and keeps its supervisor running."""

from __future__ import annotations

import subprocess
from pathlib import Path

UNITS = Path("/etc/systemd/system")
NAME = "arktos.service"

_BOOTED = Path("/run/systemd/system")
"""There while systemd is the init (sd_booted(3))."""


class Failed(Exception):
    """systemd refused what it was asked for."""


def unit(python: str, data_dir: Path) -> str:
    """The unit's text. It names no options: the installation keeps them.

    `KillMode=process`: stopping or restarting the service stops the supervisor, which stops its own; containers and
    virtual machines run on. `Delegate`: their cgroups below the service's are not systemd's to change.
    """
    command = " ".join(map(_quoted, (python, "-m", "arktos", "up", "--foreground", f"--data-dir={data_dir}")))
    return f"""[Unit]
Description=Arktos: containers and virtual machines for many tenants
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
ExecStart={command}
KillMode=process
Delegate=yes
Restart=always
RestartSec=1
TimeoutStopSec=90
LimitNOFILE=1048576
TasksMax=infinity
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
"""


def booted() -> bool:
    """Whether systemd is this machine's init."""
    return _BOOTED.is_dir()


def install(text: str, folder: Path = UNITS) -> Path:
    """Writes the unit and has systemd start it at every boot. Raises OSError, Failed."""
    path = folder / NAME
    scratch = path.with_suffix(".new")
    scratch.write_text(text)
    scratch.replace(path)
    systemctl("daemon-reload")
    systemctl("enable", NAME)
    return path


def remove(folder: Path = UNITS) -> bool:
    """Has systemd forget the unit; what runs, runs on. Whether there was one. Raises OSError, Failed."""
    path = folder / NAME
    if not path.exists():
        return False
    systemctl("disable", NAME)
    path.unlink(missing_ok=True)
    systemctl("daemon-reload")
    return True


def systemctl(*arguments: str) -> None:
    """Raises Failed with what it said."""
    try:
        done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"systemctl {' '.join(arguments)}: {error}") from error
    if done.returncode != 0:
        raise Failed(f"systemctl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")


def _quoted(word: str) -> str:
    """A word of ExecStart that means itself (systemd.service(5), systemd.unit(5))."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{plain}"' if plain != word or any(letter.isspace() or letter in "';" for letter in word) else word
