"""Whatever is sent, the answer is one of the API's: no 500, no hang, no exception that nobody foresaw."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arktos.model import registry

_KINDS = sorted({kind.api_version + "/" + kind.plural for kind in registry.all_kinds()})
_SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory, opener: Any) -> Iterator[Any]:
    """Calls an API server that lives through all examples, on a loop of its own."""
    loop = asyncio.new_event_loop()
    api = loop.run_until_complete(opener(tmp_path_factory.mktemp("fuzz")))
    loop.run_until_complete(api.tenant("acme"))

    def run(method: str, target: str, body: object = None, **more: Any) -> int:
        reply = loop.run_until_complete(api.reply(method, target, body, **more))
        status = int(reply.status)
        assert status < 500 or status == 504, f"{method} {target} {body!r} {more}: {reply.body[:500]!r}"
        return status

    run.api, run.loop = api, loop  # type: ignore[attr-defined]
    yield run
    loop.run_until_complete(api.store.close())
    loop.close()


_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["", "a/b", "..", "None", "1Gi", "2026-01-01T00:00:00Z", "$patch", "system", "all", 2**63, -1])
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW"])
_segments = st.sampled_from(
    [
        *("api", "apis", "v1", "apps", "tenants", "namespaces", "default", "acme", "all", "system", "watch", "proxy"),
        *("pods", "p", "status", "scale", "finalize", "binding", "eviction", "action", "token", "nodes", "deployments"),
        *("", ".", "..", "%2f", "%00", "é", "openapi", "v2", "v3", "healthz", "metrics", "x" * 300),
    ]
)
_NAMES = st.sampled_from(
    [
        *("labelSelector", "fieldSelector", "shardSelector", "limit", "continue", "resourceVersion", "dryRun", "force"),
        *("resourceVersionMatch", "watch", "timeoutSeconds", "sendInitialEvents", "allowWatchBookmarks", "pretty"),
        *("includeObject", "fieldManager", "fieldValidation", "gracePeriodSeconds", "propagationPolicy", "exclude"),
    ]
)
_ODD = st.sampled_from(
    [
        *(
            "",
            "0",
            "1",
            "-1",
            "true",
            "false",
            "All",
            "9" * 30,
            "9" * 400,
            "1e3",
            "1_0",
            "٣",
            "\0",
            "Exact",
            "NotOlderThan",
        ),
        *(
            "a=b",
            "a in (",
            "a notin (b),!c",
            ";",
            ",",
            "metadata.name=x;",
            "metadata.hashkey=gt:x",
            "metadata.name",
            "==",
        ),
        *("\\", "shardRange(object.metadata.uid, '0x0', '0x8')", "shardRange(", "Strict", "None", "Object", "W10", "%"),
    ]
)
_ACCEPTS = st.sampled_from(
    [
        *("", "*/*", "application/json;as=Table;v=v1;g=meta.k8s.io", "application/yaml", ";;;,=", "text/*;q=x"),
        *("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", 'application/json;as="Table', "a" * 3000),
    ]
)
_TYPES = st.sampled_from(
    [
        *(
            "",
            "application/json",
            "application/yaml",
            "application/vnd.kubernetes.protobuf",
            "application/apply-patch+yaml",
        ),
        *("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "x"),
    ]
)


@_SETTINGS
@given(
    _METHODS,
    st.lists(_segments, max_size=9),
    st.lists(st.tuples(_NAMES, _ODD | st.text(max_size=9)), max_size=4),
    _ACCEPTS,
)
def test_paths_and_queries(
    call: Any, method: str, segments: list[str], query: list[tuple[str, str]], accept: str
) -> None:
    path = "/" + "/".join(segment if segment.startswith("%") else quote(segment) for segment in segments)
    tail = "&".join(f"{name}={quote(value, safe='')}" for name, value in query)
    for user in (call.api.ADMIN, call.api.admin_of("acme"), None):
        call(method, f"{path}?{tail}", user=user, accept=accept)


@_SETTINGS
@given(st.sampled_from(_KINDS), st.lists(st.tuples(_NAMES, _ODD), max_size=4), _ACCEPTS, st.booleans())
def test_queries_of_lists(call: Any, kind: str, query: list[tuple[str, str]], accept: str, watch: bool) -> None:
    group_version, _, plural = kind.rpartition("/")
    root = f"/{'apis' if '/' in group_version else 'api'}/{group_version}/{plural}"
    tail = "&".join(f"{name}={quote(value, safe='')}" for name, value in query)
    call("GET", f"{root}?{'watch=true&' if watch else ''}{tail}", accept=accept)


_metadata = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["a", "b", "A", "a/b", ""]) | _values,
        "generateName": _values,
        "labels": st.dictionaries(st.sampled_from(["a", "b c"]), _values, max_size=2) | _values,
        "annotations": _values,
        "finalizers": st.just(["x.io/y"]) | _values,
        "ownerReferences": _values,
        "resourceVersion": _values,
        "uid": _values,
        "tenant": _values,
        "namespace": _values,
        "managedFields": _values,
        "creationTimestamp": _values,
        "deletionTimestamp": _values,
        "generation": _values,
    },
)
_objects = st.fixed_dictionaries(
    {},
    optional={
        "kind": _values,
        "apiVersion": _values,
        "metadata": _metadata | _values,
        "spec": _values | st.dictionaries(st.sampled_from(["containers", "replicas", "template", "type"]), _values),
        "status": _values,
        "data": _values,
    },
)


@_SETTINGS
@given(
    st.sampled_from(_KINDS),
    st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]),
    st.sampled_from(["", "", "status", "scale", "finalize", "binding", "eviction", "action", "token", "resize"]),
    _objects | _values | st.binary(max_size=30) | st.just(b'{"a":' * 300),
    _TYPES,
    st.sampled_from(["Strict", "Warn", "Ignore"]),
)
def test_bodies(call: Any, kind: str, method: str, sub: str, body: Any, type: str, validation: str) -> None:
    group_version, _, plural = kind.rpartition("/")
    found = registry.lookup(*(["", "v1"] if "/" not in group_version else group_version.split("/")), plural)
    assert found is not None
    root = f"/{'apis' if '/' in group_version else 'api'}/{group_version}"
    root += ("/namespaces/default/" if found.scope.name == "NAMESPACE" else "/") + plural
    if method != "POST" or sub:
        root += f"/a/{sub}" if sub else "/a"
    call(method, root, body, type=type, fieldManager="f", fieldValidation=validation, force="true")


_mutated = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *(
                    "/metadata",
                    "/metadata/name",
                    "/metadata/labels",
                    "/spec",
                    "/spec/replicas",
                    "/spec/selector",
                    "/kind",
                ),
                *(
                    "/spec/template",
                    "/spec/template/spec/containers",
                    "/spec/template/spec/containers/0",
                    "/status",
                    "",
                ),
                *(
                    "/spec/template/spec/containers/0/name",
                    "/spec/template/spec/volumes",
                    "/spec/strategy",
                    "/x/y",
                    "/-",
                ),
            ]
        ),
        st.sampled_from(["add", "replace", "remove", "test", "move", "copy", "no"]),
        _values,
    ),
    max_size=3,
)


@_SETTINGS
@given(_mutated)
def test_patches_of_a_real_object(call: Any, changes: list[tuple[str, str, Any]]) -> None:
    target = "/apis/apps/v1/namespaces/default/deployments/real"
    call("POST", target.rpartition("/")[0], call.api.deployment("real"))
    operations = [{"op": op, "path": path, "value": value, "from": "/spec"} for path, op, value in changes]
    call("PATCH", target, operations, type=call.api.JSON_PATCH)
    for path, _, value in changes:
        patch: Any = value
        for part in reversed(path.split("/")[1:]):
            patch = [patch] if part.isdigit() else {part: patch}
        call("PATCH", target, patch, type=call.api.MERGE)
        call("PATCH", target, patch, type=call.api.STRATEGIC)
        call("PATCH", target, patch, type=call.api.APPLY, fieldManager="f", force="true")
        if isinstance(patch, dict):
            call("PUT", target, {**call.api.deployment("real"), **patch})
        call("PATCH", f"{target}/scale", patch, type=call.api.MERGE)
        call("PATCH", f"{target}/status", patch, type=call.api.STRATEGIC)
    assert call("GET", target) == 200
    stored = call.loop.run_until_complete(call.api.get(target)).obj
    assert stored["kind"] == "Deployment" and stored["metadata"]["name"] == "real" and stored["metadata"]["uid"]
    assert call("GET", target, accept=call.api.TABLE) == 200
    json.dumps(stored)
