"""How a machine becomes a node of a control plane elsewhere, with nothing but a bootstrap token and the CA's hash.

As kubeadm's token discovery and the TLS bootstrap of Kubernetes: the CA is fetched over a connection that is not
trusted and believed for its hash only; the token is sent over one that is. With it the machine asks for its client
certificate, registers, and asks for the certificate of its agent's server.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
import hmac
import http.client
import re
import secrets
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from arktos.bootstrap import credentials, pki
from arktos.bootstrap.layout import Layout
from arktos.bootstrap.nodes import NodeSettings
from arktos.client.client import Client
from arktos.client.errors import ConnectionFailed
from arktos.client.kubeconfig import ClientConfig, ConfigError
from arktos.model import dates, registry
from arktos.model.kinds import Obj
from arktos.model.status import AlreadyExists, ApiError

SIGNED_SECONDS = 60.0
POLL_SECONDS = 0.2
FETCH_SECONDS = 10.0
TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")

_REQUEST = registry.by_resource("certificatesigningrequests.certificates.k8s.io")
_NODE = registry.by_resource("nodes")
_SECRET = registry.by_resource("secrets")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class Refused(Exception):
    """The control plane cannot be joined; the text says why and what to do."""


def ca_hash(pem: bytes) -> str:
    """`sha256:HEX` of a certificate's public key (SubjectPublicKeyInfo, DER), as kubeadm prints it."""
    key = x509.load_pem_x509_certificate(pem).public_key()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "sha256:" + hashlib.sha256(der).hexdigest()


async def new_token(client: Client, seconds: float) -> str:
    """Makes a bootstrap token that is good for `seconds`."""
    token_id, secret = (_random(length) for length in (6, 16))
    data = {
        "token-id": token_id,
        "token-secret": secret,
        "expiration": dates.rfc3339(dates.from_unix(time.time() + seconds)),
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:nodes",
        "description": "made by `arktos node token`",
    }
    made = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"bootstrap-token-{token_id}", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": data,
    }
    await client.create(_SECRET, made)
    return f"{token_id}.{secret}"


def fetch_ca(server: str, expected: str) -> bytes:
    """The CA of the API server at a URL, PEM. Refused where its hash is not the `expected` one."""
    parts = urlsplit(server)
    if parts.scheme != "https" or not parts.hostname:
        raise Refused(f"{server}: give the API server's URL, https://ADDRESS:6443")
    context = ssl.create_default_context()
    # Whoever answers is believed for the hash of what they send, and sent nothing.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(parts.hostname, parts.port or 443, timeout=FETCH_SECONDS, context=context)
    try:
        connection.request("GET", "/cacerts")
        answer = connection.getresponse()
        found = answer.read(1 << 20)
    except (OSError, http.client.HTTPException) as error:
        raise Refused(f"{server} does not answer: {error}") from error
    finally:
        connection.close()
    try:
        actual = ca_hash(found) if answer.status == 200 else ""
    except ValueError:
        actual = ""
    if not actual:
        raise Refused(f"{server} is no API server of Arktos: it does not tell its CA")
    if not hmac.compare_digest(actual, expected):
        raise Refused(
            f"{server} has a CA with the hash {actual}, not {expected}: this is not the server that was meant"
        )
    return found


async def join(layout: Layout, node: NodeSettings, token: str, ca: bytes) -> None:
    """Gets and writes the credentials of a node. What an earlier attempt got is used. Refused says what failed."""
    pki.write_private(layout.ca, ca)
    path = layout.component_kubeconfig("agent")
    try:
        if not _usable(path, node, ca):
            async with Client(ClientConfig(node.server, ca=ca, token=token)) as client:
                await _get_client_certificate(client, layout, node, ca)
        async with Client.from_kubeconfig(path) as client:
            await _register(client, node)
            await _get_serving_certificate(client, layout, node)
    except ConnectionFailed as error:
        raise Refused(f"{node.server} cannot be reached: {error}") from error
    except ApiError as error:
        hint = "; has the token expired? `arktos node token` makes a new one" if error.code == 401 else ""
        raise Refused(f"{node.server} refuses: {error.message}{hint}") from error


