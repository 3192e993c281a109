"""Kinds that are questions: access reviews, token reviews, who-am-I. Answered, never stored."""

from __future__ import annotations

from arktos.apiserver.authn import Authenticator
from arktos.apiserver.authz import Authorizer
from arktos.apiserver.bodies import read_object
from arktos.apiserver.call import Call
from arktos.apiserver.encoding import dumps
from arktos.apiserver.reviews import review as answer
from arktos.apiserver.verbs.create import require_tenant
from arktos.wire.http import Reply, Response


async def review(call: Call, authenticator: Authenticator, authorizer: Authorizer) -> Reply:
    obj = read_object(call)
    require_tenant(call, obj.setdefault("metadata", {}))
    answered = answer(call.kind, obj, call.user, call.tenant, call.info.namespace, authenticator, authorizer)
    return Response(201, dumps(answered))
