"""What the name of an image means. Pure.

    https://host/path.qcow2, http://…        a file on a web server
    host[:port]/path.qcow2[:tag]             the same over https; a tag means nothing and is dropped
    oci://host[:port]/path[:tag][@sha256:H]  an artifact, or the disk in a container image, in a registry
    file:///path                             a file of the operator's

A checksum of a file as it is served: `@sha256:HEX` at the end, `?checksum=sha256:HEX` or `#sha256=HEX`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from arktos.vmruntime.images.faults import Unfit
from arktos.vmruntime.images.policy import ImagePolicy

_LONGEST = 2048
_HEX = re.compile(r"[0-9a-f]{64}\Z")
_PINNED = re.compile(r"@sha256:([^/]*)\Z")
_TAG = re.compile(r":\w[\w.-]{0,127}\Z", re.ASCII)
_PRINTABLE = re.compile(r"[!-~]+\Z")
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?\Z")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:[._/]|__|-+)[a-z0-9]+)*\Z")


@dataclass(frozen=True, slots=True)
class WebSource:
    """`sha256` is hexadecimal, "" if none was stated. `trusted`: the operator named this server."""

    url: str
    sha256: str = ""
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class OciSource:
    """`digest` goes before `tag`; `sha256` is not used: a registry's content is addressed by digests anyway."""

    scheme: str
    registry: str
    repository: str
    tag: str = "latest"
    digest: str = ""
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class FileSource:
    path: str
    sha256: str = ""


Source = WebSource | OciSource | FileSource


def parse(reference: str, policy: ImagePolicy) -> Source:
    """Where to get an image. Raises Unfit, saying what is wrong."""
    if not reference or len(reference) > _LONGEST or not _PRINTABLE.match(reference):
        raise Unfit(f"malformed image reference {reference[:100]!r}")
    mirrored = _mirrored(reference, policy.mirrors)
    trusted = mirrored != reference
    scheme, colon, rest = mirrored.partition("://")
    if not colon:
        scheme, rest = "https", _without_tag(mirrored)
    match scheme.lower():
        case "http" | "https" as web:
            return _web(web, rest, policy, trusted)
        case "oci":
            return _oci(rest, policy, trusted)
        case "file":
            return _file(rest)
    raise Unfit(f"image reference {reference!r}: the scheme {scheme!r} is none of https, http, oci, file")


def _web(scheme: str, rest: str, policy: ImagePolicy, trusted: bool) -> WebSource:
    rest, sha256 = _checksum(rest)
    authority, slash, _ = rest.partition("/")
    if "@" in authority:
        raise Unfit("image reference: credentials belong into an image pull secret, not into the URL")
    if not slash or not _AUTHORITY.match(authority):
        raise Unfit(f"image reference: {authority!r} is not HOST[:PORT], with a path after it")
    if authority in policy.insecure_registries:
        scheme, trusted = "http", True
    return WebSource(f"{scheme}://{rest}", sha256, trusted)


def _oci(rest: str, policy: ImagePolicy, trusted: bool) -> OciSource:
    digest = ""
    if pinned := _PINNED.search(rest):
        digest, rest = f"sha256:{_hex(pinned[1])}", rest[: pinned.start()]
    registry, _, path = rest.partition("/")
    tag = "latest"
    if tagged := _TAG.search(path):
        tag, path = tagged[0][1:], path[: tagged.start()]
    if not _AUTHORITY.match(registry) or not _REPOSITORY.match(path):
        raise Unfit(f"image reference: {rest!r} is not HOST[:PORT]/REPOSITORY[:TAG]")
    insecure = registry in policy.insecure_registries
    return OciSource("http" if insecure else "https", registry, path, tag, digest, trusted or insecure)


def _file(rest: str) -> FileSource:
    rest, sha256 = _checksum(rest)
    path = unquote(rest)
    if not path.startswith("/") or "\0" in path:
        raise Unfit("image reference: a file is named file:///ABSOLUTE/PATH")
    return FileSource(path, sha256)


def _checksum(rest: str) -> tuple[str, str]:
    """A URL without its scheme, freed of the checksum that it states."""
    if pinned := _PINNED.search(rest):
        return rest[: pinned.start()], _hex(pinned[1])
    try:
        url = urlsplit("//" + rest)
    except ValueError as error:
        raise Unfit(f"{rest!r} is no address of an image: {error}") from None
    stated = dict(parse_qsl(url.fragment)).get("sha256", "")
    query = url.query
    if "checksum=" in query:
        fields = parse_qsl(query, keep_blank_values=True)
        given = dict(fields).get("checksum", "")
        stated = stated or given.removeprefix("sha256:")
        query = urlencode([field for field in fields if field[0] != "checksum"], quote_via=quote)
    kept = urlunsplit(("", url.netloc, url.path, query, "")).removeprefix("//")
    return kept, _hex(stated) if stated else ""


def _hex(digest: str) -> str:
    lowered = digest.lower()
    if not _HEX.match(lowered):
        raise Unfit(f"image reference: {digest!r} is not a SHA-256 checksum of 64 hexadecimal digits")
    return lowered


def _without_tag(reference: str) -> str:
    """A tag may stand before a checksum. The port of a host is none."""
    pinned = _PINNED.search(reference)
    name, pin = (reference[: pinned.start()], pinned[0]) if pinned else (reference, "")
    authority, slash, path = name.partition("/")
    return f"{authority}{slash}{_TAG.sub('', path)}{pin}"


def _mirrored(reference: str, mirrors: tuple[tuple[str, str], ...]) -> str:
    bare = reference.removeprefix("https://")
    for prefix, instead in sorted(mirrors, key=lambda mirror: -len(mirror[0])):
        for name in (reference, bare):
            rest = name.removeprefix(prefix)
            if name.startswith(prefix) and (prefix.endswith("/") or rest[:1] in ("", "/", ":", "@", "?", "#")):
                return instead + rest
    return reference
