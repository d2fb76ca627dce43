"""The settings of the upstream, read once from `UPSTREAM_*` in the environment.

Address and port are flags, and unknown names are ignored: Kubernetes injects `UPSTREAM_PORT` and the like.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

MAX_KEPT_BYTES = 1_048_576
MAX_BODY_BYTES = 1_073_741_824

_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class SettingsError(ValueError):
    """A variable whose value can't be used; the message names it, shows the value and says what is accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the upstream can be told.

    `kept_bytes` of a request body are echoed, the rest is counted; beyond `max_body_bytes` the answer is 413.
    """

    kept_bytes: int = 65_536
    max_body_bytes: int = 67_108_864
    access_log: bool = False


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read and check `UPSTREAM_*`; an empty value means the default.

    Raises: SettingsError.
    """
    default = Settings()
    return Settings(
        kept_bytes=_bytes(environ, "UPSTREAM_KEPT_BYTES", default.kept_bytes, MAX_KEPT_BYTES),
        max_body_bytes=_bytes(environ, "UPSTREAM_MAX_BODY_BYTES", default.max_body_bytes, MAX_BODY_BYTES),
        access_log=_switch(environ, "UPSTREAM_ACCESS_LOG", default=default.access_log),
    )


def _bytes(environ: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = environ.get(name, "")
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) > most:
        raise SettingsError(f"{name}={text!r}: expected a number of bytes between 0 and {most}")
    return int(text)


def _switch(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = environ.get(name, "").lower()
    if not text:
        return default
    if text not in _WORDS:
        raise SettingsError(f"{name}={text!r}: expected one of {', '.join(_WORDS)}")
    return _WORDS[text]
