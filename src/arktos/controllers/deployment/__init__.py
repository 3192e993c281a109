"""The Deployment controller: rolls a template out over ReplicaSets.

Flow: `wiring` claims ReplicaSets and asks `reconcile.plan`, which tells at most one move: make the new ReplicaSet,
amend it, scale some, or tidy up; and the status to write beside it. A move comes back as an event, and the next one
follows. The parts: `revisions` (which set is the new one, annotations, history), `rolling` (how far to scale, as a
rollout and as a resize), `progress` (status, conditions, deadline), `hashing` (the pod-template-hash).

Invariants: what is planned never takes more than maxUnavailable of the wanted pods away, nor makes more than maxSurge
above them.

Not here: pods (`controllers.replicaset`), rollbacks (clients patch the template).
"""

from arktos.controllers.deployment.wiring import build

__all__ = ["build"]
