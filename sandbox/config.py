"""Settings: flag > `SANDBOX_*` > sandbox.yaml > default, each with where it came from."""

import difflib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.errors import ConfigError
from sandbox.stack import ENGINE_NAMES, ENVOY_VERSION, ENVOY_VERSIONS
from sandbox.workspace import MODULE_KINDS, SOURCE


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


def _envoy(text: str) -> str:
    version = ENVOY_VERSIONS.get(text, text)
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){2}", version):
        raise ValueError
    return version


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
    "envoy": _Key(ENVOY_VERSION, _envoy, f"{', '.join(ENVOY_VERSIONS)}, or a version in full, as in {ENVOY_VERSION}"),
    "ingress_port": _Key(None, _port, "a port from 1 to 65535"),
    "bypass_port": _Key(None, _port, "a port from 1 to 65535"),
    "console_port": _Key(None, _port, "a port from 1 to 65535"),
    "workers": _Key(2, _workers, "a number from 1 to 64"),
    "module": _Key(MODULE_KINDS[0], _one_of(*MODULE_KINDS, SOURCE), f"{', '.join(MODULE_KINDS)} or {SOURCE}"),
    "registry": _Key("", _registry, "a registry's name, as in mirror.example.org/docker"),
    "pull": _Key("missing", _one_of("missing", "always", "never"), "missing, always or never"),
    "ca_bundle": _Key("", str, "a file"),
    "timeout_s": _Key(60.0, _seconds, "seconds from 0.1 to 3600"),
}
_FILTER = "filter"
"""The one setting with settings of its own. It is a fact about the project, so it is in the file or nowhere."""
_FILTER_KEYS: Mapping[str, str] = {"source": "a folder", "build": "a command", "output": "a file"}
_FILTER_HINT = 'filter: {build: "make", output: "filter.wasm"}'
_PREFIX = "SANDBOX_"
_NOT_SETTINGS = {
    *("SANDBOX_PROJECT", "SANDBOX_STATE_DIR", "SANDBOX_RUN"),
    "SANDBOX_ENV",  # what others name their surroundings by, and no slip of SANDBOX_ENVOY
    *("SANDBOX_INGRESS_URL", "SANDBOX_BYPASS_URL", "SANDBOX_CONSOLE_URL"),  # what `status -o env` prints
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterSettings:
    """What the filter is built from: the folder `source`, by the command line `build`, which writes the file `output`.

    Paths are relative to the project's folder. `build` and `output` are both empty where Go or TinyGo builds it.
    """

    source: str = "filter"
    build: str = ""
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, and in `origins` where its value came from (`flag`, a variable's name, a file, `default`).

    `envoy` is a version in full. A port of None means: the default port if it is free, else one that is. `registry`, `pull` and
    `ca_bundle` are for Docker: a mirror to pull from, when to pull, and the CAs to trust while an image is built.
    """

    engine: str
    envoy: str
    ingress_port: int | None
    bypass_port: int | None
    console_port: int | None
    workers: int
    module: str
    registry: str
    pull: str
    ca_bundle: str
    timeout_s: float
    filter: FilterSettings
    origins: Mapping[str, str]


def load_settings(file: Path, flags: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Settings:
    """Merge the four sources; a flag that is None was not given.

    Raises: ConfigError that names the source, the key and what it accepts.
    """
    in_file = _load_file(file)
    about_filter = in_file.pop(_FILTER, None)
    values: dict[str, Any] = {key: spec.default for key, spec in _KEYS.items()}
    values[_FILTER] = _parse_filter(about_filter, str(file))
    origins = {**dict.fromkeys(_KEYS, "default"), _FILTER: "default" if about_filter is None else str(file)}
    sources = [
        *((key, value, str(file)) for key, value in in_file.items()),
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
        if key == _FILTER:
            raise ConfigError(f"{origin}: what the filter is built from is said in sandbox.yaml only", hint=f"unset {origin}")
        if key not in _KEYS:
            raise _unknown(key, origin, (*_KEYS, _FILTER))
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
        if name.startswith(_PREFIX)
        and name not in _NOT_SETTINGS
        and _key_of(name) != _FILTER
        and not difflib.get_close_matches(_key_of(name), _KEYS, n=1)
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
        content = yaml.load(text.decode(), _loader())  # noqa: S506 - a safe one
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is no YAML: {str(error).splitlines()[0]}", details=str(error)) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{file} must hold settings as `key: value`, not a {type(content).__name__}")
    return {str(key): value for key, value in content.items()}


def _loader() -> Any:
    """A safe loader that leaves numbers with a point as they are written: Envoy's 1.40 is not 1.4."""
    import yaml

    resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:float"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return type("Loader", (yaml.SafeLoader,), {"yaml_implicit_resolvers": resolvers})


def _parse_filter(value: Any, origin: str) -> FilterSettings:
    if value is None:
        return FilterSettings()
    if not isinstance(value, dict):
        known = ", ".join(_FILTER_KEYS)
        raise ConfigError(f"{origin}: filter must hold settings ({known}), not {value!r}", hint=_FILTER_HINT)
    given: dict[str, str] = {}
    for key, item in value.items():
        if key not in _FILTER_KEYS:
            raise _unknown(str(key), origin, tuple(_FILTER_KEYS), of=f"{_FILTER}.")
        if item is None:
            continue
        if not isinstance(item, str) or not item.strip() or "\0" in item:
            raise ConfigError(f"{origin}: filter.{key} must be {_FILTER_KEYS[key]}, not {item!r}", hint=_FILTER_HINT)
        given[key] = item
    if ("build" in given) != ("output" in given):
        here, missing = ("build", "output") if "build" in given else ("output", "build")
        raise ConfigError(f"{origin}: filter.{here} needs filter.{missing}, too", hint=_FILTER_HINT)
    return FilterSettings(**given)


def _unknown(key: str, origin: str, known: Sequence[str], *, of: str = "") -> ConfigError:
    close = difflib.get_close_matches(key, known, n=1)
    names = ", ".join(f"{of}{name}" for name in close or known)
    return ConfigError(f"{origin}: unknown setting {of + key!r}", hint=f"did you mean {names}?" if close else f"known: {names}")
