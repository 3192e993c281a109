"""The HorizontalPodAutoscaler controller: as many replicas as the measured load asks for.

Flow: every 15 s `wiring` reads the scale of the target and, through `measuring`, what its pods use (metrics.k8s.io) or
what others measure (custom.metrics.k8s.io, external.metrics.k8s.io); `metrics` turns each into a proposal (`replicas`),
of which the largest counts; `behavior` keeps steps within the rules for speed and steadiness.

Not here: measuring (`agent`, extension servers), scaling itself (the target's controller).
"""

from arktos.controllers.horizontalpodautoscaler.wiring import build

__all__ = ["build"]
