"""The attach/detach controller: volumes of CSI drivers are attached to the nodes whose pods use them, and detached when
none does.

A VolumeAttachment says that a volume is to be attached to a node; the driver's attacher, which is not ours, does it and
says so in its status. All that is known is in the API: attachments are what is attached, pods with a node are what is
wanted, `node.status.volumesInUse` what an agent has mounted. A process that takes over starts from that; only for how
long a detachment has been waited for starts anew.

Before a volume is detached it leaves `node.status.volumesAttached`, so that the agent mounts it no more. What an agent
has mounted is not detached, unless the node is out of service, or has been unhealthy for six minutes.

`facts` says what pods, volumes and nodes mean here, `deciding` what is to be done about a volume, `wiring` does it.

Not here: how many volumes a node can have (the scheduler), attaching itself (the driver), mounting (the agent).
"""

from arktos.controllers.attachdetach.wiring import build

__all__ = ["build"]
