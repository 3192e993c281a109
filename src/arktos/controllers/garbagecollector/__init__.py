"""The garbage collector: what is owned goes when all of its owners have gone, in the manner its owner's deleter chose.

Owns: background deletion (dependents of an absent owner), foreground deletion (an owner with the finalizer
`foregroundDeletion` waits for dependents that block it) and orphaning (the finalizer `orphan`).

Invariants: an object with a living owner is never deleted. An owner counts as absent only after the API server itself
said so; its uid never comes back, so that is remembered. Every deletion carries uid and revision of the object that was
judged. An owner is looked for in the dependent's own tenant and namespace only: one elsewhere does not count.

Flow: `graph` answers from the mirrors of all kinds (metadata only; the edges are their `owner` indexes, so there is no
second copy of the world); `reconcile` decides about one object (pure); `wiring` turns events into the objects to look
at, and asks the server where a mirror knows of no owner.
"""

from arktos.controllers.garbagecollector.wiring import build

__all__ = ["build"]
