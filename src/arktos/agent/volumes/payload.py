"""What the files of configMap, secret, downwardAPI and projected volumes contain. Pure: what they are made from is read
beforehand."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from arktos.agent.spec.downward import field_value, resource_value
from arktos.agent.spec.facts import ConfigError, NodeFacts, all_containers
from arktos.agent.spec.volume_sources import TokenKey, token_key
from arktos.agent.volumes.atomic import File, checked_path
from arktos.agent.volumes.ownership import Ownership
from arktos.agent.volumes.volume import VolumeError
from arktos.model.kinds import Obj

DEFAULT_MODE = 0o644
_TOKEN_MODE = 0o600

Files = dict[str, File]


@dataclass(frozen=True, slots=True)
class Material:
    """What payloads are made from: the config maps and secrets that exist, by name, and the tokens by key."""

    config_maps: Mapping[str, Obj] = field(default_factory=dict)
    secrets: Mapping[str, Obj] = field(default_factory=dict)
    tokens: Mapping[TokenKey, str] = field(default_factory=dict)


def files_of(volume: Obj, pod: Obj, material: Material, owner: Ownership, facts: NodeFacts) -> Files:
    """The files of a volume. Raises VolumeError for what is missing or malformed and not optional."""
    if source := volume.get("configMap"):
        return _config_map(source, material, _mode(source))
    if source := volume.get("secret"):
        named = {**source, "name": source.get("secretName", "")}
        return _secret(named, material, _mode(source))
    if (source := volume.get("downwardAPI")) is not None:
        return _downward(source, pod, facts, _mode(source))
    return _projected(volume["projected"], pod, material, owner, facts)


def _projected(projected: Obj, pod: Obj, material: Material, owner: Ownership, facts: NodeFacts) -> Files:
    files: Files = {}
    mode = _mode(projected)
    problems: list[str] = []
    for source in projected.get("sources") or ():
        try:
            if part := source.get("configMap"):
                files.update(_config_map(part, material, mode))
            elif part := source.get("secret"):
                files.update(_secret(part, material, mode))
            elif (part := source.get("downwardAPI")) is not None:
                files.update(_downward(part, pod, facts, mode))
            elif part := source.get("serviceAccountToken"):
                files.update(_token(part, material, owner, mode))
            else:
                _refuse(source)
        except VolumeError as error:
            problems.append(error.message)
    if problems:
        raise VolumeError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
    return files


def _refuse(source: Obj) -> None:
    for form in ("clusterTrustBundle", "podCertificate"):
        if part := source.get(form):
            if not part.get("optional"):
                raise VolumeError(f"projected source {form} is not supported by this node")
            return


def _config_map(source: Obj, material: Material, mode: int) -> Files:
    name = source.get("name", "")
    found = material.config_maps.get(name)
    if found is None:
        if source.get("optional"):
            return {}
        raise VolumeError(f'configmap "{name}" not found')
    content = {key: text.encode() for key, text in (found.get("data") or {}).items()}
    content.update({key: _decoded(text) for key, text in (found.get("binaryData") or {}).items()})
    return _chosen(source, content, mode, "configmap references non-existent config key")


def _secret(source: Obj, material: Material, mode: int) -> Files:
    name = source.get("name", "")
    found = material.secrets.get(name)
    if found is None:
        if source.get("optional"):
            return {}
        raise VolumeError(f'secret "{name}" not found')
    content = {key: _decoded(text) for key, text in (found.get("data") or {}).items()}
    return _chosen(source, content, mode, "references non-existent secret key")


def _chosen(source: Obj, content: Mapping[str, bytes], mode: int, missing: str) -> Files:
    """All of the content by key, or the items that are named, by path."""
    items = source.get("items")
    if not items:
        return {_path(key): File(value, mode) for key, value in content.items()}
    files: Files = {}
    for item in items:
        key = item.get("key", "")
        if key in content:
            files[_path(item.get("path", ""))] = File(content[key], _mode(item, "mode", mode))
        elif not source.get("optional"):
            raise VolumeError(f"{missing}: {key}")
    return files


def _downward(source: Obj, pod: Obj, facts: NodeFacts, mode: int) -> Files:
    files: Files = {}
    for item in source.get("items") or ():
        try:
            if ref := item.get("fieldRef"):
                text = field_value(pod, ref.get("fieldPath", ""), facts)
            else:
                text = _resource(pod, item.get("resourceFieldRef") or {}, facts)
        except ConfigError as error:
            raise VolumeError(error.message) from error
        files[_path(item.get("path", ""))] = File(text.encode(), _mode(item, "mode", mode))
    return files


def _resource(pod: Obj, ref: Obj, facts: NodeFacts) -> str:
    named = [each for each in all_containers(pod) if each.get("name") == ref.get("containerName")]
    if not named:
        raise ConfigError(f"container {ref.get('containerName', '')} not found")
    return resource_value(pod, named[0], ref, facts)


def _token(source: Obj, material: Material, owner: Ownership, mode: int) -> Files:
    key = token_key(source)
    if key not in material.tokens:
        raise VolumeError("failed to fetch token")
    if owner.user is not None or owner.group is not None:
        # Nobody else may read it; the group's right comes with the group.
        mode = _TOKEN_MODE
    return {_path(source.get("path", "")): File(material.tokens[key].encode(), mode, owner.user)}


def _mode(stated: Obj, name: str = "defaultMode", default: int = DEFAULT_MODE) -> int:
    mode = stated.get(name)
    return int(mode) & 0o777 if mode is not None else default


def _path(path: str) -> str:
    try:
        return checked_path(path)
    except ValueError as error:
        raise VolumeError(str(error)) from error


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except binascii.Error as error:
        raise VolumeError(f"illegal base64 data: {error}") from error
