"""What is in a new project: the templates of its language, and of the sandbox's own project what both have. Writes nothing."""

from pathlib import Path

import sandbox
from sandbox.errors import ConfigError, PreconditionError
from sandbox.workspace import HOME, TEMPLATES, Project

_COMMON = "common"
_CONFIGURATION = "configuration.yaml"
"""Of a language's templates: the end of its filter.yaml, and no file of its own."""
_DOT = "dot-"
"""How the names of templates begin that begin with a dot in a project: here they should be of no effect, nor be left out."""
_BEFORE_VALUE = b'"@type": type.googleapis.com/google.protobuf.StringValue\n'


def render_project(name: str, language: str) -> dict[str, bytes]:
    """The files of a project of that name, by their relative paths. `language` is one of `LANGUAGES`.

    Raises: ConfigError when the sandbox's own filter.yaml is not as it should be; PreconditionError when a file cannot be read.
    """
    templates = {**_read_tree(TEMPLATES / _COMMON), **_read_tree(TEMPLATES / language)}
    configuration = templates.pop(_CONFIGURATION)
    values = {b"__NAME__": name.encode(), b"__VERSION__": sandbox.__version__.encode()}
    files = {_as_written(path): _fill_in(content, values) for path, content in templates.items()}
    home = Project(root=HOME)
    for path in (home.envoy_yaml, home.root / "compose.yaml"):
        files[str(path.relative_to(home.root))] = _read(path)
    files[str(home.filter_yaml.relative_to(home.root))] = _configure(home.filter_yaml, configuration)
    return files


def _configure(filter_yaml: Path, configuration: bytes) -> bytes:
    """The sandbox's own filter.yaml with another plugin configuration, which is the last of it."""
    frame, found, _ = _read(filter_yaml).partition(_BEFORE_VALUE)
    if not found:
        raise ConfigError(
            f"{filter_yaml} does not end in a plugin configuration that is a string", hint=f"git diff {filter_yaml}"
        )
    return frame + found + configuration


def _read_tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): _read(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _as_written(path: str) -> str:
    return "/".join(f".{part.removeprefix(_DOT)}" if part.startswith(_DOT) else part for part in path.split("/"))


def _fill_in(content: bytes, values: dict[bytes, bytes]) -> bytes:
    for placeholder, value in values.items():
        content = content.replace(placeholder, value)
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PreconditionError(f"cannot read {path}: {error.strerror}", hint="sandbox doctor") from error
