"""A registry of images on the loopback interface: made up here, sent as slowly as a test wants, or refused as registries refuse.

Docker takes plain HTTP from 127.0.0.0/8. Source: distribution.github.io/distribution/spec/api.
"""

import contextlib
import gzip
import hashlib
import http.server
import io
import json
import random
import ssl
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
PIECE_BYTES = 1 << 16


@dataclass
class Registry:
    """What it serves. `refusals` are answers in place of everything below `/v2/NAME/`: status and error code of the registry."""

    host: str = ""
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    refusals: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    bytes_per_s: float = float("inf")
    asked: list[str] = field(default_factory=list)
    on_blob: Callable[[], None] = lambda: None

    def add(self, name: str, *, layers: list[int], architecture: str = "amd64", tag: str = "1") -> str:
        """Make an image of random layers of so many bytes; returns what to pull."""
        made = [_layer(f"{name}/{number}", size) for number, size in enumerate(layers)]
        config = json.dumps(
            {
                "architecture": architecture,
                "os": "linux",
                "config": {"Cmd": ["/bin/true"]},
                "rootfs": {"type": "layers", "diff_ids": [_digest(gzip.decompress(layer)) for layer in made]},
            }
        ).encode()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": self._describe(config, "application/vnd.oci.image.config.v1+json"),
                "layers": [self._describe(layer, "application/vnd.oci.image.layer.v1.tar+gzip") for layer in made],
            }
        ).encode()
        platform = {"architecture": architecture, "os": "linux"}
        index = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": INDEX,
                "manifests": [{"mediaType": MANIFEST, "digest": _digest(manifest), "size": len(manifest), "platform": platform}],
            }
        ).encode()
        for kind, content in ((MANIFEST, manifest), (INDEX, index)):
            self.manifests[f"{name}/{_digest(content)}"] = (kind, content)
        self.manifests[f"{name}/{tag}"] = (INDEX, index)
        return f"{self.host}/{name}:{tag}"

    def _describe(self, content: bytes, kind: str) -> dict[str, object]:
        self.blobs[_digest(content)] = content
        return {"mediaType": kind, "digest": _digest(content), "size": len(content)}


@contextlib.contextmanager
def serve_registry(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Registry]:
    """Serve until the end of the block, on a free port unless one is given.

    BuildKit asks with TLS, and takes any certificate if the engine was started with `--insecure-registry 127.0.0.1:PORT`.
    """
    registry = Registry()
    handler = type("Handler", (_Handler,), {"registry": registry})
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        registry.host = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: ClassVar[Registry]

    def do_GET(self) -> None:
        self.registry.asked.append(f"{self.command} {self.path}")
        name, _, reference = self.path.removeprefix("/v2/").partition("/manifests/")
        blob = self.path.rpartition("/blobs/")[2]
        refusals = self.registry.refusals.items()
        if refusal := next((given for start, given in refusals if self.path.startswith(f"/v2/{start}/")), None):
            self.refuse(*refusal)
        elif self.path == "/v2/":
            self.answer("application/json", b"{}")
        elif manifest := self.registry.manifests.get(f"{name}/{reference}"):
            self.answer(*manifest)
        elif blob in self.registry.blobs:
            self.registry.on_blob()
            self.answer("application/octet-stream", self.registry.blobs[blob])
        else:
            self.refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")

    def do_HEAD(self) -> None:
        self.do_GET()

    def refuse(self, status: int, code: str, message: str) -> None:
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self.answer("application/json", body, status=status)

    def answer(self, kind: str, body: bytes, *, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if kind in {MANIFEST, INDEX}:
            self.send_header("Docker-Content-Digest", _digest(body))
        self.end_headers()
        if self.command == "HEAD":
            return
        with contextlib.suppress(OSError):
            for start in range(0, len(body), PIECE_BYTES):
                piece = body[start : start + PIECE_BYTES]
                self.wfile.write(piece)
                time.sleep(len(piece) / self.registry.bytes_per_s)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


def _layer(name: str, size: int) -> bytes:
    """A compressed layer with one file that does not compress."""
    content = random.Random(name).randbytes(size)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo(name.replace("/", "-"))
        entry.size = size
        archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(file.getvalue(), mtime=0)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
