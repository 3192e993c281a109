"""Container images for tests, made from what the machine has, without any registry.

`busybox`: Debian's busybox-static with a link for each applet, users, and `/www`, which `httpd -f -h /www` serves:
`/` greets and `/cgi-bin/echo` tells the request and the host that answered. `pause`: the product's own.
"""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from arktos.bootstrap.oci_image import Image, build
from arktos.bootstrap.pause_image import pause_image

__all__ = ["BUSYBOX_TAG", "GREETING", "PAUSE_TAG", "busybox_image", "pause_image"]

BUSYBOX_TAG = "1.35"
PAUSE_TAG = "3.9"
GREETING = "hello from busybox\n"

_ECHO = b"""#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
echo "host=$(hostname)"
echo "client=$REMOTE_ADDR"
echo "method=$REQUEST_METHOD"
echo "query=$QUERY_STRING"
cat
"""

_PASSWD = (
    b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
)
_GROUP = b"root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n"


def web_image() -> Image:
    """Serves `GREETING` on port 80, as a web server's image does, and ends at once when it is told to."""
    return busybox_image(("httpd", "-f", "-p", "80", "-h", "/www"), "SIGKILL")


@cache
def busybox_image(command: tuple[str, ...] = ("sh",), stop_signal: str = "SIGTERM") -> Image:
    """A shell and the usual programs; runs as root."""
    busybox = _busybox()
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    return build(
        {
            "bin/busybox": (busybox.read_bytes(), 0o755),
            "etc/passwd": (_PASSWD, 0o644),
            "etc/group": (_GROUP, 0o644),
            "www/index.html": (GREETING.encode(), 0o644),
            "www/cgi-bin/echo": (_ECHO, 0o755),
        },
        {"Env": ["PATH=/bin"], "Cmd": list(command), "StopSignal": stop_signal},
        links={f"bin/{applet}": "busybox" for applet in listed if applet != "busybox"},
        folders={"tmp": 0o1777, "root": 0o700, "home/user": 0o755, "proc": 0o755, "sys": 0o755, "dev": 0o755},
    )


def _busybox() -> Path:
    for path in (Path("/usr/bin/busybox"), Path("/bin/busybox")):
        if path.exists():
            return path
    raise FileNotFoundError("no busybox: install busybox-static")
