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
    minute and wins over `token`. `tenant` "" means what the server URL or the credential names. `qps` 0 = no rate limit
    on our side; `burst` is its bucket. `timeout` is for one answer, seconds. `retries` bounds how often a request
    that the server refused with Retry-After (429, 503) is sent again.
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
