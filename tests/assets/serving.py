"""Serves what tests pull, in the network namespace that it is started in, until its standard input ends.

A program: `python -m assets.serving`. Prints one line of JSON: `registry`, the authority of a registry that has
busybox as `library/busybox:latest` (and what the examples name), and `machine`, the URL of a bootable VM image. Beside
them are the broken ones of `assets.broken`.
"""

from __future__ import annotations

import json
import sys

from assets.broken import push_broken, serve_broken
from assets.container_images import busybox_image, web_image
from assets.http_files import FileServer
from assets.registry import Registry
from assets.vm_image import vm_image

WEB = (("nginx", "1.27"), ("nginx", "1.28"), ("httpd", "latest"))
"""Names of public images under which a web server is pushed."""

MACHINE_PATH = "/images/tiny.qcow2"


def main() -> None:
    with Registry() as registry, FileServer() as files:
        registry.push(busybox_image(), "library/busybox", "latest")
        for name, tag in WEB:
            registry.push(web_image(), f"library/{name}", tag)
        content = vm_image().read_bytes()
        machine = files.serve(MACHINE_PATH, content)
        push_broken(registry)
        serve_broken(files, content)
        print(json.dumps({"registry": registry.authority, "machine": machine}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
