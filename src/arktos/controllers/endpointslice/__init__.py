"""The EndpointSlice controller: slices that say which pods stand behind a Service (KEP-752), and copies of Endpoints
that were written by hand.

Flow: `wiring` turns changes of services, pods, nodes and slices into service keys; `content` says which endpoints a
service has, by address family and ports; `reconcile` fits them into the slices that exist with as few writes as
can be; the writes are done. It decides on nothing until its mirror has shown it its own last writes.

`mirroring` does the same for Endpoints of services without a selector (controller `endpointslicemirroring`).

Not here: what a pod contributes (`controllers.backends`), the old Endpoints (`controllers.endpoints`).
"""

from arktos.controllers.endpointslice.wiring import build

__all__ = ["build"]
