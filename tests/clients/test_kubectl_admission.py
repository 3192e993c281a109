"""kubectl and admission policies, as the documentation of Kubernetes shows them."""

from __future__ import annotations

import pytest
from tests.conftest import Kubectl, System, eventually

TENANT = """
apiVersion: v1
kind: Tenant
metadata:
  name: acme
"""

POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: replicalimit
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: ["apps"]
      apiVersions: ["v1"]
      operations: ["CREATE", "UPDATE"]
      resources: ["deployments"]
  validations:
  - expression: object.spec.replicas <= 5
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: replicalimit-test
spec:
  policyName: replicalimit
  validationActions: [Deny]
  matchResources:
    namespaceSelector:
      matchLabels:
        environment: test
"""

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: nginx
spec:
  replicas: 6
  selector: {matchLabels: {app: nginx}}
  template:
    metadata: {labels: {app: nginx}}
    spec:
      containers: [{name: nginx, image: nginx}]
"""

DENIED = (
    "ValidatingAdmissionPolicy 'replicalimit' with binding 'replicalimit-test' denied request: "
    "failed expression: object.spec.replicas <= 5"
)


@pytest.fixture
def kubectl(apiserver: System) -> Kubectl:
    """An admin of a tenant of its own, who has a namespace `tested`."""
    apiserver.admin("apply", "-f", "-", input=TENANT)
    made = apiserver.tenant("acme")
    eventually(lambda: made.run("create", "namespace", "tested").returncode == 0)
    made("label", "namespace", "tested", "environment=test")
    made("create", "namespace", "default")
    return made


def test_a_policy_as_the_documentation_has_it(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", input=POLICY)
    shown = kubectl("get", "validatingadmissionpolicies")
    assert shown.split() == [
        "NAME",
        "VALIDATIONS",
        "PARAMKIND",
        "AGE",
        "replicalimit",
        "1",
        "<unset>",
        shown.split()[-1],
    ]

    def denied() -> str:
        tried = kubectl.run("create", "-n", "tested", "--dry-run=server", "-f", "-", input=DEPLOYMENT)
        return tried.stderr if "replicalimit" in tried.stderr else ""

    told = eventually(denied)
    assert told.strip() == f'The deployments "nginx" is invalid: : {DENIED}'
    kubectl("create", "-n", "tested", "-f", "-", input=DEPLOYMENT.replace("replicas: 6", "replicas: 5"))
    assert DENIED in kubectl.fails("patch", "-n", "tested", "deployment", "nginx", "-p", '{"spec":{"replicas":6}}')
    kubectl("create", "-n", "default", "-f", "-", input=DEPLOYMENT)
    kubectl("delete", "validatingadmissionpolicybinding", "replicalimit-test")
    eventually(lambda: not denied())
    wrong = POLICY.replace("object.spec.replicas <= 5", "object.spec.replica <= 5")
    kubectl("apply", "-f", "-", input=wrong)
    warned = kubectl("get", "validatingadmissionpolicy", "replicalimit", "-o", "jsonpath={.status.typeChecking}")
    assert "undefined field 'replica'" in warned
