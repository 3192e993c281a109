"""Requests for certificates: approved where the asker may have what it asks for, signed then, and removed when old.

Kubernetes' signers and their rules (its page "Certificates and Certificate Signing Requests"): the clients and servers
of node agents, and clients of the API. A tenant's client certificate carries the tenant's name, whatever was asked for.
"""

from __future__ import annotations

from arktos.controllers.certificates.wiring import build

__all__ = ["build"]
