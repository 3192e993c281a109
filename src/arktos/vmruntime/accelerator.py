"""Whether this host can run machines on its processor itself, or has to translate."""

from __future__ import annotations

import os
from pathlib import Path

KVM, TCG = "kvm", "tcg"


def probe() -> str:
    """`kvm` only where Intel's or AMD's module drives it: others open like it and cannot run a stock kernel."""
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK)
    native = any(Path("/sys/module", name).is_dir() for name in ("kvm_intel", "kvm_amd"))
    return KVM if usable and native else TCG


def choose(wanted: str) -> str:
    """The accelerator for `auto`, `kvm` or `tcg`. Raises ValueError for kvm where it cannot be opened."""
    if wanted == KVM and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise ValueError("--accelerator kvm: /dev/kvm cannot be opened")
    return probe() if wanted == "auto" else wanted


def groups(accelerator: str) -> list[int]:
    """Supplementary groups that QEMU's user needs."""
    return [os.stat("/dev/kvm").st_gid] if accelerator == KVM else []
