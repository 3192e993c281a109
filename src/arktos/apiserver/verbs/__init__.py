"""One file per verb. Each takes a `Call` that has been authenticated and authorized, and returns a `Reply`.

Reads are synchronous: they answer from memory. Writes share `apiserver.writes`, the pipeline from a decoded object to a
durable commit.
"""
