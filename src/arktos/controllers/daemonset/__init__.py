"""The DaemonSet controller: one pod of a template on every node that it is for.

Flow: `wiring` claims pods, `placing` says per node what is missing and what is too much, `rolling` which pods of an
older template go (or, with maxSurge, which nodes get a second one) within the strategy's bounds; `placing.status_of`
counts. Pods are bound by the scheduler: each names its node by a required affinity.

Not here: templates' revisions (`controllers.revisioncontrol`), pods' own life.
"""

from arktos.controllers.daemonset.wiring import build

__all__ = ["build"]
