"""The private containerd of a node: own root, state, socket and settings, beside whatever else runs on the machine."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from arktos.bootstrap import pause_image
from arktos.bootstrap.layout import Layout
from arktos.bootstrap.nodes import NodeSettings, program

PAUSE_IMAGE = "arktos.io/pause:1"
NAMESPACE = "k8s.io"
"""The namespace of containerd in which its Kubernetes side keeps everything."""

CNI_PLUGINS = Path("/usr/lib/cni")

_CAP_SYS_RESOURCE = 24
_UPSTREAM = {"docker.io": "https://registry-1.docker.io"}


class Failed(Exception):
    """containerd refused what it was asked for."""


def prepare(layout: Layout, node: NodeSettings) -> None:
    """Writes containerd's settings, its registry mirrors, the CNI plugins' directory and the pause image."""
    root = layout.containerd
    for folder in (root, layout.cni_conf, layout.cni_bin, root / "certs.d"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    _replace(layout.containerd_config, config(layout))
    for mirror in node.registry_mirrors:
        registry, _, url = mirror.partition("=")
        _registry(layout, registry, url)
    for registry in node.insecure_registries:
        _registry(layout, registry, f"http://{registry}")
    for plugin in CNI_PLUGINS.iterdir() if CNI_PLUGINS.is_dir() else ():
        link = layout.cni_bin / plugin.name
        if not link.is_symlink() and not link.exists():
            link.symlink_to(plugin)
    pause_image.write(layout.pause_image, PAUSE_IMAGE)


def config(layout: Layout) -> str:
    """containerd's settings, version 2."""
    root, run = layout.containerd, layout.run
    unused = ("btrfs", "zfs", "aufs", "devmapper")
    disabled = [f"io.containerd.snapshotter.v1.{name}" for name in unused] + ["io.containerd.internal.v1.opt"]
    return f"""version = 2
root = {_toml(root / "root")}
state = {_toml(run / "containerd.state")}
disabled_plugins = {json.dumps(disabled)}

[grpc]
  address = {_toml(layout.containerd_socket)}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {_toml(PAUSE_IMAGE)}
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  restrict_oom_score_adj = {_toml(not _may_lower_oom_score())}

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {_toml(layout.cni_bin)}
    conf_dir = {_toml(layout.cni_conf)}

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    discard_unpacked_layers = true

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = {_toml(root / "certs.d")}
"""


def listens(path: Path) -> bool:
    """Whether somebody answers on a unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def import_pause_image(layout: Layout) -> None:
    """Gives containerd the image that every pod's sandbox runs, which no registry is asked for. Raises Failed."""
    ctr = [program("ctr") or "ctr", f"--address={layout.containerd_socket}", f"--namespace={NAMESPACE}"]
    found = subprocess.run([*ctr, "images", "list", "-q"], capture_output=True, text=True, check=False, timeout=30)
    if PAUSE_IMAGE in found.stdout.split():
        return
    done = subprocess.run(
        [*ctr, "images", "import", str(layout.pause_image)], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        raise Failed(f"containerd does not take the pause image: {done.stderr.strip() or done.stdout.strip()}")


def _registry(layout: Layout, registry: str, url: str) -> None:
    """Has a registry's images pulled from `url`, and from the registry itself where that lacks them."""
    folder = layout.containerd / "certs.d" / registry
    folder.mkdir(parents=True, exist_ok=True)
    upstream = _UPSTREAM.get(registry, f"https://{registry}")
    scheme = "" if urlsplit(url).scheme == "https" else "  skip_verify = true\n"
    _replace(
        folder / "hosts.toml",
        f'server = {_toml(upstream)}\n\n[host.{_toml(url)}]\n  capabilities = ["pull", "resolve"]\n{scheme}',
    )


def _may_lower_oom_score() -> bool:
    """Without CAP_SYS_RESOURCE a sandbox with a negative oom_score_adj does not start."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)
    return False


def _toml(value: Path | str | bool) -> str:
    # JSON's strings and booleans are TOML's.
    return json.dumps(value if isinstance(value, bool) else str(value))


def _replace(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(text)
    scratch.replace(path)
