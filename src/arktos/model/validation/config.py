"""ConfigMaps and Secrets: keys, size, types, and immutability where it was asked for."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

import msgspec

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    Errors,
    check_immutable,
    check_messages,
    forbidden,
    invalid,
    required,
    too_long,
)
from arktos.model.validation.formats import config_key
from arktos.model.validation.rules import Rules

SIZE_LIMIT = 1024 * 1024
"""Bytes of all values of one ConfigMap or Secret, decoded."""

_FROZEN = "field is immutable when `immutable` is set"
_ACCOUNT = "kubernetes.io/service-account.name"
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_JSON = ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson")


def _decoded(text: str) -> int:
    return len(text) * 3 // 4 - text[-2:].count("=")


def _check_config_map(errs: Errors, obj: Obj) -> None:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    size = 0
    for key, value in data.items():
        check_messages(errs, f"data[{key}]", key, config_key(key))
        if key in binary:
            errs.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        size += len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
    for key, value in binary.items():
        check_messages(errs, f"binaryData[{key}]", key, config_key(key))
        size += _decoded(value)
    if size > SIZE_LIMIT:
        errs.append(too_long("", SIZE_LIMIT))


def _check_config_map_update(errs: Errors, obj: Obj, old: Obj) -> None:
    _check_frozen(errs, obj, old, "data", "binaryData")


def _check_frozen(errs: Errors, obj: Obj, old: Obj, *fields: str) -> None:
    if not old.get("immutable"):
        return
    if not obj.get("immutable"):
        errs.append(forbidden("immutable", _FROZEN))
    for field in fields:
        if (obj.get(field) or {}) != (old.get(field) or {}):
            errs.append(forbidden(field, _FROZEN))


def _check_secret(errs: Errors, obj: Obj) -> None:
    data: Obj = obj.get("data") or {}
    size = 0
    for key, value in data.items():
        check_messages(errs, f"data[{key}]", key, config_key(key))
        size += _decoded(value)
    if size > SIZE_LIMIT:
        errs.append(too_long("data", SIZE_LIMIT))
    kind = obj.get("type", "")
    if kind == "kubernetes.io/service-account-token":
        annotations = (obj.get("metadata") or {}).get("annotations") or {}
        if not annotations.get(_ACCOUNT):
            errs.append(required(f"metadata.annotations[{_ACCOUNT}]"))
    elif kind == "kubernetes.io/basic-auth" and "username" not in data and "password" not in data:
        errs.append(required("data[username]"))
        errs.append(required("data[password]"))
    for key in _NEEDED.get(kind, ()):
        if key not in data or (kind == "kubernetes.io/ssh-auth" and not data[key]):
            errs.append(required(f"data[{key}]"))
        elif kind in _JSON:
            _check_json(errs, f"data[{key}]", data[key])


def _check_json(errs: Errors, field: str, value: str) -> None:
    try:
        msgspec.json.decode(base64.b64decode(value), type=dict)
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError) as error:
        errs.append(invalid(field, "<secret contents redacted>", str(error)))


def _check_secret_update(errs: Errors, obj: Obj, old: Obj) -> None:
    check_immutable(errs, "type", obj.get("type", ""), old.get("type", ""))
    _check_frozen(errs, obj, old, "data")


CONFIG_MAP = Rules(always=_check_config_map, update=_check_config_map_update)
SECRET = Rules(always=_check_secret, update=_check_secret_update)
