"""WATCH: from a revision, from the current state, or as a WatchList (KEP-3157)."""

from __future__ import annotations

from arktos.apiserver import represent
from arktos.apiserver.call import Call
from arktos.apiserver.verbs.freshness import parse_revision, require_own_past, too_large
from arktos.apiserver.verbs.list import query_of
from arktos.apiserver.watching import Watches, default_timeout
from arktos.model.status import Expired, FieldError, Invalid
from arktos.store.records import Record
from arktos.wire.http import Stream


def watch(call: Call, watches: Watches) -> Stream:
    """A stream of events. 410 Expired at once where the revision asked for has left the history window."""
    params, reader = call.params, watches.reader
    query = query_of(call)
    bookmarks = params.flag("allowWatchBookmarks")
    listed = _is_watch_list(call, bookmarks)
    version = params.get("resourceVersion", "")
    since = parse_revision(version)
    if since > reader.revision:
        raise too_large(since, reader.revision)
    initial: list[Record] | None = None
    if listed or (since == 0 and "sendInitialEvents" not in params):
        page = reader.list(query)
        initial, since = page.records, page.revision
    elif since == 0:
        since = reader.revision
    elif since < reader.store.oldest:
        raise Expired(f"too old resource version: {since} ({reader.store.oldest})")
    else:
        require_own_past(call, reader, since)
    timeout = float(params.number("timeoutSeconds")) or default_timeout()
    identity = (query.resource, query.tenant, query.namespace, query.selector)
    return watches.open(
        identity,
        query,
        represent.watch_encoding(call),
        since=since,
        initial=initial,
        initial_bookmark=listed,
        bookmarks=bookmarks,
        timeout=timeout,
    )


def _is_watch_list(call: Call, bookmarks: bool) -> bool:
    """Whether initial events were asked for; Invalid for combinations that upstream refuses as well."""
    params = call.params
    match = params.get("resourceVersionMatch", "")
    if "sendInitialEvents" not in params:
        if match:
            raise _refused(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )
        return False
    wanted = params.flag("sendInitialEvents")
    if match != "NotOlderThan":
        raise _refused(
            "resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        )
    if wanted and not bookmarks:
        raise _refused(
            "allowWatchBookmarks", "sendInitialEvents is forbidden for watch unless allowWatchBookmarks is set"
        )
    return wanted


def _refused(field: str, why: str) -> Invalid:
    cause = FieldError(field, "FieldValueForbidden", f"Forbidden: {why}")
    return Invalid(f"ListOptions.meta.k8s.io is invalid: {cause}", causes=[cause])
