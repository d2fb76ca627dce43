"""The bundle's file: a plain tar with regular files only, its manifest first, written in one go and checked before use.

Names in it never become paths. `tar` can read it; only a sandbox writes it.
"""

import hashlib
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import RawIOBase
from typing import IO, BinaryIO

from sandbox.errors import ConfigError
from sandbox.session.bundle.manifest import Kind, Manifest, Member, parse_manifest, render_manifest

MANIFEST = "manifest.json"
MANIFEST_BYTES = 8 << 10
"""What is kept free for the manifest at the file's start: what it says is known at the end."""
MAX_MANIFEST_BYTES = 1 << 20
PIECE_BYTES = 1 << 20
_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)
_DAMAGED = "copy it again from where it was made"


class BundleWriter:
    """Writes into `file`, which can seek and was empty."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._members: list[Member] = []
        file.write(bytes(_BLOCK + MANIFEST_BYTES))

    def add(self, kind: Kind, name: str, pieces: Iterable[bytes], about: Mapping[str, str] | None = None) -> Iterator[int]:
        """Append a member as its content comes; yields how many bytes of it there are."""
        start, size, digest = self._file.tell(), 0, hashlib.sha256()
        self._file.write(bytes(_BLOCK))
        for piece in pieces:
            self._file.write(piece)
            digest.update(piece)
            size += len(piece)
            yield size
        self._file.write(bytes(-size % _BLOCK))
        end = self._file.tell()
        self._file.seek(start)
        self._file.write(_header(name, size))
        self._file.seek(end)
        self._members.append(Member(kind=kind, name=name, size=size, sha256=digest.hexdigest(), about=about or {}))

    def finish(self, *, sandbox: str, envoy: str, platform: str) -> Manifest:
        """Write the end and the manifest."""
        self._file.write(_END)
        manifest = Manifest(sandbox=sandbox, envoy=envoy, platform=platform, members=tuple(self._members))
        self._file.seek(0)
        self._file.write(_header(MANIFEST, MANIFEST_BYTES))
        text = render_manifest(manifest)
        assert len(text) <= MANIFEST_BYTES
        self._file.write(text.ljust(MANIFEST_BYTES))
        return manifest


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A file whose manifest has been read."""

    name: str
    file: BinaryIO
    manifest: Manifest
    offsets: Mapping[str, int]
    total_bytes: int

    def pieces(self, member: Member) -> Iterator[bytes]:
        """A member's content.

        Raises: ConfigError when the file is not as long as it was.
        """
        position, end = self.offsets[member.name], self.offsets[member.name] + member.size
        while position < end:
            piece = _read(self.file, self.name, position, min(PIECE_BYTES, end - position))
            position += len(piece)
            yield piece

    def open(self, member: Member) -> IO[bytes]:
        """A member as a file that can seek."""
        return _Window(self, self.offsets[member.name], member.size)  # type: ignore[return-value]


def open_bundle(file: BinaryIO, name: str) -> Bundle:
    """Read the manifest; `name` is for messages.

    Raises: ConfigError when it is no bundle, or cut off; PreconditionError when a newer sandbox made it.
    """
    first = _parse_header(_read(file, name, 0, _BLOCK)) if file.seek(0, os.SEEK_END) >= _BLOCK else None
    if first is None or first[0] != MANIFEST or first[1] > MAX_MANIFEST_BYTES:
        raise ConfigError(f"{name} is no bundle", hint="sandbox bundle save FILE")
    size = first[1]
    manifest = parse_manifest(_read(file, name, _BLOCK, size), name)
    offsets, position = {}, _BLOCK + _padded(size)
    for member in manifest.members:
        offsets[member.name] = position + _BLOCK
        position += _BLOCK + _padded(member.size)
    return Bundle(name=name, file=file, manifest=manifest, offsets=offsets, total_bytes=position + len(_END))


def check_bundle(bundle: Bundle) -> Iterator[int]:
    """Compare every member with what the manifest says of it; yields up to which byte that is done.

    Raises: ConfigError when the file is cut off or damaged.
    """
    total = bundle.file.seek(0, os.SEEK_END)
    if total < bundle.total_bytes:
        raise ConfigError(f"{bundle.name} is cut off: {total:,} bytes of {bundle.total_bytes:,}", hint=_DAMAGED)
    if total > bundle.total_bytes:
        raise ConfigError(f"{bundle.name} goes on after its end", hint=_DAMAGED)
    for member in bundle.manifest.members:
        start, digest, done = bundle.offsets[member.name], hashlib.sha256(), 0
        whole = _parse_header(_read(bundle.file, bundle.name, start - _BLOCK, _BLOCK)) == (member.name, member.size)
        for piece in bundle.pieces(member):
            digest.update(piece)
            done += len(piece)
            yield start + done
        if not whole or digest.hexdigest() != member.sha256:
            raise ConfigError(f"{bundle.name} is damaged: {member.name} is not what was packed", hint=_DAMAGED)


def _padded(size: int) -> int:
    return size + -size % _BLOCK


def _parse_header(block: bytes) -> tuple[str, int] | None:
    """Name and size of a regular file; None for anything else."""
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, ValueError):
        return None
    return (info.name, info.size) if info.type == tarfile.REGTYPE and info.size >= 0 else None


def _read(file: BinaryIO, name: str, position: int, size: int) -> bytes:
    try:
        file.seek(position)
        content = file.read(size)
    except OSError as error:
        raise ConfigError(f"cannot read {name}: {error.strerror}", hint=f"ls -l {name}") from error
    if len(content) != size:
        raise ConfigError(f"{name} is cut off", hint=_DAMAGED)
    return content


class _Window(RawIOBase):
    """A part of a bundle as a file of its own."""

    def __init__(self, bundle: Bundle, start: int, size: int) -> None:
        super().__init__()
        self._bundle, self._start, self._size, self._position = bundle, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        rest = max(0, self._size - self._position)
        wanted = rest if size is None or size < 0 else min(size, rest)
        content = _read(self._bundle.file, self._bundle.name, self._start + self._position, wanted)
        self._position += wanted
        return content
