"""What volumes of the kinds configMap, secret and projected are made from."""

from __future__ import annotations

from dataclasses import dataclass

from arktos.model.kinds import Obj

DEFAULT_TOKEN_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class TokenKey:
    """Which token a pod asks for; `audience` "" is the API server's own."""

    audience: str
    seconds: int


@dataclass(frozen=True, slots=True)
class VolumeSources:
    """Config maps and secrets by name, tokens by key."""

    config_maps: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()
    tokens: frozenset[TokenKey] = frozenset()


def volume_sources(volume: Obj) -> VolumeSources:
    """What a volume is made from; nothing for volumes of other plugins."""
    if source := volume.get("configMap"):
        return VolumeSources(config_maps=frozenset({source.get("name", "")}))
    if source := volume.get("secret"):
        return VolumeSources(secrets=frozenset({source.get("secretName", "")}))
    sources = (volume.get("projected") or {}).get("sources") or ()
    return VolumeSources(
        frozenset(each["configMap"].get("name", "") for each in sources if each.get("configMap")),
        frozenset(each["secret"].get("name", "") for each in sources if each.get("secret")),
        frozenset(token_key(each["serviceAccountToken"]) for each in sources if each.get("serviceAccountToken")),
    )


def token_key(source: Obj) -> TokenKey:
    """The token that a projected source asks for."""
    return TokenKey(source.get("audience") or "", source.get("expirationSeconds") or DEFAULT_TOKEN_SECONDS)
