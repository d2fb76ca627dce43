"""The stack's first filter, where Envoy cannot be given files: the console's container mounts them, and it lays them out."""

from pathlib import Path

from sandbox.console.settings import Settings
from sandbox.errors import ConfigError
from sandbox.workspace import RUN_MODULES


def seed(settings: Settings) -> str:
    """Stage what the settings name; returns its version, or nothing where they name none, or it is staged already.

    Raises: ConfigError, PreconditionError.
    """
    if not settings.seed_filter or not settings.seed_module:
        return ""
    from sandbox.envoy.resource import render_filter
    from sandbox.envoy.stage import stage_filter

    module = _read(settings.seed_module)
    text = _read(settings.seed_filter).decode(errors="replace")
    resource = render_filter(text, module, settings.seed_filter.name, modules_folder=RUN_MODULES)
    return resource.version if stage_filter(Path(), resource, module) else ""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
