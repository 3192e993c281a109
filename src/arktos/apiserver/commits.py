"""Commits as requests see them: what the store refuses becomes the Kubernetes error that says why."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from arktos.apiserver.custom.definitions import RESOURCE as DEFINITIONS
from arktos.apiserver.custom.definitions import DefinitionChanged
from arktos.apiserver.encoding import loads
from arktos.model.status import (
    ApiError,
    FieldError,
    Forbidden,
    ServiceUnavailable,
    already_exists,
    conflict,
    forbidden,
    not_found,
    stale_range,
)
from arktos.store.records import (
    Absent,
    FieldIs,
    Key,
    Live,
    Precondition,
    PreconditionFailed,
    Query,
    Record,
    Store,
    StoreUnavailable,
    Write,
)


async def commit(
    store: Store, preconditions: Sequence[Precondition], writes: Sequence[Write], *, raw: bool = False
) -> Record:
    """Commits, and returns the record of the first write. ApiError where a precondition fails; with `raw`, failures
    other than those of parents (`Live`) are passed on as PreconditionFailed, for callers that retry."""
    try:
        return (await store.commit(preconditions, writes)).records[0]
    except PreconditionFailed as failed:
        if failed.precondition.key.resource == DEFINITIONS != writes[0].key.resource:
            raise DefinitionChanged(failed.current) from failed
        if raw and not isinstance(failed.precondition, Live):
            raise
        raise refused(failed, writes[0].key) from failed
    except StoreUnavailable as error:
        raise unavailable(error) from error


SEEN_SECONDS = 2.0
"""How long to wait for a write that was accepted before ours: it is durable by then, or it has failed."""


async def seen(store: Store, record: Record | None) -> None:
    """Returns when readers see `record` or what came after it. A precondition is checked against what has been
    accepted, which readers see once it is durable: who read again at once would read the same."""
    if record is None or store.revision >= record.revision:
        return
    shown = asyncio.get_running_loop().create_future()
    key, wanted = record.key, record.revision

    def note(_: object, revision: int) -> None:
        if revision >= wanted and not shown.done():
            shown.set_result(None)

    subscription = store.subscribe(Query(key.resource, key.tenant, key.namespace or None), note)
    try:
        await asyncio.wait({shown}, timeout=SEEN_SECONDS)
    finally:
        subscription.close()


def unavailable(error: StoreUnavailable) -> ServiceUnavailable:
    return ServiceUnavailable(f"the store takes no writes now, nothing was changed: {error}", retry_after=1)


def refused(failed: PreconditionFailed, about: Key) -> ApiError:
    """The error of a commit that was to write `about`."""
    key = failed.precondition.key
    if isinstance(failed.precondition, Live):
        if failed.current is None:
            return not_found(key.resource, key.name)
        return terminating(failed.current, about)
    if isinstance(failed.precondition, Absent):
        return already_exists(key.resource, key.name)
    if isinstance(failed.precondition, FieldIs):
        return stale_range(key.name)
    return conflict(
        key.resource, key.name, "the object has been modified; please apply your changes to the latest version"
    )


def terminating(parent: Record, about: Key) -> Forbidden:
    """403 of a create in a namespace or tenant that is being deleted."""
    what = "namespace" if parent.key.resource == "namespaces" else "tenant"
    name = parent.key.name
    error = forbidden(
        about.resource,
        about.name,
        f"unable to create new content in {what} {name} because it is being terminated",
    )
    stamp = loads(parent.body)["metadata"].get("deletionTimestamp", "")
    reason = "NamespaceTerminating" if what == "namespace" else "TenantTerminating"
    error.causes = (FieldError(f"metadata.{what}", reason, f"{what} {name} is being terminated since {stamp}"),)
    return error
