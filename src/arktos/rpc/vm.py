"""The methods of `arktos.vm.v1`, what the Container Runtime Interface lacks for virtual machines."""

from __future__ import annotations

from arktos.rpc.method import Method
from arktos.rpc.protos import vm_pb2 as pb

_VIRTUAL_MACHINES = "arktos.vm.v1.VirtualMachines"
LIST = Method(_VIRTUAL_MACHINES, "List", pb.ListRequest, pb.ListResponse)
WATCH = Method(_VIRTUAL_MACHINES, "Watch", pb.WatchRequest, pb.WatchResponse, streams=True)
SET_POWER = Method(_VIRTUAL_MACHINES, "SetPower", pb.SetPowerRequest, pb.SetPowerResponse)
REBOOT = Method(_VIRTUAL_MACHINES, "Reboot", pb.RebootRequest, pb.RebootResponse)
CREATE_SNAPSHOT = Method(_VIRTUAL_MACHINES, "CreateSnapshot", pb.CreateSnapshotRequest, pb.CreateSnapshotResponse)
RESTORE_SNAPSHOT = Method(_VIRTUAL_MACHINES, "RestoreSnapshot", pb.RestoreSnapshotRequest, pb.RestoreSnapshotResponse)
DELETE_SNAPSHOT = Method(_VIRTUAL_MACHINES, "DeleteSnapshot", pb.DeleteSnapshotRequest, pb.DeleteSnapshotResponse)
LIST_SNAPSHOTS = Method(_VIRTUAL_MACHINES, "ListSnapshots", pb.ListSnapshotsRequest, pb.ListSnapshotsResponse)
