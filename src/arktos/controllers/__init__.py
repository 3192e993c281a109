"""The controllers' room: loops that make the world as objects say. Each in the place of its namesake in Kubernetes.

Owns: what stands in `catalogue`, a module or package per controller, and the process that runs them (`process`).
A controller is wiring (which informers, which keys) around a pure `reconcile`, which takes the world as values and
returns actions as data (`actions`). What several of them read alike has a module by its noun: `pods`, `conditions`,
`owners`.

Invariants: every key is (tenant, namespace, name), and nothing in one tenant is ever read as another's. Each
controller is active in one process at a time (`leading`); elsewhere it stands by with warm informers. A controller
that wrote something decides on nothing until it has seen its own write (`freshness`). Content is "gone" only as of a
revision after which none can have come (`absence`).

Flow: informer -> key -> `reconcile` (world -> actions) -> `actions.perform` -> API server.

Not here: the API server's side, scheduling, what nodes do, and ranges of the hash ring (one owner per controller so
far: `leading.lead` is where an owner of ranges will stand).
"""
