"""The environment of a container: what it states itself, over what it takes from config maps and secrets, over what
describes the services around it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from arktos.agent.spec.downward import field_value, resource_value
from arktos.agent.spec.envfile import value_of
from arktos.agent.spec.expansion import expand
from arktos.agent.spec.facts import ConfigError, NodeFacts
from arktos.agent.spec.services import service_variables
from arktos.model.kinds import Obj

_NAME = re.compile(r"[ -<>-~]+\Z")
"""Printable ASCII but `=`: what names may be since KEP-4369."""


@dataclass(frozen=True, slots=True)
class EnvironmentSources:
    """What the environment of one container is made from, read beforehand.

    `config_maps` and `secrets` are those of the pod's namespace that it refers to and that exist; `services` at least
    those of its namespace and `default/kubernetes`; `files` the environment files that exist, by volume and path.
    """

    config_maps: Mapping[str, Obj] = field(default_factory=dict)
    secrets: Mapping[str, Obj] = field(default_factory=dict)
    services: Sequence[Obj] = ()
    pod_ips: Sequence[str] = ()
    files: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class References:
    """What `EnvironmentSources` must hold for a container."""

    config_maps: frozenset[str]
    secrets: frozenset[str]
    files: frozenset[tuple[str, str]]


def references(container: Obj) -> References:
    """The names of what the environment of a container refers to."""
    froms = [each.get("valueFrom") or {} for each in container.get("env") or ()]
    whole = list(container.get("envFrom") or ())
    files = [each["fileKeyRef"] for each in froms if each.get("fileKeyRef")]
    return References(
        frozenset(_names(froms, "configMapKeyRef") | _names(whole, "configMapRef")),
        frozenset(_names(froms, "secretKeyRef") | _names(whole, "secretRef")),
        frozenset((each.get("volumeName", ""), each.get("path", "")) for each in files),
    )


def environment(
    pod: Obj,
    container: Obj,
    sources: EnvironmentSources,
    facts: NodeFacts,
    *,
    skipped: Callable[[str], None] | None = None,
) -> list[tuple[str, str]]:
    """The variables of a container, each name once. `skipped` is told, in a sentence for an event of the reason
    InvalidEnvironmentVariableNames, what of an `envFrom` cannot be a variable. Raises ConfigError."""
    namespace = pod["metadata"].get("namespace", "")
    links = pod["spec"].get("enableServiceLinks")
    around = service_variables(sources.services, namespace, links is None or bool(links))
    variables: dict[str, str] = {}
    for each in container.get("envFrom") or ():
        _take_all(variables, each, namespace, sources, skipped)

    def lookup(name: str) -> str | None:
        return variables[name] if name in variables else around.get(name)

    for each in container.get("env") or ():
        value: str | None = each.get("value") or ""
        if value:
            value = expand(value, lookup)
        elif each.get("valueFrom"):
            value = _resolve(pod, container, each["valueFrom"], sources, facts)
        if value is not None:
            variables[each["name"]] = value
    return list({**around, **variables}.items())


def _take_all(
    variables: dict[str, str],
    source: Obj,
    namespace: str,
    sources: EnvironmentSources,
    skipped: Callable[[str], None] | None,
) -> None:
    of_secret = bool(source.get("secretRef"))
    ref = source.get("secretRef") or source.get("configMapRef")
    if not ref:
        return
    kind, held = ("secret", sources.secrets) if of_secret else ("configMap", sources.config_maps)
    found = held.get(ref.get("name", ""))
    if found is None:
        if ref.get("optional"):
            return
        raise ConfigError(not_found(kind.lower(), ref.get("name", "")))
    invalid: list[str] = []
    data = found.get("data") or {}
    for key in sorted(data):
        name = (source.get("prefix") or "") + key
        if _NAME.match(name):
            variables[name] = _text(data[key]) if of_secret else data[key]
        else:
            invalid.append(name)
    if invalid and skipped is not None:
        skipped(
            f"Keys [{', '.join(invalid)}] from the EnvFrom {kind} {namespace}/{ref['name']} were skipped since they "
            "are considered invalid environment variable names."
        )


def _resolve(pod: Obj, container: Obj, source: Obj, sources: EnvironmentSources, facts: NodeFacts) -> str | None:
    """The value of a `valueFrom`; None where an optional one is not there."""
    if ref := source.get("fieldRef"):
        return field_value(pod, ref.get("fieldPath", ""), facts, sources.pod_ips)
    if ref := source.get("resourceFieldRef"):
        return resource_value(pod, container, ref, facts)
    namespace = pod["metadata"].get("namespace", "")
    if ref := source.get("configMapKeyRef"):
        return _key("ConfigMap", namespace, ref, sources.config_maps)
    if ref := source.get("secretKeyRef"):
        value = _key("Secret", namespace, ref, sources.secrets)
        return None if value is None else _text(value)
    if ref := source.get("fileKeyRef"):
        return _file_key(ref, sources)
    return ""


def _key(kind: str, namespace: str, ref: Obj, held: Mapping[str, Obj]) -> str | None:
    name, key = ref.get("name", ""), ref.get("key", "")
    found = held.get(name)
    if found is not None and key in (found.get("data") or {}):
        value: str = found["data"][key]
        return value
    if ref.get("optional"):
        return None
    if found is None:
        raise ConfigError(not_found(kind.lower(), name))
    raise ConfigError(f"couldn't find key {key} in {kind} {namespace}/{name}")


def _file_key(ref: Obj, sources: EnvironmentSources) -> str | None:
    volume, path, key = ref.get("volumeName", ""), ref.get("path", ""), ref.get("key", "")
    text = sources.files.get((volume, path))
    if text is None:
        if ref.get("optional"):
            return None
        raise ConfigError(f'environment file "{path}" not found in volume "{volume}"')
    try:
        value = value_of(text, key)
    except ValueError as error:
        raise ConfigError(f'couldn\'t parse env file "{path}" of volume "{volume}": {error}') from error
    if value is None and not ref.get("optional"):
        raise ConfigError(f'environment variable key "{key}" not found in file "{path}"')
    return value


def not_found(kind: str, name: str) -> str:
    """How the kubelet says that a config map or secret is not there; `kind` in lower case."""
    return f'{kind} "{name}" not found'


def _text(encoded: str) -> str:
    """A secret's value. What is no UTF-8 cannot travel in a variable; its bytes are replaced."""
    try:
        return base64.b64decode(encoded, validate=False).decode("utf-8", "replace")
    except binascii.Error as error:
        raise ConfigError(f"illegal base64 data in Secret: {error}") from error


def _names(froms: Sequence[Obj], form: str) -> set[str]:
    return {each[form].get("name", "") for each in froms if each.get(form)}
