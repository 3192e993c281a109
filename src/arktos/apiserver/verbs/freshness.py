"""What `resourceVersion` asks of a read (Kubernetes API concepts, "Resource versions")."""

from __future__ import annotations

from arktos.apiserver.reader import Reader
from arktos.model.status import FieldError, Invalid, Timeout


def parse_revision(text: str) -> int:
    """0 for "" and "0"; Invalid for what is no revision."""
    if not text or text == "0":
        return 0
    if not text.isascii() or not text.isdigit():
        cause = FieldError(
            "resourceVersion", "FieldValueInvalid", f'Invalid value: "{text}": must be an unsigned integer'
        )
        raise Invalid(f"resourceVersion: {cause.message}", causes=[cause])
    return int(text)


def require_reached(reader: Reader, text: str) -> int:
    """The revision that `text` names. Timeout (504), as upstream words it, when it lies in the future."""
    revision = parse_revision(text)
    if revision > reader.revision:
        raise too_large(revision, reader.revision)
    return revision


def too_large(asked: int, current: int) -> Timeout:
    cause = FieldError("", "ResourceVersionTooLarge", "Too large resource version")
    return Timeout(f"Too large resource version: {asked}, current: {current}", kind="", causes=[cause], retry_after=1)
