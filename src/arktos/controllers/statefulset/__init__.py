"""The StatefulSet controller: pods with names that stay, one after the other, each with volumes of its own.

Flow: `wiring` claims pods by selector and name, makes the revision of the template, asks `plan.plan` for the next
moves (one at a time, unless the set is Parallel), makes claims before the pod that uses them, and writes what
`plan.status_of` counts. `identity` says what pod and claims of an ordinal are called and look like.

Not here: templates' revisions (`controllers.revisioncontrol`), binding of claims.
"""

from arktos.controllers.statefulset.wiring import build

__all__ = ["build"]
