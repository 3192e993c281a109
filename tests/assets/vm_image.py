"""A tiny cloud image that boots in seconds without hardware virtualization: Debian's cloud kernel, busybox, dropbear.

It is a disk as any other cloud image: MBR, a boot partition with syslinux, an ext4 root. Made without root rights or
loop devices. What it does is in `guest/`: reads NoCloud data, takes a DHCP lease (router off the link, MTU), serves SSH
and HTTP, obeys the power button, takes up hot-plugged CPUs, memory, disks and interfaces. It has no guest agent.

On its console (ttyS0) it says `GUEST-READY host=.. boot=N ip=A/LEN cpus=N memory=KIB` when it is up (the same is what
its port 80 answers), `GUEST-DHCP ..`, `GUEST-CLOUD-INIT ..`, `GUEST-POWER-BUTTON`, `GUEST-STOPPING`; then asks to log
in: `guest` with the password `guest`, or `root` by SSH key.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READY = "GUEST-READY"
USER = "guest"
PASSWORD = "guest"

_GUEST = Path(__file__).parent / "guest"
_KERNEL = "linux-image-cloud-amd64"
_BOOT_MIB = 20
_ROOT_MIB = 24
_VIRTIO = ("pci", "blk", "net", "scsi", "console", "mem", "balloon", "rng")
_MODULES = [f"virtio_{device}" for device in _VIRTIO] + [
    *("sd_mod", "sr_mod", "ata_piix", "ata_generic"),
    *("isofs", "nls_iso8859-1", "vfat", "ext4"),
    *("evdev", "button"),
]
_FOLDERS = (
    *("bin", "sbin", "lib", "proc", "sys", "dev", "run", "tmp", "mnt", "root", "home/guest", "www", "var/log"),
    *("etc/dropbear", "etc/acpi/PWRF"),
)
_IN_ETC = ("inittab", "rc", "rc.stop", "netup", "dhcp", "hotplug", "cloud-init")


def vm_image() -> Path:
    """The image as qcow2, made on first use (15 s, a 27 MB download), kept under the user's cache directory.

    Treat it as read-only. Raises RuntimeError where a step fails, with what the program said.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "arktos-tests"
    cache.mkdir(parents=True, exist_ok=True)
    finished = cache / f"guest-{_recipe()}.qcow2"
    with _locked(cache / "guest.lock"):
        if not finished.exists():
            with tempfile.TemporaryDirectory(prefix="guest-", dir=cache) as folder:
                _make(Path(folder)).replace(finished)
    return finished


def _recipe() -> str:
    """Names this recipe: another one makes another image."""
    content = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(_GUEST.iterdir()):
        content.update(path.name.encode() + path.read_bytes())
    return content.hexdigest()[:16]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(folder: Path) -> Path:
    kernel, modules = _kernel(folder)
    boot = {"vmlinuz": kernel, "initrd.gz": _initramfs(folder, modules), "syslinux.cfg": _GUEST / "syslinux.cfg"}
    disk = folder / "disk.raw"
    with disk.open("wb") as raw:
        raw.truncate((1 + _BOOT_MIB + _ROOT_MIB) << 20)
        raw.write(Path("/usr/lib/syslinux/mbr/mbr.bin").read_bytes()[:440])
        raw.seek(446)
        raw.write(_partitions())
        raw.seek(1 << 20)
        raw.write(_boot_partition(folder, boot).read_bytes())
        raw.seek((1 + _BOOT_MIB) << 20)
        raw.write(_root_partition(folder).read_bytes())
    image = folder / "guest.qcow2"
    _run("qemu-img", "convert", "-c", "-O", "qcow2", disk, image)
    image.chmod(0o444)
    return image


def _kernel(folder: Path) -> tuple[Path, list[Path]]:
    """The kernel and the modules that the guest needs, in the order in which they load."""
    _run("apt-get", "download", _kernel_package(), cwd=folder)
    root = folder / "kernel"
    _run("dpkg", "-x", next(folder.glob("*.deb")), root)
    kernel = next((root / "boot").glob("vmlinuz-*"))
    release = kernel.name.removeprefix("vmlinuz-")
    _run("depmod", "-b", root, release)
    modules: dict[Path, None] = {}
    for name in _MODULES:
        shown = _run("modprobe", "-d", root, "-S", release, "--show-depends", name)
        modules.update({Path(line.split()[1]): None for line in shown.splitlines() if line.startswith("insmod ")})
    return kernel, list(modules)


