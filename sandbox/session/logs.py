"""`logs`: the lines of the stack, chosen."""

import os
import re
import time
from collections.abc import Iterator
from datetime import datetime

from sandbox.errors import ConfigError, StackError
from sandbox.events import LogRecord
from sandbox.observe.envoy_log import parse_envoy_line
from sandbox.session.context import Context
from sandbox.session.names import check_services
from sandbox.stack import ENVOY

_SPAN = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h|d)?")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


def read_logs(
    context: Context, services: tuple[str, ...], *, since: str | None, tail: int | None, follow: bool, filter_only: bool
) -> Iterator[LogRecord]:
    """The records of these services; `since` is a span (`90s`, `5m`) or a time (ISO 8601).

    Raises: ConfigError; StackError when there is no log.
    """
    wanted = check_services(services)
    since_s = None if since is None else parse_since(since, now_s=time.time())
    if not os.path.exists(context.state.logs):  # noqa: PTH110 - before Python 3.14 the method raises in a closed folder
        raise StackError("there are no logs: nothing has run yet", hint="sandbox up")
    if not filter_only:
        return context.engine.logs(services=wanted, since_s=since_s, tail=tail, follow=follow)
    if wanted and ENVOY.name not in wanted:
        raise ConfigError(f"the filter writes nothing into the log of {', '.join(wanted)}", hint="sandbox logs --filter-only")
    return context.engine.logs(services=(ENVOY.name,), since_s=since_s, tail=tail, follow=follow, matching=_is_filters)


def _is_filters(record: LogRecord) -> bool:
    return bool(parse_envoy_line(record.line).plugin)


def parse_since(text: str, *, now_s: float) -> float:
    """Seconds since the epoch.

    Raises: ConfigError when it is neither a span nor a time.
    """
    if match := _SPAN.fullmatch(text):
        return now_s - float(match["number"]) * _UNITS_S[match["unit"]]
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError:
        raise ConfigError(f"--since {text!r} is neither a span nor a time", hint="sandbox logs --since 5m") from None
