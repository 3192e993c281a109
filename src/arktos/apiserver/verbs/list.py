"""LIST: stored bytes joined, in key order, from one consistent cut; chunked by `limit` and `continue`."""

from __future__ import annotations

from collections.abc import Awaitable

from arktos.apiserver import represent
from arktos.apiserver.call import Call
from arktos.apiserver.reader import Reader
from arktos.apiserver.verbs.freshness import require_own_past, require_reached
from arktos.apiserver.versions import storage_kind
from arktos.model import selectors
from arktos.model.kinds import SYSTEM_TENANT, Scope
from arktos.model.selectors import Selector
from arktos.model.status import BadRequest, Expired, FieldError, Invalid, Timeout
from arktos.store.records import Page, Query, RevisionAhead, RevisionCompacted
from arktos.wire.http import Response


def selector_of(call: Call) -> Selector | None:
    params = call.params
    if not params:
        return None
    labels, fields = params.get("labelSelector", ""), params.get("fieldSelector", "")
    shards = params.get("shardSelector", "")
    if not labels and not fields and not shards:
        return None
    return selectors.parse(labels, fields, call.kind, shards)


def query_of(call: Call) -> Query:
    """The store query of a LIST, WATCH or deletecollection, cut to one name where the path has one or the caller may
    see no other."""
    selector = selector_of(call)
    for name in (call.info.name, call.only_name):
        if name:
            selector = (selector or selectors.EVERYTHING).only(name)
    namespaced = call.kind.scope is Scope.NAMESPACE
    return Query(
        storage_kind(call.kind).resource,
        call.query_tenant,
        call.info.namespace or None if namespaced else None,
        selector,
    )


def list_objects(call: Call, reader: Reader) -> Response | Awaitable[Response]:
    return represent.many(call, page_of(call, reader, query_of(call)))


def page_of(call: Call, reader: Reader, query: Query) -> Page:
    """The page that the call's `limit`, `continue`, `resourceVersion` and `resourceVersionMatch` ask for."""
    params = call.params
    if not params:
        return reader.list(query)
    limit = params.number("limit")
    token = params.get("continue", "")
    version, match = params.get("resourceVersion", ""), params.get("resourceVersionMatch", "")
    if "sendInitialEvents" in params:
        raise _refused("sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list")
    _check_match(version, match, bool(token))
    if token:
        if version not in {"", "0"}:
            raise BadRequest("specifying resource version is not allowed when using continue")
        return _continued(call, reader, query, limit, token)
    revision = require_reached(reader, version)
    exact = match == "Exact" or (not match and bool(limit) and revision > 0)
    if exact:
        require_own_past(call, reader, revision)
    try:
        return reader.list(query, limit=limit, revision=revision if exact else 0)
    except RevisionCompacted as error:
        raise Expired(f"The resourceVersion for the provided list is too old: {revision}") from error


def _check_match(version: str, match: str, continued: bool) -> None:
    if not match:
        return
    problem = ""
    if continued:
        problem = "Forbidden: resourceVersionMatch is forbidden when continue is provided"
    elif not version:
        problem = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
    elif match not in {"Exact", "NotOlderThan"}:
        problem = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan"'
    elif match == "Exact" and version == "0":
        problem = 'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
    if problem:
        raise _refused("resourceVersionMatch", problem)


def _refused(field: str, problem: str) -> Invalid:
    reason = "FieldValueForbidden" if problem.startswith("Forbidden") else "FieldValueNotSupported"
    cause = FieldError(field, reason, problem)
    return Invalid(f"ListOptions.meta.k8s.io is invalid: {cause}", causes=[cause])


def _continued(call: Call, reader: Reader, query: Query, limit: int, text: str) -> Page:
    token = represent.ContinueToken.decode(text)
    after = represent.continue_key(call, token)
    if not _goes_on(query, token):
        raise BadRequest("continue key is not valid: it was not issued for this list")
    try:
        require_own_past(call, reader, token.revision)
        return reader.list(query, limit=limit, after=after, revision=token.revision)
    except (Expired, Timeout, RevisionCompacted, RevisionAhead) as error:
        fresh = represent.ContinueToken(reader.revision, token.tenant, token.namespace, token.name).encode()
        raise ExpiredContinue(fresh) from error


def _goes_on(query: Query, token: represent.ContinueToken) -> bool:
    """Whether this list can have got as far as the token says. Shared classes of `system` end every tenant's list."""
    return (
        token.revision > 0
        and (query.tenant is None or token.tenant in {query.tenant, SYSTEM_TENANT})
        and (query.namespace is None or token.namespace == query.namespace)
    )


class ExpiredContinue(Expired):
    """410 of a continue token; carries a token for the rest of the list in its newest state, as upstream."""

    def __init__(self, token: str) -> None:
        super().__init__(
            "The provided continue parameter is too old to display a consistent list result: start a new list, or go "
            "on with the token in this response and accept that the rest shows a newer state."
        )
        self._token = token

    def status(self) -> dict[str, object]:
        status = super().status()
        status["metadata"] = {"continue": self._token}
        return status
