"""Where things are: the project (what the user edits) and its state folder (what we write).

The only module that knows file names.
"""

import contextlib
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import ConfigError, PreconditionError

_PACKAGE = Path(__file__).resolve().parent
_BUNDLED = _PACKAGE / "project"

HOME = _BUNDLED if _BUNDLED.is_dir() else _PACKAGE.parent
"""The project that this package came with: a copy inside the wheel, or the checkout itself."""

MODULE_KINDS = ("tinygo", "go")
"""The builds of the filter that a project ships; the first is the one that runs unless the settings ask for another."""
SOURCE = "source"
"""What else can be asked for: the project's own filter, built anew at each start."""

TEMPLATES = _PACKAGE / "templates"
"""What a new project begins with: a folder for each of `LANGUAGES`, and `common` for all of them."""
LANGUAGES = ("go", "c", "assemblyscript")
"""In which a filter can begin; the first is the one that does unless another is asked for."""


def _module_name(kind: str) -> str:
    return f"token_injector.{kind}.wasm"


PREBUILT_NAMES = ("manifest.json", *map(_module_name, MODULE_KINDS))
"""The files in a folder of compiled modules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A folder with envoy.yaml, compose.yaml and a filter."""

    root: Path

    @property
    def name(self) -> str:
        """The folder's name; `sandbox` for the copy inside a wheel."""
        return "sandbox" if self.root == _BUNDLED else self.root.name

    @property
    def state_name(self) -> str:
        """The name of its state folder: readable, and of this project only."""
        return f"{self.name}-{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:8]}"

    @property
    def envoy_yaml(self) -> Path:
        """Envoy's bootstrap."""
        return self.root / "envoy" / "envoy.yaml"

    @property
    def filter_yaml(self) -> Path:
        """The filter's ECDS resource, with its plugin configuration."""
        return self.root / "envoy" / "xds" / "filter.yaml"

    @property
    def settings_yaml(self) -> Path:
        """Settings of the sandbox; need not exist."""
        return self.root / "sandbox.yaml"

    @property
    def prebuilt(self) -> Path:
        """The folder with the compiled modules and their manifest."""
        mine, carried = (root / "filter" / "prebuilt" for root in (self.root, HOME))
        for folder in (mine, carried):
            if folder.is_dir():
                return folder
        cache = find_cache()
        return cache.modules if cache and cache.modules.is_dir() else carried

    @property
    def manifest_json(self) -> Path:
        """What the compiled modules were built with, and their hashes."""
        return self.prebuilt / PREBUILT_NAMES[0]

    def module(self, kind: str) -> Path:
        """The module of one of `MODULE_KINDS`; need not exist."""
        return self.prebuilt / _module_name(kind)

    @property
    def services_root(self) -> Path:
        """The folder from which `services.*` is imported."""
        return self.root if (self.root / "services" / "jwt_api").is_dir() else HOME


