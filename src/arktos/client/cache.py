"""The cache of an informer: objects by key and by index. Pure; every mutation returns what changed."""

from __future__ import annotations

from arktos.client.cached import Cached

Change = tuple[Cached | None, Cached | None]
"""(old, new): None before what came, None after what went."""