async def renew(layout: Layout, node: NodeSettings) -> None:
    """Has a joined node's certificates replaced that will not last, with those that it has. Refused says what
    failed."""
    ca, path = layout.ca.read_bytes(), layout.component_kubeconfig("agent")
    try:
        if not _usable(path, node, ca):
            async with Client.from_kubeconfig(path) as client:
                await _get_client_certificate(client, layout, node, ca)
        async with Client.from_kubeconfig(path) as client:
            await _get_serving_certificate(client, layout, node)
    except ConnectionFailed as error:
        raise Refused(f"{node.server} cannot be reached: {error}") from error
    except ConfigError as error:
        raise Refused(f"{error}; join again with a token of `arktos node token`") from error
    except ApiError as error:
        raise Refused(f"{node.server} refuses: {error.message}") from error


async def _get_client_certificate(client: Client, layout: Layout, node: NodeSettings, ca: bytes) -> None:
    key, name = pki.private_key(), f"system:node:{node.name}"
    usages = ["digital signature", "client auth"]
    certificate = await _sign(client, key, name, "kubernetes.io/kube-apiserver-client-kubelet", usages, [])
    document = credentials.kubeconfig(node.server, ca, "arktos", name, pki.Pair(certificate, key))
    pki.write_private(layout.component_kubeconfig("agent"), document)


async def _get_serving_certificate(client: Client, layout: Layout, node: NodeSettings) -> None:
    """Unless there is one that will last."""
    if _serves(layout, node):
        return
    key, name = pki.private_key(), f"system:node:{node.name}"
    usages = ["digital signature", "server auth"]
    hosts = [node.name, node.address, "127.0.0.1"]
    certificate = await _sign(client, key, name, "kubernetes.io/kubelet-serving", usages, hosts)
    pki.write_private(layout.agent_key, key)
    pki.write_private(layout.agent_certificate, certificate)


def _usable(path: Path, node: NodeSettings, ca: bytes) -> bool:
    """Whether an earlier attempt has left a good client certificate for this node and control plane."""
    now = datetime.datetime.now(datetime.UTC)
    try:
        document = yaml.safe_load(path.read_bytes())
        cluster = document["clusters"][0]["cluster"]
        same = cluster["server"] == node.server and base64.b64decode(cluster["certificate-authority-data"]) == ca
        mine = document["users"][0]["name"] == f"system:node:{node.name}@arktos"
        certificate = base64.b64decode(document["users"][0]["user"]["client-certificate-data"])
        return same and mine and pki.lasts(certificate, now)
    except (OSError, yaml.YAMLError, ValueError, KeyError, IndexError, TypeError):
        return False


def _serves(layout: Layout, node: NodeSettings) -> bool:
    if not layout.agent_certificate.exists() or not layout.agent_key.exists():
        return False
    certificate = layout.agent_certificate.read_bytes()
    now = datetime.datetime.now(datetime.UTC)
    whole = pki.belongs(certificate, layout.agent_key.read_bytes()) and pki.is_signed(
        certificate, layout.ca.read_bytes()
    )
    return whole and pki.serves(certificate, [node.name, node.address], now)


async def _register(client: Client, node: NodeSettings) -> None:
    """Has the Node object, with the addresses that its certificate may name. The agent fills in the rest."""
    addresses = [{"type": "InternalIP", "address": node.address}, {"type": "Hostname", "address": node.name}]
    made: Obj = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name},
        "spec": {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]},
        "status": {"addresses": addresses},
    }
    try:
        await client.create(_NODE, made)
    except AlreadyExists:
        await client.patch(_NODE, node.name, {"status": {"addresses": addresses}}, type="merge", subresource="status")


async def _sign(client: Client, key: bytes, name: str, signer: str, usages: list[str], hosts: list[str]) -> bytes:
    """A certificate for a key, once the control plane has approved and signed it."""
    spec = {
        "request": base64.b64encode(pki.request(key, name, ["system:nodes"], hosts)).decode(),
        "signerName": signer,
        "usages": usages,
    }
    made = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": _REQUEST.kind,
        "metadata": {"generateName": "node-csr-"},
        "spec": spec,
    }
    request = (await client.create(_REQUEST, made))["metadata"]["name"]
    deadline = time.monotonic() + SIGNED_SECONDS
    while True:
        status = (await client.get(_REQUEST, request)).get("status") or {}
        if status.get("certificate"):
            return base64.b64decode(status["certificate"])
        for condition in status.get("conditions") or ():
            if condition.get("type") in ("Denied", "Failed"):
                raise Refused(f"the request {request} is {condition['type'].lower()}: {condition.get('message')}")
        if time.monotonic() > deadline:
            raise Refused(
                f"the request {request} was not approved: is there such a node already? Delete it, "
                f"or approve the request with `kubectl certificate approve {request}` and join again"
            )
        await asyncio.sleep(POLL_SECONDS)


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))
