"""Where the API server is and who we are: kubeconfig files, and the files that a pod finds inside a cluster.

Read: cluster (server with any prefix path, CA, tls-server-name, insecure-skip-tls-verify), user (client certificate
and key, token, tokenFile), context (cluster, user, namespace, and `tenant`, which is Arktos' own). Not read: exec
and auth provider plugins, proxies, basic auth.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ConfigError(Exception):
    """A configuration that cannot be used; the message names the file and the field."""


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """Everything that a `Client` needs to know. `server` may carry a prefix path (`https://host:6443/tenants/acme`).

    `ca`, `cert` and `key` are PEM bytes (`ca` empty: the machine's own authorities). `token_file` is read again every
    minute and wins over `token`. `tenant` "" means what the server URL or the credential names. `qps` 0 = no rate
    limit on our side; `burst` is its bucket. `timeout` is for one answer, seconds. `retries` bounds how often a
    request that the server refused with Retry-After (429, 503) is sent again.
    """

    server: str
    ca: bytes = b""
    cert: bytes = b""
    key: bytes = b""
    token: str = ""
    token_file: str = ""
    tenant: str = ""
    namespace: str = ""
    user_agent: str = "arktos"
    tls_server_name: str = ""
    insecure: bool = False
    timeout: float = 60.0
    connections: int = 32
    retries: int = 5
    qps: float = 0.0
    burst: int = 0

    def with_user_agent(self, user_agent: str) -> ClientConfig:
        return replace(self, user_agent=user_agent)


def load(path: str | Path = "", context: str = "") -> ClientConfig:
    """The configuration that a kubeconfig's context names. `path` "" is $KUBECONFIG (its first file that exists) or
    ~/.kube/config; `context` "" the file's current context, or its only one. Raises ConfigError."""
    file = Path(path) if path else _default_path()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error
    return parse(text, file, context)


def parse(text: str, file: Path, context: str = "") -> ClientConfig:
    """As `load`, from text; `file` is where relative paths in it start from, and what errors name."""
    import yaml

    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not YAML: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{file}: not a kubeconfig")
    contexts = _named(document, "contexts", "context", file)
    wanted = (
        context or _string(document, "current-context", file) or (next(iter(contexts)) if len(contexts) == 1 else "")
    )
    if wanted not in contexts:
        known = ", ".join(sorted(contexts)) or "none"
        raise ConfigError(f'{file}: no context "{wanted}" (there are: {known})')
    chosen = contexts[wanted]
    cluster = _pick(_named(document, "clusters", "cluster", file), chosen, "cluster", wanted, file)
    user = _pick(_named(document, "users", "user", file), chosen, "user", wanted, file) if chosen.get("user") else {}
    server = _string(cluster, "server", file)
    if not server:
        raise ConfigError(f'{file}: the cluster of context "{wanted}" has no server')
    token_file = _string(user, "tokenFile", file)
    return ClientConfig(
        server=server,
        ca=_pem(cluster, "certificate-authority", file),
        cert=_pem(user, "client-certificate", file),
        key=_pem(user, "client-key", file),
        token=_string(user, "token", file),
        token_file=str(file.parent / token_file) if token_file else "",
        tenant=_string(chosen, "tenant", file),
        namespace=_string(chosen, "namespace", file),
        tls_server_name=_string(cluster, "tls-server-name", file),
        insecure=cluster.get("insecure-skip-tls-verify") is True,
    )


def in_cluster(folder: Path = IN_CLUSTER, environ: Mapping[str, str] = os.environ) -> ClientConfig:
    """The configuration of a pod: the service account's files, the `tenant` file beside them (or $POD_TENANT), and
    the server's address from the environment. Raises ConfigError where this is no pod."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    token = folder / "token"
    if not host or not port or not token.is_file():
        raise ConfigError(f"not inside a cluster: no $KUBERNETES_SERVICE_HOST and _PORT, or no {token}")

    def optional(name: str) -> bytes:
        file = folder / name
        return file.read_bytes() if file.is_file() else b""

    return ClientConfig(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca=optional("ca.crt"),
        token_file=str(token),
        tenant=environ.get("POD_TENANT", "") or optional("tenant").decode().strip(),
        namespace=optional("namespace").decode().strip(),
    )


def _default_path() -> Path:
    candidates = [Path(p) for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    return candidates[0] if candidates else Path.home() / ".kube" / "config"


Section = dict[str, Any]


def _named(document: Section, plural: str, singular: str, file: Path) -> dict[str, Section]:
    entries = document.get(plural) or []
    if not isinstance(entries, list) or not all(
        isinstance(e, dict) and isinstance(e.get("name"), str) for e in entries
    ):
        raise ConfigError(f"{file}: {plural} is not a list of named entries")
    return {e["name"]: e.get(singular) or {} for e in entries}


def _pick(sections: dict[str, Section], chosen: Section, what: str, context: str, file: Path) -> Section:
    name = chosen.get(what)
    if name not in sections:
        raise ConfigError(f'{file}: context "{context}" names the {what} "{name}", which is not there')
    return sections[name]


def _string(section: Section, field: str, file: Path) -> str:
    value = section.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ConfigError(f"{file}: {field} is not a string")
    return value


def _pem(section: Section, field: str, file: Path) -> bytes:
    """Inline data wins over a file, as in kubectl."""
    data = _string(section, f"{field}-data", file)
    if data:
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise ConfigError(f"{file}: {field}-data is not base64") from error
    path = _string(section, field, file)
    if not path:
        return b""
    try:
        return (file.parent / path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {field}: {error}") from error
