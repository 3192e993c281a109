"""An HTTP server of files held in memory, on a free loopback port, that counts what is asked and fails as told."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


@dataclass
class ServedFile:
    """One path, and how it misbehaves."""

    content: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    """Honours `Range: bytes=N-`."""
    truncate_at: int | None = None
    """Ends the connection after so many bytes of the body, although the length promised more."""
    length: int | None = None
    """What Content-Length says instead of the truth; -1 leaves it out."""
    pause: float = 0.0
    """Seconds between chunks of 64 KiB."""
    failures: int = 0
    """So many first requests are answered 503."""


class FileServer:
    """As a context manager: serves within it. `requests[path]` counts; `ranges[path]` are the Range headers seen."""

    def __init__(self) -> None:
        self._files: dict[str, ServedFile] = {}
        self._lock = threading.Lock()
        self.requests: Counter[str] = Counter()
        self.ranges: dict[str, list[str]] = {}
        self.authority = ""

    def __enter__(self) -> FileServer:
        handler = type("Handler", (_Handler,), {"files": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.authority = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(self, path: str, content: bytes, **how: object) -> str:
        """Serves `content` at `path` (begins with /) from now on; its URL. `how` are fields of ServedFile."""
        self._files[path] = ServedFile(content, **how)  # type: ignore[arg-type]
        return f"http://{self.authority}{path}"

    def redirect(self, path: str, to: str, status: int = 302) -> str:
        """Answers `path` with a redirect; its URL."""
        return self.serve(path, b"", status=status, headers={"Location": to})

    def file(self, path: str) -> ServedFile:
        """What is served at a path, to change how it behaves."""
        return self._files[path]

    def asked(self, path: str, wanted: str) -> ServedFile | None:
        """Counts a request, and says what answers it."""
        with self._lock:
            self.requests[path] += 1
            if wanted:
                self.ranges.setdefault(path, []).append(wanted)
            found = self._files.get(path)
            if found is not None and found.failures:
                found.failures -= 1
                return ServedFile(b"try again", status=503)
            return found


def sha256(content: bytes) -> str:
    """The hexadecimal checksum that image references carry."""
    return hashlib.sha256(content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    files: FileServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        served = self.files.asked(self.path, wanted)
        if served is None:
            served = ServedFile(b"no such file", status=404)
        body, status, headers = served.content, served.status, dict(served.headers)
        if status == 200 and served.ranges and (found := re.fullmatch(r"bytes=(\d+)-", wanted)):
            first = int(found[1])
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
            body, status = (body[first:], 206) if first < len(body) else (b"", 416)
        self._answer(served, status, headers, body)

    def _answer(self, served: ServedFile, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        if served.ranges and status in (200, 206):
            self.send_header("ETag", f'"{sha256(served.content)[:16]}"')
        for name, value in headers.items():
            self.send_header(name, value)
        length = len(body) if served.length is None else served.length
        if length >= 0:
            self.send_header("Content-Length", str(length))
        odd = served.truncate_at is not None or length != len(body)
        if odd:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        try:
            for start in range(0, len(body[: served.truncate_at]), 65536):
                self.wfile.write(body[: served.truncate_at][start : start + 65536])
                if served.pause:
                    time.sleep(served.pause)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass
