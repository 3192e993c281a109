"""The slot of a stored body: where the revision is spliced into bytes that are never decoded."""

from __future__ import annotations

from arktos.store.records import SLOT

_EMPTY = SLOT + b'"'
_WIDTH = len(SLOT)
_QUOTE = 0x22


def fill(body: bytes, revision: int) -> bytes:
    """`body` with its empty slot filled, exact-size bytes. ValueError if there is no slot or it is not empty."""
    end = body.find(SLOT) + _WIDTH
    if end < _WIDTH or body[end] != _QUOTE:
        raise ValueError("the body has no empty resourceVersion slot")
    return body.replace(_EMPTY, b'%b%d"' % (SLOT, revision), 1)


def refill(body: bytes, revision: int) -> bytes:
    """`body` with `revision` in its slot, whatever stood there. ValueError if there is no slot."""
    start = body.find(SLOT) + _WIDTH
    if start < _WIDTH:
        raise ValueError("the body has no resourceVersion slot")
    return b"%b%d%b" % (body[:start], revision, body[body.index(b'"', start) :])
