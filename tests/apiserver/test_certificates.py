"""Requests for certificates: whose they are, who approves, who signs, and what stays as it was."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SIGNER = "kubernetes.io/kube-apiserver-client"


def request(name: str, *, signer: str = SIGNER, group: str = "staff", **spec: Any) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group), x509.NameAttribute(NameOID.COMMON_NAME, "jane")]
    )
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    encoded = base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()
    given = {"request": encoded, "signerName": signer, "usages": ["client auth"], "username": "somebody", **spec}
    return json.dumps(
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": name},
            "spec": given,
        }
    )


def test_a_request_is_its_senders(shared_apiserver: Any) -> None:
    admin = shared_apiserver.admin
    admin("create", "-f", "-", input=request("mine"))
    spec = admin.json("get", "csr", "mine")["spec"]
    assert spec["username"] == "admin"
    assert "system:masters" in spec["groups"]
    assert admin("get", "csr", "mine", "--no-headers").split()[2:] == [SIGNER, "admin", "<none>", "Pending"]
    admin("certificate", "approve", "mine")
    assert admin("get", "csr", "mine", "--no-headers").split()[-1] == "Approved"
    (said,) = admin.json("get", "csr", "mine")["status"]["conditions"]
    assert said["lastTransitionTime"] and said["lastUpdateTime"]
    assert "already Approved" in admin.fails("certificate", "deny", "mine")
    admin("delete", "csr", "mine")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"request": "bm9uZQ=="}, "PEM block type must be CERTIFICATE REQUEST"),
        ({"usages": ["flying"]}, 'spec.usages[0]: Unsupported value: "flying"'),
        ({"usages": []}, "spec.usages: Required value"),
        ({"expirationSeconds": 5}, "may not specify a duration less than 600"),
        ({"group": "system:masters"}, "with system:masters group is not allowed"),
        ({"signer": "nowhere"}, "spec.signerName"),
    ],
)
def test_what_makes_no_sense(shared_apiserver: Any, changes: dict[str, Any], why: str) -> None:
    done = shared_apiserver.admin.run("create", "-f", "-", input=request("odd", **changes))
    assert done.returncode == 1
    assert why in done.stderr


def test_the_specification_never_changes(shared_apiserver: Any) -> None:
    admin = shared_apiserver.admin
    admin("create", "-f", "-", input=request("fixed"))
    change = '{"spec": {"usages": ["server auth"]}}'
    assert "field is immutable" in admin.fails("patch", "csr", "fixed", "--type=merge", "-p", change)
    admin("delete", "csr", "fixed")
