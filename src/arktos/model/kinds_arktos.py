"""What Arktos adds to the core group: tenants, actions on pods, and the members of the controllers' ring."""

from __future__ import annotations

from arktos.model.additions import PREFIX
from arktos.model.kinds import Kind, Scope, Subresource
from arktos.model.rows import NO_COLLECTION_DELETE, STATUS, GroupVersion

_arktos = GroupVersion("", "v1", PREFIX.removesuffix(".")).row

CONTROLLER_INSTANCE_TTL = 300
"""Seconds after its last report at which a ring member goes by itself."""

DONE_ACTION_TTL = 3600
"""Seconds that a completed Action is kept: as long as the events that tell of it."""

ROWS: tuple[Kind, ...] = (
    _arktos(
        "Tenant",
        "tenants",
        Scope.CLUSTER,
        short_names=("te",),
        verbs=NO_COLLECTION_DELETE,
        subresources=(STATUS, Subresource("finalize", ("update",))),
        selectable={"status.phase": "status.phase"},
    ),
    _arktos(
        "Action",
        "actions",
        short_names=("ac",),
        subresources=(STATUS,),
        selectable={"spec.nodeName": "spec.nodeName", "status.complete": "status.complete"},
        indexed=("spec.nodeName",),
        create_on_update=True,
        done="status.complete",
        done_ttl=DONE_ACTION_TTL,
    ),
    _arktos(
        "ControllerInstance",
        "controllerinstances",
        Scope.CLUSTER,
        short_names=("co",),
        selectable={"controllerType": "controllerType", "epoch": "epoch"},
        indexed=("controllerType",),
        ttl=CONTROLLER_INSTANCE_TTL,
        renewals=("workloadNum",),
    ),
)
