"""The ReplicationController controller: what ReplicaSets came from, and the same work."""

from arktos.controllers.replicaset.wiring import build_replication as build

__all__ = ["build"]
