"""Nodes that fall silent, and what that means for their pods.

Flow: `health` judges a node by the last sign of life (its Lease in `kube-node-lease`, or its status) and says which
conditions and taints it shall have (pure); `wiring` keeps the signs, with one timer per node, and writes; `eviction`
decides when a pod must leave a node with NoExecute taints (pure), and `evicting` makes it leave. How many nodes may be
given up at a time is `zones`' decision: when everything seems dead at once, it is more likely us.

Invariants: silence is measured on our own clock, from when we saw a change, never by times that nodes write. A node's
Lease in `system` is the only one that counts.
"""

from arktos.controllers.nodelifecycle.wiring import build

__all__ = ["build"]
