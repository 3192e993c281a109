"""What a write says of the tenure it was decided under (`arktos.model.hashranges`).

Whoever works under a tenure runs that work within `under`; every write that it sends then carries the header, tasks
that it starts included. The server refuses it (StaleRange, a Conflict) once the tenure is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_FENCE: ContextVar[str] = ContextVar("fence", default="")


@contextmanager
def under(tenure: str) -> Iterator[None]:
    """`tenure` is the header's value, `str(Tenure(...))`."""
    token = _FENCE.set(tenure)
    try:
        yield
    finally:
        _FENCE.reset(token)


def current() -> str:
    """The tenure that we work under, "" for none."""
    return _FENCE.get()
