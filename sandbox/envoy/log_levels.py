"""Envoy's log levels: what may be asked for, and what its admin interface says. No I/O.

Source: `POST /logging` of Envoy 1.40.
"""

import difflib
import re
from collections.abc import Mapping
from types import MappingProxyType

from sandbox.errors import ConfigError

LEVELS = ("trace", "debug", "info", "warning", "error", "critical", "off")
ALL = "all"
"""Stands for every logger; none is called that."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LINE = re.compile(r"^ +(?P<name>[\w.-]+): (?P<level>\w+)$", re.MULTILINE)


def parse_levels(text: str) -> Mapping[str, str]:
    """Read Envoy's list of loggers with the level of each; empty for anything else."""
    return MappingProxyType({found["name"]: found["level"] for found in _LINE.finditer(text) if found["level"] in LEVELS})


def check_changes(changes: Mapping[str, str]) -> None:
    """See that these can be loggers and levels, before anybody is asked.

    Raises: ConfigError.
    """
    for name, level in changes.items():
        if level not in LEVELS:
            raise ConfigError(f"no log level is called {level!r}", hint=f"one of {', '.join(LEVELS)}")
        if not _NAME.fullmatch(name):
            raise ConfigError(f"no logger is called {name!r}", hint="sandbox logs --set-level wasm=trace")


def resolve_changes(changes: Mapping[str, str], known: Mapping[str, str]) -> Mapping[str, str]:
    """The level for each logger that is to be changed; a logger that is named goes before `all`.

    Raises: ConfigError for a logger that Envoy does not have, with the nearest.
    """
    check_changes(changes)
    for name in changes:
        if name != ALL and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"Envoy has: {', '.join(sorted(known))}"
            raise ConfigError(f"no logger of Envoy is called {name!r}", hint=hint)
    everywhere = dict.fromkeys(known, changes[ALL]) if ALL in changes else {}
    return {**everywhere, **{name: level for name, level in changes.items() if name != ALL}}
