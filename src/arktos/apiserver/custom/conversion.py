"""Conversion of custom resources by the webhook of their definition (ConversionReview, apiextensions.k8s.io/v1).

Reading never waits inside: what is not converted yet makes a read raise `Unconverted`, the request asks the webhook for
all of it at once, keeps the answers (`forms`) and begins again.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from arktos.apiserver.custom import forms
from arktos.apiserver.custom.definitions import own
from arktos.apiserver.custom.forms import Unconverted
from arktos.apiserver.encoding import decode, dumps
from arktos.apiserver.webhooks.client import WebhookFailed
from arktos.model.custom.definition import Definition
from arktos.model.kinds import Kind, Obj
from arktos.model.status import InternalError
from arktos.store.records import Record

SECONDS = 30.0
BATCH = 256
"""Objects in one review."""
_ROUNDS = 64
"""How often a read begins again: once for each definition that it meets, and for what comes meanwhile."""
_VERSIONS = ("v1", "v1beta1")

_Answer = TypeVar("_Answer")


class Asks(Protocol):
    """What calls webhooks (`webhooks.WebhookClient`)."""

    async def call(self, tenant: str, config: Obj, body: bytes, *, seconds: float, hasty: bool = False) -> bytes: ...


class Conversion:
    """Converts through `client` (None: there is nobody to ask)."""

    def __init__(self, client: Asks | None = None) -> None:
        self._client = client

    async def give(
        self,
        answer: Callable[[], Awaitable[_Answer]],
        shown: Callable[[], Sequence[Record]] = tuple,
        *,
        hasty: bool = False,
    ) -> _Answer:
        """What `answer` gives once everything that it reads is converted; before that it must do nothing. `shown` are
        records that it will read, as far as that is known; `hasty` is as of `WebhookClient.call`."""
        for _ in range(_ROUNDS):
            try:
                return await answer()
            except Unconverted as needed:
                await self.ready(needed.kind, [*needed.records, *shown()], hasty=hasty)
        return await answer()

    async def ready(self, kind: Kind, records: Sequence[Record], *, hasty: bool = False) -> None:
        """Has the objects of one definition converted to `kind`, those that are not."""
        assert kind.custom is not None
        missing: dict[bytes, Record] = {}
        for record in records:
            mine = own(kind, record.key.tenant)
            if mine.custom is None or mine.custom.mark != kind.custom.mark:
                continue
            try:
                forms.body(record, kind)
            except Unconverted:
                missing[record.body] = record
        waiting = list(missing.values())
        for start in range(0, len(waiting), BATCH):
            part = waiting[start : start + BATCH]
            objects = [decode(record) for record in part]
            made = await self.convert(kind.custom.definition, kind.version, objects, hasty=hasty)
            for record, obj in zip(part, made, strict=True):
                forms.keep(record, kind, obj)

    async def stored(self, kind: Kind, obj: Obj) -> Obj:
        """An object of a request as the storage version has it."""
        assert kind.custom is not None
        definition = kind.custom.definition
        if not definition.by_webhook or kind.version == definition.storage:
            return obj
        (made,) = await self.convert(definition, definition.storage, [obj])
        stored = definition.stored.custom
        assert stored is not None
        stored.shape_up(made)
        return made

    async def convert(
        self, definition: Definition, version: str, objects: list[Obj], *, hasty: bool = False
    ) -> list[Obj]:
        """The objects in another version, in order. InternalError, worded as upstream, where the webhook fails."""
        wanted = f"{definition.group}/{version}"
        about = f"conversion webhook for {objects[0].get('apiVersion')}, Kind={definition.names['kind']} failed"
        webhook: Obj = definition.conversion.get("webhook") or {}
        spoken = next((v for v in webhook.get("conversionReviewVersions") or () if v in _VERSIONS), "v1")
        uid = str(uuid.uuid4())
        review = {
            "apiVersion": f"apiextensions.k8s.io/{spoken}",
            "kind": "ConversionReview",
            "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": objects},
        }
        if self._client is None:
            raise InternalError(f"{about}: webhooks are not asked here")
        try:
            config = webhook.get("clientConfig") or {}
            answer = await self._client.call(definition.tenant, config, dumps(review), seconds=SECONDS, hasty=hasty)
            return _converted(answer, uid, wanted, objects)
        except (WebhookFailed, _Wrong) as error:
            raise InternalError(f"{about}: {error}") from error


class _Wrong(Exception):
    """An answer that does not answer."""


def _converted(answer: bytes, uid: str, wanted: str, objects: Sequence[Obj]) -> list[Obj]:
    try:
        response: Any = msgspec.json.decode(answer).get("response")
    except (msgspec.DecodeError, AttributeError):
        raise _Wrong("the answer is no ConversionReview") from None
    if not isinstance(response, dict):
        raise _Wrong("the answer has no response")
    if response.get("uid") != uid:
        raise _Wrong(f"expected response.uid={uid!r}, got {response.get('uid')!r}")
    result = response.get("result")
    status = result.get("status") if isinstance(result, dict) else None
    if status != "Success":
        told = result.get("message") if isinstance(result, dict) else ""
        raise _Wrong(str(told or "result.status is not Success"))
    found = response.get("convertedObjects")
    if not isinstance(found, list) or len(found) != len(objects):
        count = len(found) if isinstance(found, list) else 0
        raise _Wrong(f"expected {len(objects)} converted objects, got {count}")
    pairs = zip(found, objects, strict=True)
    return [_checked(obj, before, wanted, index) for index, (obj, before) in enumerate(pairs)]


def _checked(obj: Any, before: Obj, wanted: str, index: int) -> Obj:
    """A converted object, of whose metadata a webhook may change labels and annotations only."""
    if not isinstance(obj, dict) or obj.get("apiVersion") != wanted or obj.get("kind") != before.get("kind"):
        raise _Wrong(f"invalid converted object at index {index}: it must be {wanted}, Kind={before.get('kind')}")
    metadata, given = dict(before["metadata"]), obj.get("metadata")
    if not isinstance(given, dict):
        raise _Wrong(f"invalid metadata in converted object at index {index}")
    for name in ("name", "namespace", "uid"):
        if given.get(name, metadata.get(name)) != metadata.get(name):
            raise _Wrong(f"invalid converted object at index {index}: metadata.{name} must not change")
    for name in ("labels", "annotations"):
        values = given.get(name)
        metadata.pop(name, None)
        if isinstance(values, dict) and values and all(isinstance(value, str) for value in values.values()):
            metadata[name] = values
    return {**obj, "metadata": metadata}
