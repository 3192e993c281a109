"""The Endpoints controller: the old object that lists all pods behind a Service, for clients that still read it.

Flow: `wiring` turns changes into service keys; `subsets` says what the object lists; it is written where it differs.
At most 1000 addresses are listed, and the object says so. EndpointSlices (`controllers.endpointslice`) have them all.
"""

from arktos.controllers.endpoints.wiring import build

__all__ = ["build"]
