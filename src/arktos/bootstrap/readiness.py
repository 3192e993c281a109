"""Whether an installation's processes answer as they should. Asked from outside, without a client library."""

from __future__ import annotations

import http.client
import ssl

from arktos.bootstrap.addresses import client_address
from arktos.bootstrap.components import Component, Settings, components
from arktos.bootstrap.containerd import listens

TIMEOUT = 2.0


def problem(settings: Settings) -> str | None:
    """The first thing that is not ready; None when all are."""
    for component in components(settings):
        why = unready(settings, component)
        if why is not None:
            return f"{component.name}: {why}"
    return None


def unready(settings: Settings, component: Component) -> str | None:
    """Why a component is not ready; None when it is."""
    if component.socket is not None:
        return None if listens(component.socket) else f"nobody answers on {component.socket}"
    host = client_address(settings.address if component.name == "apiserver" else "127.0.0.1").strip("[]")
    connection: http.client.HTTPConnection
    if component.name == "apiserver":
        try:
            context = ssl.create_default_context(cafile=str(settings.layout.ca))
        except FileNotFoundError:
            return "its certificates are missing"
        connection = http.client.HTTPSConnection(host, component.port, timeout=TIMEOUT, context=context)
    else:
        connection = http.client.HTTPConnection(host, component.port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return None if answer.status == 200 else body
