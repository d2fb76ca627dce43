"""Envoy's log lines, as `LOG_FORMAT` and the access log of envoy.yaml make them."""

import json
import re
from collections.abc import Iterable
from typing import Any

from sandbox.observe.exchange import PROBE_ID
from sandbox.observe.log_line import LogLine, parse_time
from sandbox.observe.panic import Block, assemble
from sandbox.stack import PARKED_NAMES

_WASM = re.compile(r"wasm log(?: (?P<plugin>[^ :]+))?(?: (?P<root>[^ :]+))?(?: (?P<vm>[^ :]+))?: (?P<text>.*)", re.DOTALL)
_DUMP = re.compile(r"\): \{.*", re.DOTALL)
_UNKNOWN_FIELDS = re.compile(r"Protobuf message \(type \S+ reason (?P<reason>.*)\) has unknown fields", re.DOTALL)
_INVALID = re.compile(r"INVALID_ARGUMENT: ?")
_BAD_CONFIGURATION = "error initializing config"
# What Envoy 1.40 tells a module whose capabilities are restricted; only the parked one's are.
_RESTRICTED = "Attempted call to restricted proxy-wasm capability"
_NO_PLUGIN = "Unable to create Wasm plugin"
_REJECTED = "Filesystem config update rejected: "
_ECDS_SOURCE = "filesystem_subscription_impl"


def parse_envoy_line(line: str) -> LogLine:
    """Parse one line; never raises."""
    try:
        value: Any = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        return LogLine(level="", component="", text=line)
    if "access" in value:
        fields = _Fields({name: item for name, item in value.items() if item is not None})
        text = "{method} {path} {status} {flags} {ms} ms".format_map(fields)
        is_ours = str(value.get("id", "")).startswith(PROBE_ID)
        return LogLine(level="access", component=str(value["access"]), text=text, is_ours=is_ours)
    level, component = str(value.get("lvl", "")), str(value.get("logger", ""))
    text, source, time_s = str(value.get("msg", line)), str(value.get("src", "")), parse_time(str(value.get("ts", "")))
    thread, plugin = str(value.get("tid", "")), ""
    if component == "wasm" and (match := _WASM.fullmatch(text)):
        plugin, text = match["plugin"] or "wasm", match["text"]
    is_ours = plugin in PARKED_NAMES or (component == "wasm" and text.startswith(_RESTRICTED))
    return LogLine(
        level=level,
        component=component,
        text=text,
        time_s=time_s,
        source=source,
        plugin=plugin,
        thread=thread,
        is_ours=is_ours,
    )


class _Fields(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "-"


def configuration_error(lines: Iterable[str]) -> str | None:
    """Envoy's own words about a configuration that it does not take, without the dump of it; None when it took it.

    Source: the three shapes that Envoy 1.40 prints (unknown field, unparsable value, violated constraint).
    """
    for line in lines:
        text = parse_envoy_line(line).text
        if _BAD_CONFIGURATION not in text:
            continue
        text = text.partition("': ")[2] or text
        if "goo.gle/debug" in text or text.startswith(("node {", "static_resources {")):
            text = text.rpartition("\n: ")[2]
        text = _DUMP.sub(")", text)
        if match := _UNKNOWN_FIELDS.fullmatch(text):
            text = match["reason"]
        text = _INVALID.sub("", text).removeprefix("Unable to parse JSON as proto (")
        return " ".join(text.split()).removesuffix(")") if text.count(")") > text.count("(") else " ".join(text.split())
    return None


def refusal(lines: Iterable[str]) -> str | None:
    """Why Envoy refused the filter, in one line: what the filter itself said last, else what Envoy says of the resource."""
    said, trap, verdict = "", "", ""
    for parsed in assemble(line for line in map(parse_envoy_line, lines) if not line.is_ours):
        if isinstance(parsed, Block) and parsed.panic.is_told:
            said = parsed.panic.summary
        elif isinstance(parsed, Block):
            trap = trap or f"{parsed.panic.callback}: {parsed.panic.summary}"
        elif parsed.plugin and parsed.level in {"error", "critical"}:
            said = parsed.text
        elif parsed.component == "wasm" and parsed.level in {"error", "critical", "warning"}:
            verdict = verdict or parsed.text
        elif any(f"{_NO_PLUGIN} {name}" in parsed.text for name in PARKED_NAMES):
            # The filter that was live could not be parked: that comes first, and refuses nothing.
            said = trap = verdict = ""
        elif _ECDS_SOURCE in parsed.source and parsed.level in {"warning", "error", "critical"}:
            # With a Wasm line before it, this one only says that there was one.
            verdict = verdict if verdict and _NO_PLUGIN in parsed.text else parsed.text.removeprefix(_REJECTED)
    return " ".join((said or trap or verdict).split()) or None
