"""The node IPAM controller: every node gets a range of pod addresses of its own.

Flow: `ranges` cuts the cluster's range into equal blocks and knows which are taken; `wiring` keeps that true from the
mirror of nodes, gives a block to each node that has none, and takes it back when the node is gone.

Never doubled: on becoming active it reads all nodes from the server itself, so that what another instance gave just
before is known; a block is taken in memory before it is written, and stays so while the outcome of the write is
unknown.
"""

from arktos.controllers.nodeipam.wiring import build

__all__ = ["build"]
