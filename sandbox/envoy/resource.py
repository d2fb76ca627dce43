"""The filter's ECDS resource: filter.yaml with the module's content hash filled in, and what its configuration says."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.envoy.bootstrap import dump_yaml, load_yaml
from sandbox.errors import ConfigError
from sandbox.stack import FILTER_NAME, MAX_MODULE_BYTES

_WASM_MAGIC = b"\0asm"
_STRING_VALUE = "type.googleapis.com/google.protobuf.StringValue"
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:h|ms|m|s|us|µs|ns)")
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DEFAULT_TICK = "15s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """What the filter is configured to inject. `where` is `response`, `request` or `both`.

    It fetches a token every `tick_s` seconds; None where nobody knows.
    """

    where: str
    token_header: str
    marker_header: str
    tick_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterResource:
    """One version of the filter, ready to be laid where Envoy watches.

    `version` is `<module's SHA-256>-<12 hex digits of the text's>`: Envoy says it back in `version_text`, and a name that
    changes with the content is what makes Envoy load it.
    """

    version: str
    module_sha256: str
    text: bytes
    injected: Injected


def check_module(module: bytes, *, hint: str = "") -> str:
    """Whether these bytes can be a module at all; returns their SHA-256.

    Raises: ConfigError.
    """
    if not module.startswith(_WASM_MAGIC):
        raise ConfigError(
            f"the filter module is no WebAssembly: it begins with {module[:4]!r}, not {_WASM_MAGIC!r}",
            hint=hint or "sandbox check FILE",
        )
    if len(module) > MAX_MODULE_BYTES:
        raise ConfigError(f"the filter module has {len(module)} bytes; at most {MAX_MODULE_BYTES} are loaded")
    return hashlib.sha256(module).hexdigest()


def render_filter(
    text: str, module_sha256: str, name: str, *, modules_folder: str, configuration: str | None = None
) -> FilterResource:
    """Fill the module's hash into filter.yaml, and another plugin configuration where one is given.

    Raises: ConfigError when the file is not the resource of our filter.
    """
    resource = load_yaml(text, name)
    try:
        [item] = resource["resources"]
        called = item["name"]
        config = item["typed_config"]["config"]
        code = config["vm_config"]["code"]["local"]
        code["filename"] = f"{modules_folder}/{module_sha256}.wasm"
    except (KeyError, TypeError, ValueError):
        raise ConfigError(f"{name} must hold one Wasm filter with config.vm_config.code.local", hint=f"git diff {name}") from None
    if called != FILTER_NAME:
        raise ConfigError(f"{name}: the resource is named {called!r}, the sandbox needs {FILTER_NAME!r}", hint=f"git diff {name}")
    if configuration is not None:
        config["configuration"] = {"@type": _STRING_VALUE, "value": configuration}
    resource.pop("version_info", None)
    version = f"{module_sha256}-{hashlib.sha256(json.dumps(resource, sort_keys=True).encode()).hexdigest()[:12]}"
    return FilterResource(
        version=version,
        module_sha256=module_sha256,
        text=dump_yaml({"version_info": version, **resource}),
        injected=_injected(config.get("configuration")),
    )


def read_failure_policy(text: str, name: str) -> str:
    """What Envoy is to do after a crash of the filter: a word of Envoy's, `FAIL_CLOSED` where the file says nothing.

    Raises: ConfigError when the file is not the resource of a filter.

    Source: PluginConfig of Envoy 1.40; `fail_open` is its older form.
    """
    try:
        [item] = load_yaml(text, name)["resources"]
        config = item["typed_config"]["config"]
        said = config.get("failure_policy")
        is_open = config.get("fail_open") is True
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ConfigError(f"{name} holds no filter", hint=f"git diff {name}") from None
    if said in (None, "UNSPECIFIED", 0):
        return "FAIL_OPEN" if is_open else "FAIL_CLOSED"
    return str(said)


def _injected(configuration: Any) -> Injected:
    """Read the names from the plugin configuration; the filter itself judges whether the rest is right."""
    value: Any = configuration.get("value") if isinstance(configuration, Mapping) else None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, Mapping):
        value = {}
    return Injected(
        where=str(value.get("inject", "response")),
        token_header=str(value.get("token_header", "x-auth")).lower(),
        marker_header=str(value.get("marker_header", "x-wasm-filter")).lower(),
        tick_s=parse_duration(str(value.get("tick", _DEFAULT_TICK))),
    )


def parse_duration(text: str) -> float | None:
    """Seconds of a duration as Go writes it (`15s`, `1m30s`); None for what is none."""
    parts = _DURATION.findall(text)
    if not parts or "".join(parts) != text:
        return None
    return sum(float(part.rstrip("hmsuµn")) * _UNITS_S[part.lstrip("0123456789.")] for part in parts)
