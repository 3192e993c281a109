"""A registry that asks who one is, served in the network namespace that it is started in, until its input ends.

A program: `python -m assets.private_registry`. Prints its authority. It has `team/app:1`, for the user `acme` with the
password `letmein`.
"""

from __future__ import annotations

import crypt
import sys

from assets.container_images import busybox_image
from assets.registry import Registry

USER, PASSWORD = "acme", "letmein"
IMAGE = "team/app"


def main() -> None:
    with Registry() as filled:
        # Its own command makes it an image that there is nowhere else.
        filled.push(busybox_image(("sh", "-c", "echo private; sleep 3600")), IMAGE, "1")
        users = filled.folder / "users"
        users.write_text(f"{USER}:{crypt.crypt(PASSWORD, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))}\n")
        settings = {
            "storage": {"filesystem": {"rootdirectory": str(filled.folder / "data")}},
            "auth": {"htpasswd": {"realm": "private", "path": str(users)}},
        }
        with Registry(settings=settings) as guarded:
            print(guarded.authority, flush=True)
            sys.stdin.read()


if __name__ == "__main__":
    main()
