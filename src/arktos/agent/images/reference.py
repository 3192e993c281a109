"""Names of images, `[registry[:port]/]path[:tag][@algorithm:digest]`, as the distribution project has them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_REGISTRY = "docker.io"

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<path>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?\Z",
    re.ASCII,
)
_LONGEST = 255


class MalformedReference(ValueError):
    """This is not the name of an image; the text says why, as users know it."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The parts of an image's name; `registry` and `path` are complete."""

    registry: str
    path: str
    tag: str = ""
    digest: str = ""


def parse(name: str) -> Reference:
    """The image that a name means. Raises MalformedReference."""
    found = _REFERENCE.match(name)
    if found is None:
        lowered = _REFERENCE.match(name.lower())
        why = "repository name must be lowercase" if lowered else "invalid reference format"
        raise MalformedReference(why if lowered is None else f"invalid reference format: {why}")
    host, path = found["host"], found["path"]
    if host is not None and not ("." in host or ":" in host or host == "localhost" or host != host.lower()):
        host, path = None, f"{host}/{path}"
    if len(path) > _LONGEST:
        raise MalformedReference("repository name must not be more than 255 characters")
    registry = host or DEFAULT_REGISTRY
    if registry in ("index.docker.io", DEFAULT_REGISTRY):
        registry = DEFAULT_REGISTRY
        path = path if "/" in path else f"library/{path}"
    return Reference(registry, path, found["tag"] or "", found["digest"] or "")


def with_tag(name: str) -> str:
    """The name with the tag `latest` if it has neither tag nor digest. Raises MalformedReference."""
    meant = parse(name)
    return name if meant.tag or meant.digest else f"{name}:latest"


def machine_location(name: str) -> str:
    """The server and path of a virtual machine's image, which may be a URL and state a checksum, in the form in which
    pull secrets name such things."""
    return re.split(r"[?#@]", name.split("://", 1)[-1])[0].lower()


def default_policy(name: str) -> str:
    """The imagePullPolicy of a container that states none."""
    try:
        meant = parse(name)
    except MalformedReference:
        return "IfNotPresent"
    return "Always" if not meant.digest and meant.tag in ("", "latest") else "IfNotPresent"
