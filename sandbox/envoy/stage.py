"""Laying a filter where Envoy watches: the module first, then filter.yaml onto the old one by rename."""

from pathlib import Path

from sandbox.envoy.resource import FilterResource
from sandbox.errors import PreconditionError
from sandbox.files import write_atomic
from sandbox.workspace import RUN_FILTER_YAML, RUN_MODULES


def stage_filter(folder: Path, resource: FilterResource, module: bytes) -> bool:
    """Make `resource` the filter of the Envoy whose working folder this is; false when it is that already.

    Modules that it does not name are removed: Envoy has read the one that it runs.

    Raises: PreconditionError when the folder cannot be written.
    """
    target, modules = folder / RUN_FILTER_YAML, folder / RUN_MODULES
    try:
        modules.mkdir(mode=0o755, parents=True, exist_ok=True)
        if target.exists() and target.read_bytes() == resource.text and (modules / resource.module_name).exists():
            return False
        write_atomic(modules / resource.module_name, module)
        write_atomic(target, resource.text)
        for other in modules.iterdir():
            if other.name != resource.module_name:
                other.unlink()
    except OSError as error:
        raise PreconditionError(f"cannot write below {folder}: {error.strerror}", hint=f"ls -ld {folder}") from error
    return True
