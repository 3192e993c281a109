"""Where a server is found."""

from __future__ import annotations


def client_address(address: str) -> str:
    """Where clients on this machine find a server bound to `address`."""
    if address in {"0.0.0.0", "::", ""}:
        return "127.0.0.1"
    return f"[{address}]" if ":" in address else address
