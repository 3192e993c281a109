"""The disruption controller: how many pods of each PodDisruptionBudget may be evicted now.

Flow: `wiring` finds the budget's pods and, where the budget is told in relation to what is wanted, the scale of the
workloads that own them; `reconcile.status_of` counts. Evictions spend what the status allows (`apiserver`); a pod that
was evicted is remembered there until it goes, or for two minutes.
"""

from arktos.controllers.disruption.wiring import build

__all__ = ["build"]
