"""What `resourceVersion` asks of a read (Kubernetes API concepts, "Resource versions")."""

from __future__ import annotations

from arktos.apiserver.call import Call
from arktos.apiserver.reader import Reader
from arktos.model import registry, selectors
from arktos.model.kinds import SYSTEM_TENANT
from arktos.model.status import BadRequest, Expired, FieldError, Timeout
from arktos.store.records import Query, RevisionAhead, RevisionCompacted

_DIGITS = 20
"""Of the largest unsigned integer of 64 bits."""


def parse_revision(text: str) -> int:
    """0 for "" and "0"; BadRequest for what is no revision."""
    if not text or text == "0":
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS:
        raise BadRequest(f"invalid resource version: {text[:64]!r} is not an unsigned integer of 64 bits")
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


def require_own_past(call: Call, reader: Reader, revision: int) -> None:
    """Expired where a tenant's user asks for the state at a revision, or for what came after it, and the tenant is
    younger: what another tenant of that name has left in history is not theirs."""
    if call.user.is_system or not revision:
        return
    tenants = registry.by_resource("tenants")
    selector = selectors.parse("", f"metadata.name={call.tenant}", tenants)
    try:
        events = reader.store.changes(Query(tenants.resource, SYSTEM_TENANT, None, selector), revision)
    except RevisionCompacted as error:
        raise Expired(f"too old resource version: {revision} ({error.oldest})") from error
    except RevisionAhead as error:
        raise too_large(revision, error.current) from error
    if any(event.type != "MODIFIED" for event in events):
        raise Expired(f"too old resource version: {revision} ({reader.revision})")
