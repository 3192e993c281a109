"""The gRPC services of the runtime: each class turns messages into calls of the runtime, and names its methods in
`implementations`, which `arktos.rpc.method.serve` takes.
"""

from __future__ import annotations

from typing import Any

from arktos.rpc.method import Method, Streaming, Unary

Implementation = tuple[Method[Any, Any], Unary | Streaming]
