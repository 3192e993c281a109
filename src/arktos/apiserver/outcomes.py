"""What became of a write."""

from __future__ import annotations

from dataclasses import dataclass

from arktos.store.records import SLOT, Put, Record


@dataclass(frozen=True, slots=True)
class Outcome:
    """`record` is what stands now (or stood last, when `deleted`); `created` tells 201 from 200."""

    record: Record
    created: bool = False
    deleted: bool = False


def unrevisioned(put: Put) -> Record:
    """What a dry-run create would store: an object without a revision."""
    return Record(
        put.key, 0, put.header, put.body.replace(SLOT + b'"', b"", 1).replace(b'"metadata":{,', b'"metadata":{', 1)
    )


def at_revision(revision: int, put: Put) -> Record:
    return Record(put.key, revision, put.header, put.body.replace(SLOT, SLOT + str(revision).encode(), 1))
