"""Everything that is no resource: health, version, metrics, discovery, OpenAPI, the service-account issuer's keys."""

from __future__ import annotations

from collections.abc import Awaitable
from urllib.parse import parse_qs

from arktos.apiserver import discovery, version
from arktos.apiserver.custom import openapi as custom_openapi
from arktos.apiserver.custom import openapi_v2 as custom_openapi_v2
from arktos.apiserver.discovery import BUILT_IN, Served
from arktos.apiserver.encoding import dumps
from arktos.apiserver.health import Health
from arktos.apiserver.metrics import Metrics
from arktos.apiserver.requestinfo import RequestInfo
from arktos.apiserver.servicetokens import Issuer
from arktos.model.status import MethodNotAllowed, NotFound
from arktos.wire.http import Request, Response

_HEALTH = frozenset({"healthz", "livez", "readyz"})
_PATHS = [
    "/.well-known/openid-configuration",
    "/api",
    "/api/v1",
    "/apis",
    "/cacerts",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/readyz",
    "/version",
]


OPENAPI_V2 = "/openapi/v2"


def _require_read(request: Request) -> None:
    if request.method not in {"GET", "HEAD"}:
        raise MethodNotAllowed("the server does not allow this method on the requested resource")


class Documents:
    """Answers by path; the tenant prefix has been removed. Documents are the same for every tenant, but for those of
    the kinds that it serves."""

    def __init__(self, health: Health, metrics: Metrics, issuer: Issuer, root_ca: str = "") -> None:
        self._health = health
        self._metrics = metrics
        self._issuer = issuer
        self._root_ca = root_ca.encode()

    def whole(self, request: Request, served: Served) -> Response | Awaitable[Response]:
        """The document at `OPENAPI_V2`, which is too large to be made while others wait."""
        _require_read(request)
        headers = request.headers
        known, packings = headers.get("if-none-match", ""), headers.get("accept-encoding", "")
        return custom_openapi_v2.answer(headers.get("accept", ""), known, packings, served)

    def answer(self, request: Request, info: RequestInfo, served: Served = BUILT_IN) -> Response | Awaitable[Response]:
        _require_read(request)
        path = info.path
        root = path.split("/", 2)[1]
        accept = request.headers.get("accept", "")
        known = request.headers.get("if-none-match", "")
        encodings = request.headers.get("accept-encoding", "")
        answered: Response | Awaitable[Response] | None = None
        if root in _HEALTH:
            query = parse_qs(request.query, keep_blank_values=True)
            answered = self._health.answer(path, "verbose" in query, frozenset(query.get("exclude", ())))
        elif root in {"api", "apis"}:
            answered = discovery.answer(path, accept, known, encodings, served)
        elif path == "/openapi/v3" or path.startswith("/openapi/v3/"):
            answered = custom_openapi.answer(path, request.query, known, encodings, served)
        elif path == "/version":
            answered = Response(200, version.document())
        elif path == "/metrics":
            body, content_type = self._metrics.render(accept)
            answered = Response(200, body, content_type)
        elif path == "/":
            answered = Response(200, dumps({"paths": _PATHS}))
        else:
            answered = self._trust(path)
        if answered is None:
            raise NotFound("the server could not find the requested resource")
        return answered

    def _trust(self, path: str) -> Response | None:
        """What others need to trust this server, and the tokens that it signs."""
        if path == "/cacerts" and self._root_ca:
            return Response(200, self._root_ca, "application/x-pem-file")
        if path == "/openid/v1/jwks":
            return Response(200, dumps(self._issuer.jwks()), "application/jwk-set+json")
        if path == "/.well-known/openid-configuration":
            return Response(200, dumps(self._issuer.configuration()))
        return None
