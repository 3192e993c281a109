"""From nodes to blocks, and back."""

from __future__ import annotations

import msgspec

from arktos.client import Cached, ConnectionFailed, Key
from arktos.controllers.actions import Patch, perform
from arktos.controllers.context import Context, Unit
from arktos.controllers.nodeipam.ranges import Exhausted, Ranges
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import ApiError, Conflict, NotFound
from arktos.wire import logs

NAME = "nodeipam"
NODE = registry.by_resource("nodes")
AGAIN = 60.0
"""Seconds until a node without a block is looked at again; one that comes back wakes it earlier."""
_log = logs.get_logger(__name__)


class _Spec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    pod_cidrs: tuple[str, ...] | None = msgspec.field(default=None, name="podCIDRs")


class _Node(msgspec.Struct, frozen=True, gc=False):
    spec: _Spec = _Spec()


_NODE = msgspec.json.Decoder(_Node)


def blocks_of(spec: _Spec) -> tuple[str, ...]:
    return spec.pod_cidrs or ((spec.pod_cidr,) if spec.pod_cidr else ())


class _NodeIpam:
    def __init__(self, context: Context) -> None:
        self.client = context.client
        self.nodes = context.mirror("nodes")
        self.recorder = context.recorder("cidrAllocator")
        self.ranges = Ranges(context.settings.cluster_cidr, context.settings.node_cidr_mask_size)
        self.current = False
        self.waiting: set[Key] = set()
        self.nodes.add_handler(self._changed)
        # One worker: which block is next is decided in one place.
        self.controller = context.controller(NAME, self.reconcile, workers=1)
        self.controller.watches(self.nodes)

    def _changed(self, old: Cached | None, new: Cached | None) -> None:
        """Keeps the ranges true, active or not."""
        if new is not None:
            self._note(new.uid, new.name, blocks_of(new.decode(_NODE).spec))
        elif old is not None:
            self.waiting.discard(old.key)
            if self.ranges.holds(old.uid):
                self.ranges.release(old.uid)
                for key in self.waiting:
                    self.controller.enqueue(key)

    def _note(self, uid: str, name: str, blocks: tuple[str, ...]) -> None:
        doubled = self.ranges.occupy(uid, blocks)
        if doubled:
            _log.error("pod_cidr_doubled", node=name, blocks=doubled)

    async def reconcile(self, key: Key) -> float | None:
        node = self.nodes.get(*key)
        if node is None or node.deleting or blocks_of(node.decode(_NODE).spec):
            self.waiting.discard(key)
            return None
        if not self.current:
            await self._read_all()
        try:
            block = self.ranges.take(node.uid)
        except Exhausted:
            self.waiting.add(key)
            self._say(node, "CIDRNotAvailable")
            return AGAIN
        self.waiting.discard(key)
        await self._give(node, block)
        return None

    def _say(self, node: Cached, reason: str) -> None:
        self.recorder.event(node, "Normal", reason, f"Node {node.name} status is now: {reason}")

    async def _read_all(self) -> None:
        """What the server knows, not what the mirror has come to: another instance may have given blocks just now."""
        listing = await self.client.list(NODE)
        for node in listing.items:
            blocks = blocks_of(msgspec.convert(node.get("spec") or {}, _Spec))
            self._note(node["metadata"]["uid"], node["metadata"]["name"], blocks)
        self.current = True

    async def _give(self, node: Cached, block: str) -> None:
        body: Obj = {"metadata": {"uid": node.uid}, "spec": {"podCIDR": block, "podCIDRs": [block]}}
        try:
            await perform(self.client, Patch(NODE, node.key, body, "strategic"))
        except ConnectionFailed:
            # Perhaps it was written: the block stays the node's, and the same one is tried again.
            raise
        except ApiError as error:
            if error.code >= 500:
                raise
            self.ranges.release(node.uid)
            if isinstance(error, NotFound | Conflict):
                return
            self.current = False
            self._say(node, "CIDRAssignmentFailed")
            raise

    def refresh(self) -> None:
        """On becoming active."""
        self.current = False
        for node in self.nodes.items():
            self.controller.enqueue(node.key)


def build(context: Context) -> Unit:
    work = _NodeIpam(context)
    return Unit([work.controller], refresh=work.refresh)
