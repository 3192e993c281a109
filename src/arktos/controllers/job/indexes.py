"""Sets of completion indexes as a Job's status writes them, `1,3-5,7`: pure."""

from __future__ import annotations

from collections.abc import Iterable


def parse(text: str | None, below: int) -> set[int]:
    """The indexes in a text, those `below` only; what is no index is left out, since a status can be edited."""
    found: set[int] = set()
    for part in (text or "").split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            continue
        found.update(range(int(first), min(int(last if dash else first) + 1, below)))
    return found


def written(indexes: Iterable[int]) -> str:
    """As text: runs of three and more as a range, and of two as well."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
