"""ValidatingAdmissionPolicy and MutatingAdmissionPolicy, asked about writes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from arktos.wire.http import Response

MAPS = "/api/v1/namespaces/default/configmaps"
GROUP = "admissionregistration.k8s.io"


async def test_a_policy_denies_in_kubernetes_words(asking: Any) -> None:
    api = asking.api
    await asking.policy("small", "!has(object.data) || object.data.size() <= 1")
    (await api.post(MAPS, api.config_map("a", x="1"))).ok(201)
    status = (await api.post(MAPS, api.config_map("b", x="1", y="2"))).refused(422)
    failed = "failed expression: !has(object.data) || object.data.size() <= 1"
    text = f"ValidatingAdmissionPolicy 'small' with binding 'small-binding' denied request: {failed}"
    assert status["message"] == f'configmaps "b" is forbidden: {text}'
    assert status["reason"] == "Invalid"
    assert status["details"] == {"name": "b", "kind": "configmaps", "causes": [{"message": text}]}
    (await api.patch(f"{MAPS}/a", {"data": {"y": "2"}})).refused(422, "denied request")
    (await api.apply(f"{MAPS}/c", api.config_map("c", x="1", y="2"))).refused(422, "denied request")
    (await api.get(f"{MAPS}/b")).refused(404)


async def test_messages_reasons_and_variables(asking: Any) -> None:
    api = asking.api
    told = {
        "expression": "variables.count <= variables.most",
        "messageExpression": "'at most ' + string(variables.most) + ' of ' + string(variables.count)",
        "reason": "Forbidden",
    }
    variables = [
        {"name": "data", "expression": "object.?data.orValue({})"},
        {"name": "count", "expression": "variables.data.size()"},
        {"name": "most", "expression": "1"},
    ]
    await asking.policy("told", told, variables=variables)
    status = (await api.post(MAPS, api.config_map("b", x="1", y="2"))).refused(403, "denied request: at most 1 of 2")
    assert status["reason"] == "Forbidden"
    (await api.post(MAPS, api.config_map("a"))).ok(201)


async def test_an_expression_that_fails_is_judged_by_the_failure_policy(asking: Any) -> None:
    api = asking.api
    await asking.policy("wrong", "object.data.missing == 'x'", failurePolicy="Ignore")
    (await api.post(MAPS, api.config_map("a", x="1"))).ok(201)
    await asking.policy("strict", "object.data.missing == 'x'")
    refused = (await api.post(MAPS, api.config_map("b", x="1"))).refused(422)
    assert "expression 'object.data.missing == 'x'' resulted in error: no such key: missing" in refused["message"]


async def test_match_conditions_and_selectors_narrow(asking: Any, rules: Any) -> None:
    api = asking.api
    await asking.policy(
        "named", "false", matchConditions=[{"name": "only", "expression": "object.metadata.name.startsWith('x')"}]
    )
    constraints = {"resourceRules": [rules("CREATE")], "objectSelector": {"matchLabels": {"checked": "yes"}}}
    await asking.policy("labelled", "false", matchConstraints=constraints)
    (await api.post(MAPS, api.config_map("a"))).ok(201)
    (await api.post(MAPS, api.config_map("x1"))).refused(422, "'named'")
    labelled = api.config_map("b")
    labelled["metadata"]["labels"] = {"checked": "yes"}
    (await api.post(MAPS, labelled)).refused(422, "'labelled'")


async def test_namespaces_are_selected_by_their_labels(asking: Any, rules: Any) -> None:
    api = asking.api
    await api.namespace("other")
    constraints = {
        "resourceRules": [rules("CREATE")],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}},
    }
    await asking.policy("there", "namespaceObject.metadata.name != 'other'", matchConstraints=constraints)
    (await api.post(MAPS, api.config_map("a"))).ok(201)
    (await api.post("/api/v1/namespaces/other/configmaps", api.config_map("a"))).refused(422, "'there'")


async def test_warnings_and_dry_run(asking: Any) -> None:
    api = asking.api
    await asking.policy("warns", {"expression": "false", "message": "think twice"}, actions=["Warn", "Audit"])
    made = await api.post(MAPS, api.config_map("a"))
    made.ok(201)
    text = "Validation failed for ValidatingAdmissionPolicy 'warns' with binding 'warns-binding': think twice"
    assert f'299 - "{text}"' in made.headers["warning"]
    await asking.policy("denies", "request.dryRun == false")
    (await api.post(MAPS, api.config_map("b"), dryRun="All")).refused(422, "'denies'")
    (await api.post(MAPS, api.config_map("b"))).ok(201)


async def test_parameters_by_name_and_by_selector(asking: Any) -> None:
    api = asking.api
    await api.post(
        "/api/v1/namespaces/default/secrets",
        {"metadata": {"name": "p", "labels": {"limit": "yes"}}, "data": {"most": "MQ=="}},
    )
    kind = {"apiVersion": "v1", "kind": "Secret"}
    allowed = "!has(object.data) || object.data.size() <= int(string(base64.decode(params.data.most)))"
    by_name = {"paramRef": {"name": "p", "namespace": "default", "parameterNotFoundAction": "Deny"}}
    await asking.policy("named", allowed, paramKind=kind, binding=by_name)
    (await api.post(MAPS, api.config_map("a", x="1"))).ok(201)
    (await api.post(MAPS, api.config_map("b", x="1", y="1"))).refused(422, "'named'")
    absent = {"paramRef": {"selector": {"matchLabels": {"no": "body"}}, "parameterNotFoundAction": "Allow"}}
    await asking.policy("lax", "false", paramKind=kind, binding=absent)
    (await api.post(MAPS, api.config_map("c", x="1"))).ok(201)
    missing = {"paramRef": {"name": "nobody", "parameterNotFoundAction": "Deny"}}
    await asking.policy("strict", "true", paramKind=kind, binding=missing)
    (await api.post(MAPS, api.config_map("d", x="1"))).refused(422, "no params found for policy binding with `Deny`")


async def test_deletes_are_asked_about_with_the_old_object(asking: Any, rules: Any) -> None:
    api = asking.api
    (await api.post(MAPS, api.config_map("keep", kept="yes"))).ok(201)
    (await api.post(MAPS, api.config_map("drop"))).ok(201)
    constraints = {"resourceRules": [rules("DELETE")]}
    await asking.policy(
        "kept", "!has(oldObject.data.kept) && object == null", matchConstraints=constraints, failurePolicy="Ignore"
    )
    (await api.delete(f"{MAPS}/keep")).refused(422, "'kept'")
    (await api.delete(f"{MAPS}/drop")).ok()
    (await api.get(f"{MAPS}/keep")).ok()


async def test_subresources_scale_and_bindings(asking: Any, rules: Any) -> None:
    api = asking.api
    deployments = "/apis/apps/v1/namespaces/default/deployments"
    (await api.post(deployments, api.deployment("d"))).ok(201)
    scaled = rules("UPDATE", resources=("deployments/scale",), group="apps")
    constraints = {"resourceRules": [scaled]}
    await asking.policy("few", "object.kind == 'Scale' && object.spec.replicas <= 3", matchConstraints=constraints)
    (await api.patch(f"{deployments}/d/scale", {"spec": {"replicas": 5}})).refused(422, "'few'")
    (await api.patch(f"{deployments}/d/scale", {"spec": {"replicas": 3}})).ok()
    (await api.patch(f"{deployments}/d", {"spec": {"replicas": 9}})).ok()
    bound = {"resourceRules": [rules("CREATE", resources=("pods/binding",))]}
    await asking.policy("not-there", "object.target.name != 'bad'", matchConstraints=bound)
    (await api.post("/api/v1/namespaces/default/pods", api.pod("p"))).ok(201)
    binding = {"target": {"kind": "Node", "name": "bad"}}
    (await api.post("/api/v1/namespaces/default/pods/p/binding", binding)).refused(422, "'not-there'")


async def test_the_authorizer_is_asked(asking: Any) -> None:
    api = asking.api
    allowed = "authorizer.group('').resource('secrets').namespace('default').check('delete').allowed()"
    own = "authorizer.requestResource.check('create').allowed()"
    await asking.policy("rights", f"{allowed} && {own} && request.userInfo.username == 'admin'")
    (await api.post(MAPS, api.config_map("a"))).ok(201)
    await asking.policy(
        "others", "authorizer.serviceAccount('default', 'default').path('/healthz/x').check('post').allowed()"
    )
    (await api.post(MAPS, api.config_map("b"))).refused(422, "'others'")


async def test_equivalent_versions_match_unless_exact(asking: Any, rules: Any) -> None:
    api = asking.api
    scalers = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    scaler = {
        "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}},
    }
    old = rules("CREATE", resources=("horizontalpodautoscalers",), group="autoscaling", version="v1")
    exact = {"resourceRules": [old], "matchPolicy": "Exact"}
    await asking.policy("exact", "false", matchConstraints=exact)
    (await api.post(scalers, scaler)).ok(201)
    await asking.policy("same", "object.apiVersion != 'autoscaling/v1'", matchConstraints={"resourceRules": [old]})
    scaler["metadata"] = {"name": "i"}
    (await api.post(scalers, scaler)).refused(422, "'same'")


async def test_what_tenants_configure_is_theirs(asking: Any) -> None:
    api = asking.api
    await api.tenant("acme", "globex")
    await asking.policy("no", "false", tenant="acme")
    (await api.post(f"/tenants/acme{MAPS}", api.config_map("a"))).refused(422, "'no'")
    (await api.post(f"/tenants/globex{MAPS}", api.config_map("a"))).ok(201)
    (await api.post(MAPS, api.config_map("a"))).ok(201)
    await asking.policy("operators", "false")
    (await api.post(f"/tenants/globex{MAPS}", api.config_map("b"))).ok(201)
    await asking.policy("all", "false", labels={"arktos.io/all-tenants": "true"})
    (await api.post(f"/tenants/globex{MAPS}", api.config_map("c"))).refused(422, "'all'")
    await asking.policy("label", "false", tenant="acme", labels={"arktos.io/all-tenants": "true"})
    (await api.delete(f"/apis/{GROUP}/v1/validatingadmissionpolicies/all")).ok()
    await asking.until(201, "POST", f"/tenants/globex{MAPS}", api.config_map("d"))


async def test_nobody_is_asked_about_policies_themselves(asking: Any, rules: Any) -> None:
    everything = rules(resources=("*/*",), group="*", version="*")
    await asking.policy("all", "false", matchConstraints={"resourceRules": [everything]})
    api = asking.api
    (await api.post(MAPS, api.config_map("a"))).refused(422)
    (await api.delete(f"/apis/{GROUP}/v1/validatingadmissionpolicybindings/all-binding")).ok()
    (await api.delete(f"/apis/{GROUP}/v1/validatingadmissionpolicies/all")).ok()


async def test_costly_expressions_leave_the_loop(asking: Any) -> None:
    api = asking.api
    (await api.post(MAPS, api.config_map("a"))).ok(201)
    await asking.policy("costly", "lists.range(900).all(a, lists.range(900).all(b, a + b >= 0))", "true")
    request = asyncio.create_task(api.post(MAPS, api.config_map("b")))
    began = last = time.perf_counter()
    longest = 0.0
    while not request.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    (await request).refused(422, "actual cost limit exceeded")
    assert longest < (last - began) / 2
    await asking.policy("affordable", "lists.range(900).all(a, lists.range(10).all(b, a + b >= 0))")
    (await api.delete(f"/apis/{GROUP}/v1/validatingadmissionpolicies/costly")).ok()
    await asking.until(201, "POST", MAPS, api.config_map("c"))


async def test_the_status_tells_of_types(asking: Any, rules: Any) -> None:
    deployments = {"resourceRules": [rules(resources=("deployments",), group="apps")]}
    made = await asking.policy(
        "typed", "object.spec.replica > 1", "object.spec.replicas > 1", matchConstraints=deployments
    )
    warnings = made["status"]["typeChecking"]["expressionWarnings"]
    assert [each["fieldRef"] for each in warnings] == ["spec.validations[0].expression"]
    assert warnings[0]["warning"].startswith("apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'replica'")
    assert made["status"]["observedGeneration"] == 1


async def test_mutations_by_patch_and_by_configuration(asking: Any) -> None:
    api = asking.api
    patch = {
        "patchType": "JSONPatch",
        "jsonPatch": {
            "expression": "[JSONPatch{op: 'add', path: '/data', value: {'seen': request.operation}},"
            " JSONPatch{op: 'add', path: '/metadata/annotations', value: {}},"
            " JSONPatch{op: 'add', path: '/metadata/annotations/' + jsonpatch.escapeKey('a/b'), value: 'c'}]"
        },
    }
    config = {
        "patchType": "ApplyConfiguration",
        "applyConfiguration": {
            "expression": "Object{metadata: Object.metadata{labels: {'count': string(object.data.size())}}}"
        },
    }
    await asking.mutation(
        "both", patch, config, matchConditions=[{"name": "x", "expression": "object.data.size() == 0"}]
    )
    made = (await api.post(MAPS, api.config_map("a"))).ok(201)
    assert made["data"] == {"seen": "CREATE"}
    assert made["metadata"]["annotations"] == {"a/b": "c"}
    assert made["metadata"]["labels"] == {"count": "1"}
    untouched = (await api.post(MAPS, api.config_map("b", own="1"))).ok(201)
    assert "labels" not in untouched["metadata"]


async def test_lists_are_merged_by_their_keys(asking: Any, rules: Any) -> None:
    api = asking.api
    container = "Object.spec.containers{name: 'side', image: 'side:1'}"
    config = {
        "patchType": "ApplyConfiguration",
        "applyConfiguration": {"expression": f"Object{{spec: Object.spec{{containers: [{container}]}}}}"},
    }
    pods = {"resourceRules": [rules("CREATE", resources=("pods",))]}
    await asking.mutation("sidecar", config, matchConstraints=pods)
    made = (await api.post("/api/v1/namespaces/default/pods", api.pod("p"))).ok(201)
    assert {c["name"]: c["image"] for c in made["spec"]["containers"]} == {"c": "nginx", "side": "side:1"}
    # What was put in was defaulted, and admitted like the rest.
    side = next(c for c in made["spec"]["containers"] if c["name"] == "side")
    assert side["imagePullPolicy"] == "IfNotPresent" and side["volumeMounts"]


async def test_mutations_cannot_touch_what_is_the_servers(asking: Any) -> None:
    api = asking.api
    patch = {
        "patchType": "JSONPatch",
        "jsonPatch": {
            "expression": "['uid', 'name', 'namespace', 'tenant'].map(f,"
            " JSONPatch{op: 'add', path: '/metadata/' + f, value: 'other'})"
        },
    }
    await asking.mutation("thief", patch)
    made = (await api.post(MAPS, api.config_map("a"))).ok(201)["metadata"]
    assert (made["name"], made["namespace"]) == ("a", "default") and made["uid"] != "other"
    assert made.get("tenant", "system") == "system"


async def test_mutations_that_fail(asking: Any) -> None:
    api = asking.api
    patch = {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'remove', path: '/nothing'}]"}}
    await asking.mutation("broken", patch)
    (await api.post(MAPS, api.config_map("a"))).refused(422, "policy 'broken' with binding 'broken-binding' denied")
    wrong = {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/data', value: 7}]"}}
    (await api.delete(f"/apis/{GROUP}/v1/mutatingadmissionpolicies/broken")).ok()
    await asking.mutation("wrong", wrong)
    (await api.post(MAPS, api.config_map("a"))).refused(500, "wrong types")


async def test_policies_that_do_not_compile_are_refused(asking: Any, rules: Any) -> None:
    api = asking.api
    path = f"/apis/{GROUP}/v1/validatingadmissionpolicies"
    spec = {
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
            ]
        },
        "validations": [{"expression": "object.x >"}, {"expression": "1"}, {"expression": "params.x == 1"}],
    }
    refused = (await api.post(path, {"metadata": {"name": "p"}, "spec": spec})).refused(422)
    causes = {cause["field"]: cause["message"] for cause in refused["details"]["causes"]}
    assert "compilation failed: ERROR: <input>:1:11: Syntax error" in causes["spec.validations[0].expression"]
    assert "must evaluate to bool" in causes["spec.validations[1].expression"]
    assert "undeclared reference to 'params'" in causes["spec.validations[2].expression"]
    huge = {**spec, "validations": [{"expression": f"true{' && true' * 1000}"} for _ in range(8)]}
    (await api.post(path, {"metadata": {"name": "p"}, "spec": huge})).refused(422, "expressions may have")


async def test_evictions_and_connections(asking: Any, rules: Any) -> None:
    api = asking.api
    pods = "/api/v1/namespaces/default/pods"
    (await api.post(pods, api.pod("p"))).ok(201)
    evictions = {"resourceRules": [rules("CREATE", resources=("pods/eviction",))]}
    await asking.policy("stay", "object.kind != 'Eviction'", matchConstraints=evictions)
    (await api.post(f"{pods}/p/eviction", {"metadata": {"name": "p"}})).refused(422, "'stay'")
    (await api.get(f"{pods}/p")).ok()

    class Connected:
        async def answer(self, call: Any) -> Response:
            return Response(200, b"{}")

    api.dispatcher._routes._connections = Connected()
    (await api.post(f"{pods}/p/exec?command=ls&container=c", None)).ok()
    connects = {"resourceRules": [rules("CONNECT", resources=("pods/exec",))]}
    shell = (
        "object.kind == 'PodExecOptions' && !(object.command[0] in ['sh', 'bash']) && request.operation == 'CONNECT'"
    )
    await asking.policy("no-shell", shell, matchConstraints=connects)
    (await api.post(f"{pods}/p/exec?command=ls&command=-l&stdin=true", None)).ok()
    (await api.post(f"{pods}/p/exec?command=sh&tty=true", None)).refused(422, "'no-shell'")


async def test_long_policies_are_compiled_beside_the_loop(asking: Any, rules: Any) -> None:
    api = asking.api
    deployments = {"resourceRules": [rules(resources=("deployments",), group="apps")]}
    long = [{"expression": " && ".join([f"object.spec.replicas > {n}"] * 250)} for n in range(6)]
    spec = {"matchConstraints": deployments, "validations": long}
    path = f"/apis/{GROUP}/v1/validatingadmissionpolicies"
    request = asyncio.create_task(api.post(path, {"metadata": {"name": "long"}, "spec": spec}))
    began = last = time.perf_counter()
    longest = 0.0
    while not request.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    (await request).ok(201)
    # On the loop, compiling would be one hold of nearly all the time.
    assert longest < (last - began) / 2


async def test_a_policy_is_asked_about_objects_that_are_alike_from_the_moment_it_is_there(asking: Any) -> None:
    api = asking.api
    pod = {"metadata": {"generateName": "x-"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    pods = "/api/v1/namespaces/default/pods"
    for _ in range(5):
        (await api.post(pods, pod)).ok(201)
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]
    await asking.policy("none", "false", matchConstraints={"resourceRules": rules})
    for _ in range(5):
        (await api.post(pods, pod)).refused(422, "denied request")
