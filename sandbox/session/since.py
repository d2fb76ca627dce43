"""`--since`: a span or a time, as seconds since the epoch."""

import re
from datetime import datetime

from sandbox.errors import ConfigError

_SPAN = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h|d)?")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


def parse_since(text: str, *, now_s: float) -> float:
    """Seconds since the epoch.

    Raises: ConfigError when it is neither a span nor a time.
    """
    if match := _SPAN.fullmatch(text):
        return now_s - float(match["number"]) * _UNITS_S[match["unit"]]
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError:
        raise ConfigError(f"--since {text!r} is neither a span nor a time", hint="--since 5m") from None
