"""Files as an ISO 9660 image that every guest can read. Blocks; call in a thread."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

import pycdlib

_LABEL_LENGTH = 32


def write(path: Path, label: str, files: Mapping[str, bytes]) -> None:
    """Writes the image with long names (Joliet and Rock Ridge), all files in its root. Raises OSError."""
    disc = pycdlib.PyCdlib()
    disc.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=label[:_LABEL_LENGTH])
    try:
        for number, (name, content) in enumerate(sorted(files.items())):
            disc.add_fp(
                io.BytesIO(content), len(content), f"/F{number:07d}.;1", rr_name=name, joliet_path="/" + name[:64]
            )
        beside = path.with_name(path.name + ".new")
        with open(beside, "wb") as file:
            disc.write_fp(file)
        os.replace(beside, path)
    finally:
        disc.close()