def current_folder() -> Path:
    """Where the user is; where that folder was removed under them, the project that this package came with."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return HOME


def find_project(start: Path) -> Project:
    """The nearest folder upwards from `start` that is a project, else the one that came with the package.

    Raises: ConfigError when `SANDBOX_PROJECT` names a folder that is none.
    """
    named = os.environ.get("SANDBOX_PROJECT")
    if named:
        project = Project(root=Path(named).resolve())
        if not _is_file(project.envoy_yaml):
            raise ConfigError(f"SANDBOX_PROJECT={named} is no project: it has no envoy/envoy.yaml", hint="unset SANDBOX_PROJECT")
        return project
    for folder in (start, *start.parents):
        project = Project(root=folder)
        if _is_file(project.envoy_yaml) and _is_file(folder / "compose.yaml"):
            return project
    return Project(root=HOME)


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - before Python 3.14 the method raises in a folder that is closed to us


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The folder in which one project's sandbox keeps keys, ports, logs and the running stack's files."""

    root: Path

    @property
    def keys(self) -> Path:
        """Private keys: made once for a project."""
        return self.root / "keys"

    @property
    def jwt_key(self) -> Path:
        """The JWT API's signing key, a private JWK."""
        return self.keys / "jwt-api.jwk.json"

    @property
    def console_token(self) -> Path:
        """What a change through the console has to show."""
        return self.keys / "console.token"

    @property
    def ports(self) -> Path:
        """The ports that this project took last."""
        return self.root / "ports.json"

    @property
    def validated(self) -> Path:
        """Which envoy.yaml Envoy has already found valid."""
        return self.root / "validated.json"

    @property
    def validation(self) -> Path:
        """Where Envoy looks at a new envoy.yaml; there only meanwhile."""
        return self.root / "validation"

    @property
    def lock(self) -> Path:
        """Held while a stack is being started, restarted or stopped."""
        return self.root / "lock"

    @property
    def logs(self) -> Path:
        """Log files of the stack that runs, or ran last."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """The running stack's files; there is no such folder when nothing runs."""
        return self.root / "run"

    @property
    def mounts(self) -> Path:
        """What the containers of a stack mount; there is no such folder when Docker runs none."""
        return self.root / "mounts"

    @property
    def build(self) -> Path:
        """What an image is built from; there only meanwhile."""
        return self.root / "build"

    @property
    def builds(self) -> Path:
        """The modules that were built from this project's source, by content."""
        return self.root / "builds"

    @property
    def alive(self) -> Path:
        """A lock that every process of the stack holds as long as it lives."""
        return self.root / ALIVE

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor itself had to say, which is nothing unless it broke."""
        return self.logs / "supervisor.log"

    @property
    def crashes(self) -> Path:
        """The last lines of services that crashed, and traces of our own bugs."""
        return self.root / "crashes"


RUN_ENVOY_YAML = "envoy.yaml"
RUN_FILTER_YAML = "xds/filter.yaml"
RUN_MODULES = "xds/modules"
RUN_PARKED = "xds/parked"
RUN_HISTORY = "xds/history/versions.json"
RUN_ADMIN_SOCKET = "admin/envoy.sock"
"""Names inside the run folder, which is Envoy's working folder; envoy.yaml says the same."""
RUN_PLAN = "plan.json"
RUN_INSTANCE = "instance.json"
RUN_CRASHED = "crashed.json"
RUN_CONTROL_SOCKET = "control.sock"
"""Further names there, of the local engine: what is to run, what runs, when it crashed, and how to talk to it."""
ALIVE = "alive"
LOG = "stack.log"
PREVIOUS_LOG = "stack.previous.log"
"""Names in the state folder and in its folder of logs."""


def state_of(project: Project) -> State:
    """The state folder of `project`: one of its own below `SANDBOX_STATE_DIR`, else below the user's state folder.

    Raises: PreconditionError when the user has no home folder.
    """
    return State(root=(named_state_folder() or _user_state_folder()) / project.state_name)


def named_state_folder() -> Path | None:
    """What `SANDBOX_STATE_DIR` names. It is the user's: nothing but folders of projects is ever made or removed in it."""
    named = os.environ.get("SANDBOX_STATE_DIR")
    return (current_folder() / named).resolve() if named else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """A folder that all of the user's projects share: what a bundle brought for want of it on this machine, and Go's caches."""

    root: Path

    @property
    def go_build(self) -> Path:
        """What Go has compiled: GOCACHE."""
        return self.root / "go" / "build"

    @property
    def go_modules(self) -> Path:
        """The modules that Go has downloaded: GOMODCACHE."""
        return self.root / "go" / "modules"

    def envoy(self, version: str) -> Path:
        """Envoy's program, in a folder of its own."""
        return self.root / f"envoy-{version}" / "envoy"

    @property
    def modules(self) -> Path:
        """The compiled modules and their manifest."""
        return self.root / "modules"

    @property
    def lock(self) -> Path:
        """Held while something is put here."""
        return self.root / "lock"


def find_cache() -> Cache | None:
    """The cache in the user's folder for such things; None for a user who has no home folder."""
    from platformdirs import user_cache_path

    try:
        base = user_cache_path("envoy-wasm-sandbox")
    except RuntimeError:
        return None
    return Cache(root=base) if base.is_absolute() else None


def _user_state_folder() -> Path:
    from platformdirs import user_state_path

    try:
        base = user_state_path("envoy-wasm-sandbox")
    except RuntimeError:
        base = Path()
    if not base.is_absolute():  # neither HOME nor an account
        raise PreconditionError("there is no home folder to keep state in", hint="SANDBOX_STATE_DIR=/a/folder/you/own sandbox up")
    return base


def remove_state(state: State) -> None:
    """Remove the folder, and the one above it when that is ours and empty. The lock goes last: somebody may wait for it."""
    with contextlib.suppress(OSError):
        for path in state.root.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path != state.lock:
                path.unlink(missing_ok=True)
        state.lock.unlink(missing_ok=True)
        state.root.rmdir()
    if named_state_folder() is None:
        with contextlib.suppress(OSError):
            state.root.parent.rmdir()
