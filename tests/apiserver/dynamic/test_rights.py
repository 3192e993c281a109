"""Who binds a policy to parameters must be allowed to read them."""

from __future__ import annotations

from typing import Any

GROUP = "admissionregistration.k8s.io"
ROOT = f"/tenants/acme/apis/{GROUP}/v1"
RBAC = "/tenants/acme/apis/rbac.authorization.k8s.io/v1"


async def test_secrets_are_no_parameters_of_who_may_not_read_them(asking: Any, rules: Any) -> None:
    api = asking.api
    await api.tenant("acme")
    author = type(api.ADMIN)("author", "acme", ("system:authenticated",))
    role = {
        "metadata": {"name": "policies"},
        "rules": [{"apiGroups": [GROUP], "resources": ["*"], "verbs": ["*"]}],
    }
    (await api.post(f"{RBAC}/clusterroles", role)).ok(201)
    bound = {
        "metadata": {"name": "author"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "policies"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "author"}],
    }
    (await api.post(f"{RBAC}/clusterrolebindings", bound)).ok(201)
    spec = {
        "matchConstraints": {"resourceRules": [rules()]},
        "validations": [{"expression": "false", "messageExpression": "string(params)"}],
    }
    policies, bindings = f"{ROOT}/validatingadmissionpolicies", f"{ROOT}/validatingadmissionpolicybindings"
    plain = {"metadata": {"name": "plain"}, "spec": {**spec, "validations": [{"expression": "true"}]}}
    (await api.post(policies, plain, user=author)).ok(201)
    told = {**spec, "paramKind": {"apiVersion": "v1", "kind": "Secret"}, "validations": [{"expression": "true"}]}
    policy = {"metadata": {"name": "told"}, "spec": told}
    refused = (await api.post(policies, policy, user=author)).refused(422, "spec.paramKind: Forbidden: user author")
    assert 'must have "get" permission on all objects of the referenced paramKind' in refused["message"]
    (await api.post(policies, policy)).ok(201)
    ref = {"name": "s", "namespace": "default", "parameterNotFoundAction": "Deny"}
    binding = {
        "metadata": {"name": "b"},
        "spec": {"policyName": "told", "validationActions": ["Deny"], "paramRef": ref},
    }
    (await api.post(bindings, binding, user=author)).refused(422, "spec.paramRef: Forbidden: user author does not have")
    binding["spec"]["policyName"] = "later"
    (await api.post(bindings, binding, user=author)).refused(422, "spec.paramRef: Forbidden")
    (await api.post(bindings, binding)).ok(201)
