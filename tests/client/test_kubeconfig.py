"""Kubeconfig files as people write them, and the files inside a pod."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from arktos.client.credentials import BearerToken, ssl_context
from arktos.client.kubeconfig import ClientConfig, ConfigError, in_cluster, load, parse

TEXT = """
apiVersion: v1
kind: Config
current-context: one
clusters:
- name: c
  cluster: {{server: "https://host:6443/tenants/acme", certificate-authority-data: {ca}, tls-server-name: other}}
- name: bare
  cluster: {{server: "http://localhost:8080", insecure-skip-tls-verify: true, certificate-authority: ca.pem}}
- name: nowhere
  cluster: {{}}
users:
- name: u
  user: {{client-certificate-data: {ca}, client-key: key.pem}}
- name: t
  user: {{token: abc, tokenFile: tokens/t}}
contexts:
- {{name: one, context: {{cluster: c, user: u, namespace: ns, tenant: acme}}}}
- {{name: two, context: {{cluster: bare, user: t}}}}
- {{name: three, context: {{cluster: nowhere}}}}
- {{name: four, context: {{cluster: missing}}}}
""".format(ca=base64.b64encode(b"PEM").decode())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "key.pem").write_bytes(b"KEY")
    (tmp_path / "ca.pem").write_bytes(b"CA")
    file = tmp_path / "config"
    file.write_text(TEXT)
    return file


def test_everything_a_context_says(file: Path) -> None:
    assert load(file) == ClientConfig(
        server="https://host:6443/tenants/acme",
        ca=b"PEM",
        cert=b"PEM",
        key=b"KEY",
        tenant="acme",
        namespace="ns",
        tls_server_name="other",
    )
    assert load(file, "two") == ClientConfig(
        server="http://localhost:8080", ca=b"CA", token="abc", token_file=str(file.parent / "tokens/t"), insecure=True
    )


def test_where_it_is_looked_for(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none:{file}")
    assert load().tenant == "acme"
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"\.kube/config"):
        load()


@pytest.mark.parametrize(
    ("text", "context", "message"),
    [
        ("{", "", "not YAML"),
        ("[]", "", "not a kubeconfig"),
        ("{}", "", 'no context "" .there are: none'),
        (TEXT, "five", "there are: four, one, three, two"),
        (TEXT, "three", "has no server"),
        (TEXT, "four", 'names the cluster "missing", which is not there'),
        (TEXT.replace("key.pem", "lost.pem"), "one", "client-key: .*lost.pem"),
        (TEXT.replace("token: abc", "token: 12"), "two", "token is not a string"),
        (TEXT.replace("client-certificate-data: UEVN", "client-certificate-data: '?'"), "one", "not base64"),
        ("contexts: [1]", "", "not a list of named entries"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(file: Path, text: str, context: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        parse(text, file, context)
    assert str(error.value).startswith(str(file))


def test_inside_a_pod(tmp_path: Path) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(ConfigError, match="not inside a cluster"):
        in_cluster(tmp_path, environ)
    (tmp_path / "token").write_text("t")
    (tmp_path / "ca.crt").write_text("CA")
    (tmp_path / "namespace").write_text("ns")
    (tmp_path / "tenant").write_text("acme\n")
    config = in_cluster(tmp_path, environ)
    assert (config.server, config.ca, config.tenant, config.namespace) == ("https://10.0.0.1:443", b"CA", "acme", "ns")
    assert config.token_file == str(tmp_path / "token")
    assert in_cluster(tmp_path, environ | {"POD_TENANT": "globex"}).tenant == "globex"
    assert in_cluster(tmp_path, environ | {"KUBERNETES_SERVICE_HOST": "fd00::1"}).server == "https://[fd00::1]:443"


def test_tokens_rotate(tmp_path: Path) -> None:
    file = tmp_path / "token"
    token = BearerToken(ClientConfig(server="http://x", token_file=str(file)))
    with pytest.raises(ConfigError):
        token.header(0.0)
    file.write_text("one\n")
    assert token.header(100.0) == {"Authorization": "Bearer one"}
    file.write_text("two")
    assert token.header(130.0) == {"Authorization": "Bearer one"}
    assert token.header(161.0) == {"Authorization": "Bearer two"}
    file.unlink()
    assert token.header(300.0) == {"Authorization": "Bearer two"}


def test_certificates_that_do_not_parse() -> None:
    assert ssl_context(ClientConfig(server="http://x")) is None
    with pytest.raises(ConfigError, match="cannot be used"):
        ssl_context(ClientConfig(server="https://x", ca=b"PEM"))
    with pytest.raises(ConfigError, match="cannot be used"):
        ssl_context(ClientConfig(server="https://x", cert=b"PEM", key=b"KEY"))
