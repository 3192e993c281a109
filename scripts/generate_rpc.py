"""Writes the Python of every .proto of the rpc room beside it. Run by `make rpc`; the result is kept in the tree."""

from __future__ import annotations

import sys
from pathlib import Path

from grpc_tools import protoc

SOURCES = Path(__file__).parent.parent / "src"
PROTOS = SOURCES / "arktos" / "rpc" / "protos"


def main() -> int:
    well_known = str(Path(protoc.__file__).parent / "_proto")
    arguments = ["protoc", f"--proto_path={SOURCES}", f"--proto_path={well_known}"]
    arguments += [f"--python_out={SOURCES}", f"--pyi_out={SOURCES}"]
    return int(protoc.main([*arguments, *map(str, sorted(PROTOS.glob("*.proto")))]))


if __name__ == "__main__":
    sys.exit(main())
