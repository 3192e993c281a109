"""Subresources that are more than a view of their object: one file each.

`status`, `finalize`, `resize` and `ephemeralcontainers` need no code here: they are updates of which `model.strategy`
keeps the part that they may touch.
"""
