"""The subresources that are connections, and which part of this server answers each."""

from __future__ import annotations

from collections.abc import Awaitable

from arktos.apiserver.call import Call
from arktos.apiserver.kubelets import Kubelets
from arktos.apiserver.reader import Reader
from arktos.apiserver.subresources.connect import PodConnections
from arktos.apiserver.subresources.proxy import Proxies
from arktos.wire import logs
from arktos.wire.http import Reply

log = logs.get_logger(__name__)


class Connections:
    """Answers every subresource whose row says that it `connects`."""

    def __init__(self, reader: Reader, kubelets: Kubelets) -> None:
        self._pods = PodConnections(reader, kubelets)
        self._proxies = Proxies(reader, kubelets)

    def answer(self, call: Call) -> Awaitable[Reply]:
        """As `PodConnections.answer` and `Proxies.answer`."""
        info = call.info
        log.info(
            "connect",
            user=call.user.name,
            user_tenant=call.user.tenant,
            method=call.request.method,
            tenant=call.tenant,
            resource=f"{info.resource}/{info.subresource}",
            namespace=info.namespace,
            name=info.name,
            path=info.rest,
        )
        # How long it lasts says nothing of this server.
        call.request.mark = ("connect", *call.request.mark[1:])
        return self._proxies.answer(call) if info.subresource == "proxy" else self._pods.answer(call)
