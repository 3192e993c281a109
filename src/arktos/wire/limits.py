"""What one HTTP server takes from its peers, in bytes, seconds and numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Times are lower bounds: they are looked at every quarter of the shortest of them, at most every 8 s."""

    body: int = 3 << 20
    """Bytes of a request's body; more is answered 413."""
    head: int = 1 << 20
    """Bytes of a request's line and headers; more is answered 431."""
    headers: int = 1000
    """Headers of a request; more is answered 431."""
    target: int = 64 << 10
    """Bytes of a request's target; more is answered 414."""
    per_peer: int = 10_000
    """Connections of one address at a time, so that no machine alone takes all; 0 for any number."""
    connections: int = 20_000
    """Connections at a time; further ones are answered 503."""
    pipelined: int = 64
    """Requests of one connection that wait for their turn; then it is not read from."""
    high_water: int = 1 << 20
    """Bytes waiting to be sent at which a connection is congested."""
    head_timeout: float = 32.0
    """For a request's head once its first byte is there, and for the first request of a connection."""
    body_timeout: float = 32.0
    """Between two pieces of a body."""
    request_timeout: float = 120.0
    """For a whole body: sending a little from time to time is not enough."""
    idle_timeout: float = 180.0
    """Between two requests."""
    write_timeout: float = 120.0
    """That a congested peer may take nothing."""
    handshake_timeout: float = 15.0
    """For TLS."""
    linger: float = 5.0
    """How long what a refused peer still sends is thrown away, so that it can read its answer."""
    compress_over: int = 128 << 10
    """Answers larger than this are compressed for clients that take gzip; 0 compresses none."""

    @property
    def tick(self) -> float:
        """Seconds between two looks at the clock."""
        return min(8.0, min(self.head_timeout, self.body_timeout, self.idle_timeout, self.write_timeout) / 4)

    def ticks(self, seconds: float) -> int:
        """After how many ticks `seconds` have passed for sure."""
        return int(seconds / self.tick) + 2
