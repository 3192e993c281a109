"""`python -m arktos.store.verify FILE`: whether a store's file is whole. Prints what is wrong with it, one line each,
and ends with 1 then. The file is not changed, and must not be in use.
"""

from __future__ import annotations

import sys
from pathlib import Path

from arktos.store.faults import StoreFault
from arktos.store.loading import verify


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m arktos.store.verify FILE", file=sys.stderr)
        return 2
    try:
        found = verify(Path(arguments[0]))
    except (StoreFault, OSError) as error:
        found = [str(error)]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
