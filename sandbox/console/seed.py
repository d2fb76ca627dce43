"""The stack's first filter, where Envoy cannot be given files: the console's container mounts them, and it lays them out."""

import time
from pathlib import Path

from sandbox.console.settings import Settings
from sandbox.errors import ConfigError
from sandbox.workspace import RUN_MODULES


def seed(settings: Settings) -> str:
    """Stage what the settings name; returns its version, or nothing where they name none, or the stack began with it already.

    So a console that is started again leaves alone what was swapped since.

    Raises: ConfigError, PreconditionError.
    """
    if not settings.seed_filter or not settings.seed_module:
        return ""
    from sandbox.envoy.resource import check_module, render_filter
    from sandbox.envoy.stage import Stage, first_version

    module = _read(settings.seed_module)
    text = _read(settings.seed_filter).decode(errors="replace")
    resource = render_filter(text, check_module(module), settings.seed_filter.name, modules_folder=RUN_MODULES)
    stage = Stage(Path())
    history = stage.read_history()
    if history and history.seed == resource.version:
        return ""
    origin, configured_by = settings.seed_origin, settings.seed_configured_by
    stage.begin(first_version(resource, module, origin=origin, configured_by=configured_by, now_s=time.time()), module)
    return resource.version


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
