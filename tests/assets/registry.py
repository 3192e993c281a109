"""A real container registry (Debian's docker-registry) of a test's own, on a free loopback port, over plain HTTP."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from arktos.bootstrap.oci_image import MANIFEST_TYPE, Image, digest

_LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Pushed:
    """What was pushed: `reference` names it by tag, `digest` is its manifest's."""

    reference: str
    digest: str


class Registry:
    """As a context manager: serves within it, and is gone with all its data after it. `authority` is host:port."""

    def __init__(self, *, settings: dict[str, Any] | None = None) -> None:
        self._settings = settings or {}
        self._folder = Path()
        self._process: subprocess.Popen[str] | None = None
        self.authority = ""

    def __enter__(self) -> Registry:
        self._folder = Path(tempfile.mkdtemp(prefix="arktos-registry-"))
        config = {
            "version": 0.1,
            "log": {"level": "info", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self._folder / "data")}, "delete": {"enabled": True}},
            "http": {"addr": "127.0.0.1:0"},
            **self._settings,
        }
        path = self._folder / "config.json"
        path.write_text(json.dumps(config))
        command = ["docker-registry", "serve", str(path)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.authority = f"127.0.0.1:{self._port(self._process)}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def folder(self) -> Path:
        """Where it keeps what it has, below `data`."""
        return self._folder

    def push(self, image: Image, name: str, tag: str) -> Pushed:
        """Pushes an image."""
        for blob in (image.layer, image.config):
            self.push_blob(name, blob)
        return self.push_manifest(name, tag, image.manifest, MANIFEST_TYPE)

    def push_blob(self, name: str, blob: bytes) -> str:
        """Uploads one blob; its digest."""
        begun = self._call("POST", f"http://{self.authority}/v2/{name}/blobs/uploads/")
        where = begun.headers["Location"]
        joint = "&" if "?" in where else "?"
        self._call("PUT", f"{where}{joint}digest={digest(blob)}", blob, "application/octet-stream")
        return digest(blob)

    def push_manifest(self, name: str, tag: str, manifest: bytes, media_type: str) -> Pushed:
        """Puts a manifest under a tag. Its blobs must be there."""
        self._call("PUT", f"http://{self.authority}/v2/{name}/manifests/{tag}", manifest, media_type)
        return Pushed(f"{self.authority}/{name}:{tag}", digest(manifest))

    def _call(self, method: str, url: str, body: bytes = b"", content_type: str = "") -> Any:
        headers = {"Content-Type": content_type} if content_type else {}
        request = urllib.request.Request(url, data=body, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()
            return answer

    def _port(self, process: subprocess.Popen[str]) -> int:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if found := _LISTENING.search(line):
                threading.Thread(target=_drain, args=(process,), daemon=True).start()
                return int(found[1])
        raise RuntimeError(f"docker-registry did not start:\n{''.join(said)}")


def _drain(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    for _ in process.stderr:
        pass
