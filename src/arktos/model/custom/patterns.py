"""Patterns that tenants write. They run on RE2: in time linear in the text, whatever the pattern."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import re2  # type: ignore[import-untyped]

Search = Callable[[str], bool]

_MEMORY = 8 << 20
"""Bytes that one compiled pattern may take; RE2 refuses what needs more."""


class PatternError(ValueError):
    """A pattern that RE2 does not take; the text says why, as Go words it."""


@lru_cache(maxsize=4096)
def search(pattern: str) -> Search:
    """Whether a text holds a match of `pattern` (RE2 syntax). Raises PatternError."""
    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    try:
        found = re2.compile(pattern, options)
    except re2.error as error:
        raise PatternError(f"error parsing regexp: {_text(error)}: `{pattern}`") from error
    match = found.search
    return lambda text: match(text) is not None


def _text(error: Exception) -> str:
    told = error.args[0] if error.args else ""
    return told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
