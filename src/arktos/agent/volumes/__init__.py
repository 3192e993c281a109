"""The volumes of pods: set up before containers start, kept up to date while they run, taken away without a trace.

Each pod has a directory, `<root>/<uid>`: `volumes/<plugin>/<name>` is the content of its volumes, and
`volume-subpaths/<volume>/<container>/<position>` what subPath mounts show. Nothing else is remembered: what lies there
and the kernel's table of mounts say all that a restart, or the tear-down of a half-done set-up, must know.

Invariants. Content that others own (hostPath, local volumes) is never mounted writable by us into a pod's directory for
longer than it takes to be unmounted first; deletion goes by open directories and stops at every mount point, so that it
cannot reach such content even when an unmount failed. A path inside a volume is opened by the kernel's own confined
resolution (openat2, RESOLVE_BENEATH): no symlink in a volume leads out of it. What is made from config maps, secrets,
tokens and fields appears whole or not at all (`atomic`); secrets are in memory only, where we are root.

`volumes.Volumes` is the one that does things; `payload`, `ownership` and `tokens` decide, the rest are tools.
"""

from arktos.agent.volumes.volume import MountedVolume, VolumeError
from arktos.agent.volumes.volumes import Volumes

__all__ = ["MountedVolume", "VolumeError", "Volumes"]
