"""The images of the stack: which they are, whether they are there, what ours is built from, and how they are had."""

import contextlib
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import sandbox
from sandbox.config import Settings
from sandbox.engines.docker.compose.command import Compose
from sandbox.errors import ConfigError, PreconditionError
from sandbox.events.stack import EngineEvent
from sandbox.files import make_private_folder
from sandbox.stack import CONSOLE, ENVOY_VERSION
from sandbox.workspace import HOME, Project, State

if TYPE_CHECKING:
    from docker import APIClient

SERVICES_REPOSITORY = "envoy-wasm-sandbox/services"
PROJECT_LABEL = "envoy-wasm-sandbox.project"
CA_BUNDLE = "ca-bundle.pem"
COPIED = (
    "requirements/image.txt",
    "services",
    *(
        f"sandbox/{name}"
        for name in (
            "__init__.py",
            "children.py",
            "errors.py",
            "files.py",
            "stack.py",
            "wait.py",
            "workspace.py",
            "console",
            "envoy",
            "observe",
        )
    ),
)
"""What services/Dockerfile copies, as it names it."""


def envoy_image(registry: str, version: str = ENVOY_VERSION) -> str:
    """Envoy's own image; `registry` is a mirror's prefix, or empty."""
    return f"{registry}/envoyproxy/envoy:v{version}" if registry else f"envoyproxy/envoy:v{version}"


def find_sources(services_root: Path) -> dict[str, Path]:
    """Every file that the image is made of, by its name in the build's context. `services_root` has the folder `services`.

    In a checkout and in a wheel they lie in different places.
    """
    roots = {"requirements": HOME, "services": services_root, "sandbox": Path(sandbox.__file__).parent.parent}
    found: dict[str, Path] = {}
    for name in COPIED:
        root = roots[name.partition("/")[0]]
        start = root / name
        for path in [start] if start.is_file() else sorted(start.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                found[str(path.relative_to(root))] = path
    return found


def sources_tag(sources: Mapping[str, Path]) -> str:
    """The tag of our image: 12 hex digits made from its sources, so that an image with this name is up to date."""
    content = hashlib.sha256()
    for name, path in sorted(sources.items()):
        content.update(f"{name}\0{path.stat().st_size}\0".encode())
        content.update(path.read_bytes())
    return content.hexdigest()[:12]


def get_images(
    client: "APIClient", compose: Compose, project: Project, state: State, settings: Settings
) -> Iterator[EngineEvent]:
    """Pull and build what is not there, or all of it if the settings say so.

    Raises: PreconditionError when an image cannot be had.
    """
    always = settings.pull == "always"
    envoy, sources = envoy_image(settings.registry, settings.envoy), find_sources(project.services_root)
    ours = f"{SERVICES_REPOSITORY}:{sources_tag(sources)}"
    variables = {
        "SANDBOX_REGISTRY": settings.registry,
        "SANDBOX_ENVOY_VERSION": settings.envoy,
        "SANDBOX_SOURCES": sources_tag(sources),
    }
    if always or not is_there(client, envoy):
        if settings.pull == "never":
            raise PreconditionError(
                f"the image {envoy} is not here, and none may be pulled",
                hint="sandbox bundle load FILE, or sandbox up --pull missing",
            )
        yield from _run(compose, "pull", "envoy", variables=variables)
    if always or not is_there(client, ours):
        with _one_builder(state):
            if always or not is_there(client, ours):  # another command may have made it meanwhile
                with _build_context(state.build, sources, settings.ca_bundle) as context:
                    words = ("build", *(["--pull"] if always else []), CONSOLE.name)
                    folders = {"SANDBOX_CONTEXT": str(context), "SANDBOX_PROJECT_FOLDER": str(project.root)}
                    yield from _run(compose, *words, variables={**variables, **folders})
        remove_replaced(client, project)


def _run(compose: Compose, *words: str, variables: Mapping[str, str]) -> Iterator[EngineEvent]:
    from sandbox.engines.docker.compose.progress import ProgressReader

    said: list[str] = []
    reader = ProgressReader()
    run = compose.start(*words, variables=variables)
    try:
        for line in run.lines(None):
            said.append(line)
            if progress := reader.read(line):
                yield progress
    finally:
        run.end()
    if problem := run.problem(said, doing=words[0]):
        raise problem


def is_there(client: "APIClient", image: str) -> bool:
    """Whether the engine has the image."""
    return find_id(client, image) is not None


def find_id(client: "APIClient", image: str) -> str | None:
    """The id of an image by its name; None when the engine has none of that name."""
    from docker.errors import ImageNotFound

    try:
        return str(client.inspect_image(image)["Id"])  # type: ignore[no-untyped-call]
    except ImageNotFound:
        return None


@contextlib.contextmanager
def _one_builder(state: State) -> Iterator[None]:
    """Let one command at a time build, however long the other takes."""
    from filelock import FileLock

    make_private_folder(state.root)
    with FileLock(state.build.with_suffix(".lock"), mode=0o600):
        yield


@contextlib.contextmanager
def _build_context(folder: Path, sources: Mapping[str, Path], ca_bundle: str) -> Iterator[Path]:
    """Lay out what the image is built from, in `folder`, which is gone afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    make_private_folder(folder)
    try:
        try:
            for name, path in sources.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / name)
        except OSError as error:
            raise PreconditionError(f"cannot write to {folder}: {error.strerror}", hint=f"df -h {folder.parent}") from error
        if ca_bundle:
            try:
                shutil.copy(ca_bundle, folder / CA_BUNDLE)
            except OSError as error:
                raise ConfigError(f"cannot read {ca_bundle}: {error.strerror}", hint="unset SANDBOX_CA_BUNDLE") from error
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_replaced(client: "APIClient", project: Project) -> None:
    """Remove the images that were built for this project before, if that of now is there; not what a container uses."""
    from docker.errors import APIError

    try:
        current = f"{SERVICES_REPOSITORY}:{sources_tag(find_sources(project.services_root))}"
    except OSError:  # somebody is changing the sources
        return
    if not is_there(client, current):
        return
    for image in client.images(filters={"label": f"{PROJECT_LABEL}={project.root}"}):
        for name in image["RepoTags"] or [image["Id"]]:  # without a name: one built anew has taken it
            if name.startswith((f"{SERVICES_REPOSITORY}:", "sha256:")) and name != current:
                with contextlib.suppress(APIError):
                    client.remove_image(name)
