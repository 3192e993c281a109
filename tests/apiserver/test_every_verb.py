"""Every verb that discovery tells of answers, and every other is refused: for each kind and each subresource."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.model import registry
from arktos.model.kinds import Kind, Scope
from arktos.wire.http import Response, Stream

KINDS = sorted(registry.all_kinds(), key=lambda kind: (kind.api_version, kind.plural))
METHODS = {"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE", "get": "GET"}
SUBRESOURCE_VERBS = ("create", "update", "patch", "get", "delete")
ANSWERS = {200, 201, 400, 403, 404, 409, 422, 503, 504}
"""What a verb that is served may say to an empty body, or of what does not exist."""


def collection(kind: Kind) -> str:
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
    return f"{root}/namespaces/default/{kind.plural}" if kind.scope is Scope.NAMESPACE else f"{root}/{kind.plural}"


def name_for(kind: Kind) -> str:
    return "10.1.2.3" if kind.kind == "IPAddress" else "nobody"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.api_version}-{kind.plural}")
async def test_verbs(api: Any, kind: Kind) -> None:
    path, name = collection(kind), name_for(kind)
    one, body = f"{path}/{name}", {"metadata": {"name": name}}
    for verb, method, target, sent in (
        ("list", "GET", path, None),
        ("create", "POST", path, {}),
        ("deletecollection", "DELETE", f"{path}?labelSelector=a%3Db", None),
        ("get", "GET", one, None),
        ("update", "PUT", one, body),
        ("delete", "DELETE", one, None),
        ("patch", "PATCH", one, {}),
    ):
        more = {"type": api.MERGE} if verb == "patch" else {}
        answer = await api(method, target, sent, **more)
        if verb not in kind.verbs:
            assert answer.code == 405, (verb, answer.body)
            continue
        assert answer.code in ANSWERS, (verb, answer.body)
        if verb in ("list", "deletecollection"):
            assert answer.ok()["kind"] == kind.list_kind
        if answer.code == 404:
            assert answer.obj["details"]["name"].endswith(name), answer.body
    if kind.verbs == ("create",):
        return
    reply = await api.reply("GET", f"{path}?watch=true")
    if "watch" in kind.verbs:
        assert isinstance(reply, Stream)
    else:
        assert isinstance(reply, Response) and reply.status == 405


@pytest.mark.parametrize(
    ("kind", "subresource"),
    [
        pytest.param(kind, name, id=f"{kind.api_version}-{kind.plural}-{name}")
        for kind in KINDS
        for name, row in kind.subresources.items()
        if not row.connects
    ],
)
async def test_subresources(api: Any, kind: Kind, subresource: str) -> None:
    name = name_for(kind)
    target, served = f"{collection(kind)}/{name}/{subresource}", kind.subresources[subresource].verbs
    for verb in SUBRESOURCE_VERBS:
        sent = {} if verb in ("create", "update", "patch") else None
        more = {"type": api.MERGE} if verb == "patch" else {}
        answer = await api(METHODS[verb], target, sent, **more)
        if verb in served:
            assert answer.code in ANSWERS, (verb, answer.body)
            continue
        assert answer.code in (404, 405), (verb, answer.body)
    (await api.get(f"{collection(kind)}/{name}/nothing")).refused(404)
