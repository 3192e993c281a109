"""What a line of the audit log holds: Event of audit.k8s.io/v1, and whose tenant it was. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from arktos.apiserver.identity import User
from arktos.wire import json


class UserInfo(msgspec.Struct, omit_defaults=True, frozen=True):
    """A user as authentication.k8s.io/v1 has it; `tenant` tells two of the same name apart."""

    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = {}
    tenant: str = ""

    @classmethod
    def of(cls, user: User) -> UserInfo:
        return cls(user.name, user.uid, user.groups, user.extra, user.tenant)


class ObjectRef(msgspec.Struct, omit_defaults=True, rename="camel", kw_only=True):
    """The object that a request is about, as far as it names one."""

    tenant: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_group: str = ""
    api_version: str = ""
    resource_version: str = ""
    subresource: str = ""


class Event(msgspec.Struct, omit_defaults=True, rename="camel", kw_only=True, tag_field="kind", tag="Event"):
    """One stage of one request. Bodies are JSON."""

    api_version: str
    level: str
    audit_id: str = msgspec.field(name="auditID")
    stage: str
    request_uri: str = msgspec.field(name="requestURI")
    verb: str
    user: UserInfo
    impersonated_user: UserInfo | None = None
    source_ips: tuple[str, ...] = msgspec.field(default=(), name="sourceIPs")
    user_agent: str = ""
    object_ref: ObjectRef | None = None
    response_status: Mapping[str, Any] | None = None
    request_object: msgspec.Raw | None = None
    response_object: msgspec.Raw | None = None
    request_received_timestamp: str
    stage_timestamp: str
    annotations: Mapping[str, str] | None = None


class _Meta(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


class Written(msgspec.Struct):
    """The part of an answered object that says which it is."""

    kind: str = ""
    metadata: _Meta = msgspec.field(default_factory=_Meta)


_encoder = msgspec.json.Encoder()
_written = msgspec.json.Decoder(Written)
encode = _encoder.encode


def written(body: bytes) -> Written | None:
    """Which object an answer is; None if it is none."""
    try:
        return _written.decode(body)
    except msgspec.MsgspecError:
        return None


def raw(body: bytes, omit_managed_fields: bool) -> msgspec.Raw | None:
    """A body as a line may hold it, None if it is not JSON: a line must stay one."""
    try:
        found = json.decode(body)
    except json.DecodeError:
        return None
    if omit_managed_fields and isinstance(found, dict):
        for each in (found, *(found.get("items") or ())):
            meta = each.get("metadata") if isinstance(each, dict) else None
            if isinstance(meta, dict):
                meta.pop("managedFields", None)
    return msgspec.Raw(_encoder.encode(found))


def timestamp(seconds: float) -> str:
    """RFC 3339 with microseconds, as Kubernetes' MicroTime."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
