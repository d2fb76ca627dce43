"""Settings: flag > `SANDBOX_*` > sandbox.yaml > default, each with where it came from."""

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.errors import ConfigError
from sandbox.stack import ENGINE_NAMES
from sandbox.workspace import MODULE_KINDS


def _port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65535:
        raise ValueError
    return number


def _workers(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 64:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0.1 <= number <= 3600:
        raise ValueError
    return number


def _registry(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*(:\d{1,5})?(/[a-z0-9._-]+)*/?", text):
        raise ValueError
    return text.rstrip("/")


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError
        return text

    return parse


@dataclass(frozen=True, slots=True)
class _Key:
    default: Any
    parse: Callable[[str], Any]
    accepts: str


_KEYS: Mapping[str, _Key] = {
    "engine": _Key(ENGINE_NAMES[0], _one_of(*ENGINE_NAMES), "auto, docker or local"),
    "ingress_port": _Key(None, _port, "a port from 1 to 65535"),
    "bypass_port": _Key(None, _port, "a port from 1 to 65535"),
    "console_port": _Key(None, _port, "a port from 1 to 65535"),
    "workers": _Key(2, _workers, "a number from 1 to 64"),
    "module": _Key(MODULE_KINDS[0], _one_of(*MODULE_KINDS), " or ".join(MODULE_KINDS)),
    "registry": _Key("", _registry, "a registry's name, as in mirror.example.org/docker"),
    "pull": _Key("missing", _one_of("missing", "always", "never"), "missing, always or never"),
    "ca_bundle": _Key("", str, "a file"),
    "timeout_s": _Key(60.0, _seconds, "seconds from 0.1 to 3600"),
}
_PREFIX = "SANDBOX_"
_NOT_SETTINGS = {
    *("SANDBOX_PROJECT", "SANDBOX_STATE_DIR", "SANDBOX_RUN"),
    *("SANDBOX_INGRESS_URL", "SANDBOX_BYPASS_URL", "SANDBOX_CONSOLE_URL"),  # what `status -o env` prints
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, and in `origins` where its value came from (`flag`, a variable's name, a file, `default`).

    A port of None means: the default port if it is free, else one that is. `registry`, `pull` and `ca_bundle` are for Docker:
    a mirror to pull from, when to pull, and the CAs to trust while an image is built.
    """

    engine: str
    ingress_port: int | None
    bypass_port: int | None
    console_port: int | None
    workers: int
    module: str
    registry: str
    pull: str
    ca_bundle: str
    timeout_s: float
    origins: Mapping[str, str]


def load_settings(file: Path, flags: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Settings:
    """Merge the four sources; a flag that is None was not given.

    Raises: ConfigError that names the source, the key and what it accepts.
    """
    values: dict[str, Any] = {key: spec.default for key, spec in _KEYS.items()}
    origins = dict.fromkeys(_KEYS, "default")
    sources = [
        *((key, value, str(file)) for key, value in _load_file(file).items()),
        *(
            (_key_of(name), value, name)
            for name, value in environment.items()
            if name.startswith(_PREFIX) and name not in (*_NOT_SETTINGS, *foreign_variables(environment)) and value != ""
        ),
        *((key, value, f"--{key.removesuffix('_s').replace('_', '-')}") for key, value in flags.items()),
    ]
    for key, value, origin in sources:
        if value is None:
            continue
        if key not in _KEYS:
            raise _unknown(key, origin)
        try:
            values[key] = _KEYS[key].parse(str(value))
        except ValueError:
            raise ConfigError(f"{origin}: {key} must be {_KEYS[key].accepts}, not {value!r}", hint="sandbox up --help") from None
        origins[key] = origin
    return Settings(**values, origins=origins)


def foreign_variables(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Variables that begin as ours do and are not even a slip of the pen: another program's, and none of our business."""
    return tuple(
        name
        for name in environment
        if name.startswith(_PREFIX) and name not in _NOT_SETTINGS and not difflib.get_close_matches(_key_of(name), _KEYS, n=1)
    )


def _key_of(variable: str) -> str:
    return variable.removeprefix(_PREFIX).lower()


def _load_file(file: Path) -> dict[str, Any]:
    try:
        text = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}", hint=f"ls -l {file}") from error
    import yaml

    try:
        content = yaml.safe_load(text.decode())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is no YAML: {str(error).splitlines()[0]}", details=str(error)) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{file} must hold settings as `key: value`, not a {type(content).__name__}")
    return {str(key): value for key, value in content.items()}


def _unknown(key: str, origin: str) -> ConfigError:
    close = difflib.get_close_matches(key, _KEYS, n=1)
    suggestion = f"did you mean {close[0]}?" if close else f"known: {', '.join(_KEYS)}"
    return ConfigError(f"{origin}: unknown setting {key!r}", hint=suggestion)
