"""The bodies of subresources, as rows: kinds that are sent and never served on their own."""

from __future__ import annotations

from arktos.model.additions import PREFIX
from arktos.model.kinds import Kind, Scope

BINDING = Kind("", "v1", "Binding", "bindings", Scope.NAMESPACE, "io.k8s.api.core.v1.Binding")
EVICTION = Kind("policy", "v1", "Eviction", "evictions", Scope.NAMESPACE, "io.k8s.api.policy.v1.Eviction")
SCALE = Kind("autoscaling", "v1", "Scale", "scales", Scope.NAMESPACE, "io.k8s.api.autoscaling.v1.Scale")
CUSTOM_ACTION = Kind("", "v1", "CustomAction", "customactions", Scope.NAMESPACE, f"{PREFIX}CustomAction")
TOKEN_REQUEST = Kind(
    "authentication.k8s.io",
    "v1",
    "TokenRequest",
    "tokenrequests",
    Scope.NAMESPACE,
    "io.k8s.api.authentication.v1.TokenRequest",
)
