"""Admission that is configured: webhooks, and policies in CEL. They belong to a tenant and see its requests only."""

from __future__ import annotations

from arktos.model.kinds import Kind, Scope
from arktos.model.rows import STATUS, GroupVersion

GROUP = "admissionregistration.k8s.io"

_row = GroupVersion(GROUP, "v1", "io.k8s.api.admissionregistration.v1").row

ROWS: tuple[Kind, ...] = (
    _row("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", Scope.TENANT, has_generation=True),
    _row("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", Scope.TENANT, has_generation=True),
    _row(
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        Scope.TENANT,
        subresources=(STATUS,),
        has_generation=True,
    ),
    _row("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", Scope.TENANT, has_generation=True),
    _row("MutatingAdmissionPolicy", "mutatingadmissionpolicies", Scope.TENANT, has_generation=True),
    _row("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", Scope.TENANT, has_generation=True),
)