def _kernel_package() -> str:
    """The package that holds the newest cloud kernel. A fresh machine may have to fetch the package lists first."""
    for attempt in range(2):
        if attempt:
            _run("apt-get", "update")
        depends = subprocess.run(["apt-cache", "depends", _KERNEL], capture_output=True, text=True, check=False).stdout
        for line in depends.splitlines():
            relation, _, package = line.strip().partition(": ")
            if relation == "Depends" and package.startswith("linux-image-"):
                return package
    raise RuntimeError(f"the package lists know no {_KERNEL}")


def _initramfs(folder: Path, modules: list[Path]) -> Path:
    root = folder / "initramfs"
    for place in ("bin", "proc", "sys", "dev", "newroot", "lib/modules"):
        (root / place).mkdir(parents=True)
    shutil.copy(_busybox(), root / "bin/busybox")
    shutil.copy(_GUEST / "initramfs-init", root / "init")
    (root / "init").chmod(0o755)
    for number, module in enumerate(modules):
        shutil.copy(module, root / "lib/modules" / f"{number:03}-{module.name}")
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    archive = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names.encode(), capture_output=True, check=True
    ).stdout
    packed = folder / "initrd.gz"
    packed.write_bytes(gzip.compress(archive, 1))
    return packed


def _root_partition(folder: Path) -> Path:
    root = folder / "root"
    for place in _FOLDERS:
        (root / place).mkdir(parents=True)
    _programs(root)
    for name in _IN_ETC:
        shutil.copy(_GUEST / name, root / "etc" / name)
        (root / "etc" / name).chmod(0o644 if name == "inittab" else 0o755)
    button = root / "etc/acpi/PWRF/00000080"
    shutil.copy(_GUEST / "power-button", button)
    button.chmod(0o755)
    hashed = _run("openssl", "passwd", "-6", PASSWORD).strip()
    (root / "etc/passwd").write_text(f"root:x:0:0:root:/root:/bin/sh\n{USER}:x:1000:1000::/home/{USER}:/bin/sh\n")
    (root / "etc/group").write_text(f"root:x:0:\n{USER}:x:1000:\n")
    (root / "etc/shadow").write_text(f"root:*:19000:0:99999:7:::\n{USER}:{hashed}:19000:0:99999:7:::\n")
    (root / "etc/shadow").chmod(0o600)
    (root / "etc/shells").write_text("/bin/sh\n")
    image = folder / "root.img"
    # The boot loader's kernel is the only reader; without checksums older tools can look inside, too.
    _run(
        *("mke2fs", "-q", "-t", "ext4", "-L", "guestroot", "-m", "0", "-E", "root_owner=0:0"),
        *("-O", "^metadata_csum,^64bit", "-d", root, image, f"{_ROOT_MIB}M"),
    )
    return image


def _programs(root: Path) -> None:
    shutil.copy(_busybox(), root / "bin/busybox")
    for applet in _run(_busybox(), "--list").split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    for applet in ("init", "getty", "poweroff", "reboot", "halt"):
        (root / "sbin" / applet).symlink_to("../bin/busybox")
    for name in ("dropbear", "dropbearkey"):
        program = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
        if program is None:
            raise FileNotFoundError(f"no {name}: install dropbear-bin")
        shutil.copy(program, root / "bin" / name)
        for word in _run("ldd", program).split():
            if word.startswith("/lib"):
                target = root / word.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(word, target)


def _boot_partition(folder: Path, files: dict[str, Path]) -> Path:
    image = folder / "boot.img"
    with image.open("wb") as empty:
        empty.truncate(_BOOT_MIB << 20)
    # -H: the boot sector must know how many sectors lie before its partition.
    _run("mformat", "-i", image, "-T", _BOOT_MIB * 2048, "-h", 16, "-s", 63, "-H", 2048, "-v", "BOOT", "::")
    for name, path in files.items():
        _run("mcopy", "-i", image, path, f"::{name}")
    _run("syslinux", "--install", image)
    return image


def _partitions() -> bytes:
    """The table of the master boot record: FAT16 (active), then Linux."""
    anywhere = b"\xfe\xff\xff"

    def entry(active: int, kind: int, first: int, sectors: int) -> bytes:
        return struct.pack("<B3sB3sII", active, anywhere, kind, anywhere, first, sectors)

    boot = entry(0x80, 0x0E, 2048, _BOOT_MIB * 2048)
    root = entry(0, 0x83, 2048 * (1 + _BOOT_MIB), _ROOT_MIB * 2048)
    return boot + root + bytes(32) + b"\x55\xaa"


def _busybox() -> Path:
    return next(path for path in (Path("/usr/bin/busybox"), Path("/bin/busybox")) if path.exists())


def _run(*command: object, cwd: Path | None = None) -> str:
    words = [str(word) for word in command]
    path = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "MTOOLS_SKIP_CHECK": "1"}
    done = subprocess.run(words, cwd=cwd, env=path, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
