"""The PersistentVolume controller: claims find volumes, and volumes are made for claims.

`model.volumematching` says which volume fits a claim (the smallest that does); `claims` and `volumes` are the two
sides' life, each a function from what is there to what is to be done; `provisioning` makes volumes on nodes for claims
of a class whose provisioner is ours; `known` finds what a claim or a volume has to do with, `measuring` counts, and
`wiring` does it. Volumes and claims are of one tenant.

Not here: mounting (`agent.volumes`), choosing a node for a claim that waits for its pod (`scheduler`), keeping what is
in use (`controllers.volumeprotection`).
"""

from arktos.controllers.persistentvolume.wiring import build

__all__ = ["build"]
