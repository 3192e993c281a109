"""serviceaccounts/token: TokenRequest (KEP-1205)."""

from __future__ import annotations

from arktos.apiserver.bodies import read_object
from arktos.apiserver.call import Call
from arktos.apiserver.encoding import dumps
from arktos.apiserver.reader import Reader
from arktos.apiserver.servicetokens import Issuer
from arktos.apiserver.subresources.kinds import TOKEN_REQUEST
from arktos.apiserver.tokenrequests import token_request
from arktos.wire.http import Reply, Response


async def request_token(call: Call, reader: Reader, issuer: Issuer) -> Reply:
    """A signed token for the service account, bound to it and to what the request names."""
    obj = read_object(call, TOKEN_REQUEST)
    answered = token_request(issuer, reader.store, call.tenant, call.info.namespace, call.info.name, obj)
    return Response(201, dumps(answered))
