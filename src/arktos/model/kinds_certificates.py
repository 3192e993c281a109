"""Certificates: requests for them. A tenant's requests are signed with its name in them (DESIGN 3)."""

from __future__ import annotations

from arktos.model.kinds import Kind, Scope, Subresource
from arktos.model.rows import READ_WRITE, STATUS, GroupVersion

_certificates = GroupVersion("certificates.k8s.io", "v1", "io.k8s.api.certificates.v1").row

ROWS: tuple[Kind, ...] = (
    _certificates(
        "CertificateSigningRequest",
        "certificatesigningrequests",
        Scope.TENANT,
        short_names=("csr",),
        subresources=(STATUS, Subresource("approval", READ_WRITE)),
        selectable={"spec.signerName": "spec.signerName"},
    ),
)
