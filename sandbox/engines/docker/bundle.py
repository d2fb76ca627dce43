"""The images of the stack as streams: out of the engine into a bundle, out of a bundle into the engine."""

import contextlib
import queue
import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from sandbox.config import Settings
from sandbox.engines.docker.compose.failures import explain
from sandbox.engines.docker.discovery import find
from sandbox.engines.docker.engine import make_compose
from sandbox.engines.docker.images import SERVICES_REPOSITORY, envoy_image, find_id, find_sources, get_images, sources_tag
from sandbox.errors import ConfigError
from sandbox.events.stack import EngineEvent
from sandbox.stack import ENVOY, ENVOY_VERSION
from sandbox.workspace import Project, State

if TYPE_CHECKING:
    from docker import APIClient

CALL_TIMEOUT_S = 600.0
"""Of one call: an engine answers to a load when all is unpacked."""
LEVEL = 1
"""Of gzip: 2.5 times smaller; level 6 is 9 % smaller still, and takes twice as long."""
GZIP = 31
"""zlib's word for gzip's format. Source: zlib.net/manual, inflateInit2."""
MAX_BYTES = 16 << 30
PIECE_BYTES = 1 << 20
QUEUED_PIECES = 8
POLL_S = 0.2
PATIENCE_S = 1.0
SERVICES = "services"


class DockerImages:
    """Implements `Images`: Envoy's own, and the one of the services."""

    def __init__(self, project: Project, state: State, settings: Settings, docker: find.FoundDocker) -> None:
        self._project = project
        self._state = state
        self._settings = replace(settings, envoy=ENVOY_VERSION)  # which a bundle carries, whatever is to run here
        self._docker = docker
        self._compose = make_compose(project, state, docker)

    @contextlib.contextmanager
    def _client(self, doing: str) -> "Iterator[APIClient]":
        from docker.errors import DockerException

        try:
            version = self._docker.client_api_version
            with contextlib.closing(find.open_client(self._docker.target, CALL_TIMEOUT_S, api_version=version)) as client:
                yield client
        except (DockerException, OSError) as error:
            raise explain([str(error)], doing=doing) from error

    def get(self) -> Iterator[EngineEvent]:
        """See `Images.get`."""
        with self._client("get the images") as client:
            yield from get_images(client, self._compose, self._project, self._state, self._settings)

    def describe(self) -> Mapping[str, Mapping[str, str]]:
        """See `Images.describe`."""
        with self._client("look for images") as client:
            found = {use: (name, find_id(client, name)) for use, name in self._names().items()}
        return {use: {"name": name, "id": number} for use, (name, number) in found.items() if number}

    def _names(self) -> Mapping[str, str]:
        tag = sources_tag(find_sources(self._project.services_root))
        return {ENVOY.name: envoy_image(self._settings.registry), SERVICES: f"{SERVICES_REPOSITORY}:{tag}"}

    def fits(self, use: str, about: Mapping[str, str]) -> bool:
        """See `Images.fits`: the same tag of the same repository, wherever that was pulled from."""
        wanted = {**self._names(), ENVOY.name: envoy_image("")}.get(use)
        name = about.get("name", "")
        return name == wanted or (use == ENVOY.name and name.endswith(f"/{wanted}"))

    def save(self, use: str) -> Iterator[bytes]:
        """See `Images.save`: gzipped, as `docker load` takes it too."""
        packer = zlib.compressobj(LEVEL, wbits=GZIP)
        with self._client("save an image") as client:
            for piece in client.get_image(self._names()[use], chunk_size=PIECE_BYTES):
                yield packer.compress(piece)
        yield packer.flush()

    def load(self, use: str, about: Mapping[str, str], pieces: Iterator[bytes]) -> Iterator[int]:
        """See `Images.load`."""
        packed, wanted = about["name"], self._names()[use]
        with self._client("load an image") as client:
            before = find_id(client, packed)
            with _Upload(client) as upload:
                yield from _unpack(pieces, upload)
                upload.finish()
            if find_id(client, packed) is None:
                raise ConfigError(f"the bundle has another image where {packed} should be")
            if packed != wanted:
                repository, _, tag = wanted.rpartition(":")
                client.tag(packed, repository, tag)
                if before is None:
                    client.remove_image(packed)


def _unpack(pieces: Iterator[bytes], upload: "_Upload") -> Iterator[int]:
    """Hand over what is gzipped, in pieces of bounded size; yields how many gzipped bytes are done."""
    unpacker, done, unpacked = zlib.decompressobj(GZIP), 0, 0
    for piece in pieces:
        done += len(piece)
        rest = piece
        while rest:
            try:
                content = unpacker.decompress(rest, PIECE_BYTES)
            except zlib.error as error:
                raise ConfigError(f"an image in the bundle cannot be unpacked: {error}") from error
            rest = unpacker.unconsumed_tail
            unpacked += len(content)
            if unpacked > MAX_BYTES:
                raise ConfigError(f"an image in the bundle is larger than {MAX_BYTES:,} bytes")
            upload.put(content)
        yield done


class _Upload:
    """An image on its way to the engine. Whoever leaves before `finish` breaks it off, and the engine keeps nothing of it."""

    def __init__(self, client: "APIClient") -> None:
        self._client = client
        self._pieces: queue.Queue[bytes | None] = queue.Queue(maxsize=QUEUED_PIECES)
        self._broken = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._send, name="docker load", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._broken = True
            with contextlib.suppress(queue.Full):
                self._pieces.put_nowait(None)
            self._thread.join(PATIENCE_S)

    def put(self, piece: bytes) -> None:
        """Hand over a piece.

        Raises: what the engine has against the image.
        """
        while piece:
            if not self._thread.is_alive():
                self.finish()
            with contextlib.suppress(queue.Full):
                self._pieces.put(piece, timeout=POLL_S)
                return

    def finish(self) -> None:
        """Wait until the engine has taken all of it.

        Raises: as `put` does.
        """
        while self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._pieces.put(None, timeout=POLL_S)
                break
        self._thread.join()
        if self._failure:
            raise self._failure

    def _send(self) -> None:
        try:
            for said in self._client.load_image(self._take(), quiet=True):  # type: ignore[no-untyped-call]
                if "error" in said:
                    self._failure = explain([str(said["error"])], doing="load an image")
        except Exception as error:
            self._failure = error

    def _take(self) -> Iterator[bytes]:
        while (piece := self._pieces.get()) is not None and not self._broken:
            yield piece
        if self._broken:
            raise BrokenPipeError
