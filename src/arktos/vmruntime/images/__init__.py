"""The store of VM images: fetches, checks and keeps the disks that machines start from.

    pull -> reference.parse        what the name means: a URL, an OCI artifact, a file of the operator's
         -> download / oci / files bytes into `partial/`, hashed as they come; every address is checked by `guard`
         -> unpack                 .gz and .xz
         -> disk.inspect           qcow2 or raw, nothing else, and nothing that points outside of the file
         -> store                  `data/<sha256>`, read-only, and a link in `links/` from the name to it

Images come from tenants: no byte of one is believed. Blocking work has threads of its own.
"""

from arktos.vmruntime.images.policy import ImagePolicy
from arktos.vmruntime.images.store import ImageRecord, ImageStore

__all__ = ["ImagePolicy", "ImageRecord", "ImageStore"]
