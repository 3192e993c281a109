"""The ReplicaSet controller: as many pods of a template as are wanted.

Flow: `wiring` claims pods (adopts those that match and nobody manages, lets go those that no longer match), asks
`reconcile.plan` how many to create and which to delete, does it in growing batches, and writes what
`reconcile.status_of` says. It decides on nothing until its mirror has shown it its own last writes.

Not here: what a pod is (`controllers.pods`), rollouts (`controllers.deployment`).
"""

from arktos.controllers.replicaset.wiring import build

__all__ = ["build"]
