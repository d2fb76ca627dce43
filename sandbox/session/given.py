"""A filter that the user names: a module, looked at before anybody is asked to run it, and a configuration."""

import sys
from dataclasses import dataclass
from pathlib import Path

from sandbox.envoy.resource import render_filter
from sandbox.errors import ConfigError, RefusedError
from sandbox.stack import MAX_ORIGIN_CHARS
from sandbox.toolchain.module_file import read_module_file
from sandbox.workspace import MODULE_KINDS

MAX_CONFIGURATION_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenModule:
    """A module that Envoy should take, by all that its bytes say. `origin` is for people."""

    content: bytes
    sha256: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenConfiguration:
    """Either a whole `resource` (a filter.yaml) or the plugin `configuration` alone.

    `origin` is for people, and empty for the project's own.
    """

    resource: str | None
    configuration: str | None
    origin: str


def load_module(file: Path, *, envoy: str | None = None, origin: str | None = None) -> GivenModule:
    """Read a module and judge it for that Envoy (`1.40`; None: the one that the sandbox runs).

    Raises: ConfigError when it can't be read; RefusedError when Envoy would not take it.
    """
    from sandbox.session.check import check_bytes, nearest

    content = read_module_file(file)
    report = check_bytes(content, envoy=nearest(envoy) if envoy else None)
    if report.reason:
        raise RefusedError(f"{file}: {report.reason.text}", details=report.reason.fix, hint=f"sandbox check {file}")
    return GivenModule(content=content, sha256=report.sha256, origin=origin or _name(file))


def _name(file: Path) -> str:
    """What a file is called here: no build of ours, whatever its name is, and nothing that a terminal obeys."""
    name = "".join(char if char.isprintable() else "?" for char in file.name)[:MAX_ORIGIN_CHARS]
    return f"./{name}" if name in MODULE_KINDS else name


def load_configuration(file: Path) -> GivenConfiguration:
    """Read a plugin configuration, or a file like filter.yaml, which has it and all else; `-` is stdin.

    Raises: ConfigError.
    """
    text = read_configuration(file)
    if _is_resource(text):
        render_filter(text, "", str(file), modules_folder="")  # what is wrong with it is told with the file's own name
        return GivenConfiguration(resource=text, configuration=None, origin=_name(file))
    return GivenConfiguration(resource=None, configuration=text, origin="stdin" if file == Path("-") else _name(file))


def read_configuration(file: Path) -> str:
    """The text of such a file; `-` is stdin.

    Raises: ConfigError.
    """
    try:
        if file == Path("-"):
            content = sys.stdin.buffer.read(MAX_CONFIGURATION_BYTES + 1)
        elif not file.is_file():
            raise ConfigError(f"{file} is {'no file' if file.exists() else 'not there'}", hint=f"ls -l {file}")
        else:
            with file.open("rb") as opened:
                content = opened.read(MAX_CONFIGURATION_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}", hint=f"ls -l {file}") from error
    if len(content) > MAX_CONFIGURATION_BYTES:
        raise ConfigError(f"{file} is no configuration: it has more than {MAX_CONFIGURATION_BYTES:,} bytes", hint=f"ls -l {file}")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is no configuration: it is no text in UTF-8", hint=f"file {file}") from None


def _is_resource(text: str) -> bool:
    """Whether it is more than a plugin configuration, which can be YAML, too."""
    import yaml

    if "resources:" not in text:
        return False
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return "envoy.extensions.filters.http.wasm" in text
    return isinstance(value, dict) and "resources" in value
