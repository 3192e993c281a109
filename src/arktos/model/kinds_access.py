"""Questions that are answered and never stored: who am I, is this token good, may this user do that."""

from __future__ import annotations

from arktos.model.kinds import Kind, Scope
from arktos.model.rows import CREATE, GroupVersion

_authentication = GroupVersion("authentication.k8s.io", "v1", "io.k8s.api.authentication.v1").row
# The beta is this one question only: kubectl 1.27 has no other way to ask who it is.
_authentication_beta = GroupVersion("authentication.k8s.io", "v1beta1", "io.k8s.api.authentication.v1").row
_authorization = GroupVersion("authorization.k8s.io", "v1", "io.k8s.api.authorization.v1").row

ROWS: tuple[Kind, ...] = (
    _authentication("SelfSubjectReview", "selfsubjectreviews", Scope.TENANT, verbs=CREATE),
    _authentication_beta(
        "SelfSubjectReview", "selfsubjectreviews", Scope.TENANT, verbs=CREATE, storage="authentication.k8s.io/v1"
    ),
    _authentication("TokenReview", "tokenreviews", Scope.TENANT, verbs=CREATE),
    _authorization("LocalSubjectAccessReview", "localsubjectaccessreviews", verbs=CREATE),
    _authorization("SelfSubjectAccessReview", "selfsubjectaccessreviews", Scope.TENANT, verbs=CREATE),
    _authorization("SelfSubjectRulesReview", "selfsubjectrulesreviews", Scope.TENANT, verbs=CREATE),
    _authorization("SubjectAccessReview", "subjectaccessreviews", Scope.TENANT, verbs=CREATE),
)
