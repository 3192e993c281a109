"""Pull secrets: which registry credentials a pod brings for an image. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from arktos.agent.images.reference import DEFAULT_REGISTRY, MalformedReference, parse
from arktos.model.kinds import Obj

_JSON = ".dockerconfigjson"
_LEGACY = ".dockercfg"


@dataclass(frozen=True, slots=True)
class Credential:
    """What one registry is shown. Never logged."""

    username: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        return "Credential(...)"


def matching(secrets: Iterable[Obj], image: str) -> list[Credential]:
    """The credentials in `secrets` that are for the registry and path of an image, the most specific first, each once.
    What is malformed in a secret is passed over: the pull without it tells the user more."""
    try:
        meant = parse(image)
    except MalformedReference:
        return []
    fitting: list[tuple[int, Credential]] = []
    for secret in secrets:
        for pattern, credential in _entries(secret):
            if _matches(pattern, meant.registry, meant.path):
                fitting.append((len(pattern), credential))
    fitting.sort(key=lambda each: -each[0])
    return list(dict.fromkeys(credential for _, credential in fitting))


def _entries(secret: Obj) -> Iterator[tuple[str, Credential]]:
    data = secret.get("data") or {}
    whole = _document(data.get(_JSON, ""))
    found = whole.get("auths") if isinstance(whole.get("auths"), dict) else _document(data.get(_LEGACY, ""))
    for server, entry in (found or {}).items():
        if isinstance(entry, dict):
            yield _pattern(server), _credential(entry)


def _document(encoded: str) -> Obj:
    try:
        found = json.loads(base64.b64decode(encoded or "e30="))
    except (binascii.Error, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _credential(entry: Obj) -> Credential:
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            told = base64.b64decode(entry["auth"]).decode().rstrip("\0")
        except (binascii.Error, ValueError):
            told = ""
        name, colon, secret = told.partition(":")
        if colon:
            username, password = name, secret
    return Credential(username, password, str(entry.get("identitytoken") or ""))


def _pattern(server: str) -> str:
    """`https://index.docker.io/v1/` and its like as host and path."""
    bare = server.split("://", 1)[-1].rstrip("/")
    host, slash, path = bare.partition("/")
    if host in ("index.docker.io", "registry-1.docker.io"):
        host = DEFAULT_REGISTRY
    if path in ("v1", "v2"):
        path = ""
    return f"{host}/{path}" if slash and path else host


def _matches(pattern: str, registry: str, path: str) -> bool:
    """Host parts match by glob, part for part; a path matches what begins with it."""
    host, _, prefix = pattern.partition("/")
    wanted_name, _, wanted_port = host.partition(":")
    name, _, port = registry.partition(":")
    if wanted_port != port or wanted_name.count(".") != name.count("."):
        return False
    if not all(map(fnmatchcase, name.split("."), wanted_name.split("."))):
        return False
    return not prefix or path == prefix or path.startswith(prefix.rstrip("/") + "/")
