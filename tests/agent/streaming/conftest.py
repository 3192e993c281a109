"""The node of the tests of pods: API server, agent and containerd, shared by a module's tests."""

from __future__ import annotations

from agent.pods.conftest import node, shared_node

__all__ = ["node", "shared_node"]
