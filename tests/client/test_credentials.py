"""Certificates and tokens that are replaced while a client lives by them."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from arktos.bootstrap import credentials, pki
from arktos.client import Client
from arktos.client import credentials as client_credentials
from arktos.model import registry

REVIEWS = registry.by_resource("selfsubjectreviews.authentication.k8s.io")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_credentials, "FILE_REREAD", 0.0)


def write(system: Any, path: Path, user: str) -> None:
    layout = system.settings.layout
    pair = pki.Signer(layout.ca, layout.ca_key).client(user, datetime.datetime.now(datetime.UTC))
    pki.write_private(path, credentials.kubeconfig(system.url, layout.ca.read_bytes(), "arktos", user, pair))


async def name(client: Client) -> str:
    review = {"apiVersion": REVIEWS.api_version, "kind": REVIEWS.kind}
    return str((await client.create(REVIEWS, review))["status"]["userInfo"]["username"])


def disconnect(client: Client) -> None:
    for connection in list(client._http._http._pooled):
        connection.close()


async def test_new_connections_show_the_new_certificate(shared_apiserver: Any, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    write(shared_apiserver, path, "first")
    async with Client.from_kubeconfig(path) as client:
        assert await name(client) == "first"
        write(shared_apiserver, path, "second")
        assert await name(client) == "first", "a connection stays what it is"
        disconnect(client)
        assert await name(client) == "second"


@pytest.mark.parametrize("broken", ["{", "", "apiVersion: v1\nkind: Config\n"])
async def test_a_file_that_cannot_be_used_changes_nothing(shared_apiserver: Any, tmp_path: Path, broken: str) -> None:
    path = tmp_path / "kubeconfig"
    write(shared_apiserver, path, "first")
    async with Client.from_kubeconfig(path) as client:
        path.write_text(broken)
        assert await name(client) == "first"
        path.unlink()
        assert await name(client) == "first"
        write(shared_apiserver, path, "second")
        disconnect(client)
        assert await name(client) == "second"
