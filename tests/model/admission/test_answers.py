"""What a webhook's answer means, and what a policy says."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.model import cel
from arktos.model.admission import policies, reviewing
from arktos.model.admission.policies import Run


def answer(response: Any, **more: Any) -> bytes:
    whole = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response, **more}
    return json.dumps(whole).encode()


def test_an_answer_is_read() -> None:
    patch = base64.b64encode(b'[{"op": "add", "path": "/a", "value": 1}]').decode()
    response = {"uid": "u", "allowed": True, "patch": patch, "patchType": "JSONPatch", "warnings": ["w", 7]}
    read = reviewing.read(answer({**response, "auditAnnotations": {"k": "v"}}), "u", mutating=True)
    assert read.allowed and read.patch == [{"op": "add", "path": "/a", "value": 1}]
    assert read.warnings == ("w",) and read.annotations == (("k", "v"),)
    assert reviewing.read(answer(response), "u", mutating=False).patch == ()
    assert reviewing.patched({"b": 2}, read.patch) == {"b": 2, "a": 1}


@pytest.mark.parametrize(
    ("response", "why"),
    [
        ({"uid": "other", "allowed": True}, 'expected response.uid="u", got "other"'),
        (None, "webhook response was absent"),
        ({"uid": "u", "patch": "W10="}, "but not response.patchType"),
        ({"uid": "u", "patchType": "JSONPatch"}, "but not response.patch"),
        ({"uid": "u", "patch": "W10=", "patchType": "Merge"}, 'invalid response.patchType of "Merge"'),
        ({"uid": "u", "patch": "!", "patchType": "JSONPatch"}, "undecodable patch"),
        ({"uid": "u", "patch": "e30=", "patchType": "JSONPatch"}, "undecodable patch"),
    ],
)
def test_what_is_no_answer(response: Any, why: str) -> None:
    with pytest.raises(reviewing.BadAnswer, match=why.replace("(", r"\(")):
        reviewing.read(answer(response), "u", mutating=True)


_FIELDS = st.sampled_from(["uid", "allowed", "patch", "patchType", "status", "warnings"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["uid", "allowed", "patch", "patchType", "status", "warnings"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(_JSON)
def test_any_answer_is_one_or_is_refused(response: Any) -> None:
    try:
        read = reviewing.read(answer(response), "u", mutating=True)
    except reviewing.BadAnswer:
        return
    assert read.allowed in (True, False)
    status = reviewing.rejection("x", read.status).status()
    assert status["status"] == "Failure" and 400 <= status["code"] <= 599 and "denied the request" in status["message"]


def test_variables_are_worked_out_once_and_only_when_asked() -> None:
    variables = [
        {"name": "costly", "expression": "lists.range(3000).all(x, x >= 0)"},
        {"name": "unused", "expression": "object.nothing"},
    ]
    expressions = [{"expression": "variables.costly"}] * 20
    policy = policies.validating({"variables": variables, "validations": expressions})
    decision = policies.decide(policy, {"object": {}}, Run(60_000, patient=True))
    assert decision == policies.Decision()
    failing = policies.validating({"variables": variables, "validations": [{"expression": "variables.unused"}]})
    decision = policies.decide(failing, {"object": {}}, Run(1000))
    assert decision.errors == (
        "expression 'variables.unused' resulted in error: "
        "composited variable 'unused' fails to evaluate: no such key: nothing",
    )


def test_a_policy_has_one_budget() -> None:
    expressions = [{"expression": "object.l.all(x, x > 0)"}] * 50
    policy = policies.validating({"validations": expressions})
    with pytest.raises(cel.CostExceeded):
        policies.decide(policy, {"object": {"l": [1] * 500}}, Run(cel.INLINE))


def test_conditions_that_do_not_hold_outweigh_those_that_fail() -> None:
    found = policies.conditions([{"name": "a", "expression": "object.x"}, {"name": "b", "expression": "false"}])
    assert policies.meets(found, {"object": {}}, Run(1000)) is False
    with pytest.raises(cel.EvaluationError, match="no such key: x"):
        policies.meets(found[:1], {"object": {}}, Run(1000))


def test_annotations_and_messages() -> None:
    spec = {
        "validations": [
            {"expression": "false", "messageExpression": "object.nothing", "message": "plain"},
            {"expression": "false", "messageExpression": "'a\\nb'"},
        ],
        "auditAnnotations": [{"key": "k", "valueExpression": "'v'"}, {"key": "n", "valueExpression": "null"}],
    }
    decision = policies.decide(policies.validating(spec), {"object": {}}, Run(1000))
    assert [denial.message for denial in decision.denials] == ["plain", "failed expression: false"]
    assert decision.annotations == (("k", "v"),)


def test_who_says_no_does_not_say_when_to_come_again() -> None:
    """Clients of controllers wait for as long as they are told to."""
    details = {"name": "x", "retryAfterSeconds": 30}
    told = reviewing.rejection("x", {"code": 429, "reason": "TooManyRequests", "details": details}).status()
    assert (told["code"], told["details"]) == (429, {"name": "x"})
