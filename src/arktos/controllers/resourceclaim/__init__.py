"""The ResourceClaim controller: claims to devices for pods that name a template, and no reservation for pods that are
done (KEP-4381).

A claim that a template asks for is made for its pod and recorded in the pod's status, under a name that is drawn; it is
found again by its owner and an annotation, so that a crash between the two steps makes no second one. Consumers that
are gone or have ended leave `status.reservedFor`; with the last of them the allocation goes, and a claim that was made
for a pod goes when that is done. `facts` says what pods and claims mean, `wiring` does it.

Not here: choosing devices (the scheduler), preparing them (drivers on the node).
"""

from arktos.controllers.resourceclaim.wiring import build

__all__ = ["build"]
