"""`logs --set-level`: Envoy's own log levels, changed live through the console."""

from collections.abc import Iterable, Mapping

from sandbox.envoy.log_levels import ALL, check_changes
from sandbox.errors import ConfigError, StackError
from sandbox.session.console import owner_headers
from sandbox.session.context import Context, open_client, running_stack
from sandbox.stack import CONSOLE_PORT

TIMEOUT_S = 12.0
"""Envoy's admin interface pauses for up to 4 s while it compiles a module; the console waits for 10 s."""


def parse_changes(words: Iterable[str]) -> Mapping[str, str]:
    """Read `wasm=trace`, several with commas between them, or a level alone, which is for all loggers.

    Raises: ConfigError.
    """
    changes: dict[str, str] = {}
    for word in ",".join(words).split(","):
        name, sign, level = word.strip().rpartition("=")
        changes[name.strip() if sign else ALL] = level.strip()
    check_changes(changes)
    return changes


def set_levels(context: Context, changes: Mapping[str, str]) -> None:
    """Have Envoy log at these levels from now on: all of them, or none.

    Raises: ConfigError for a logger that Envoy does not have; StackError when nothing runs or nobody answers.
    """
    import httpx2

    _, endpoints = running_stack(context)
    url = f"{endpoints.host[CONSOLE_PORT.name].url}/api/log-levels"
    try:
        with open_client(TIMEOUT_S) as client:
            answer = client.post(url, json={"levels": dict(changes)}, headers=owner_headers(context.state))
            said = str(answer.json().get("error", "")) if answer.status_code != 200 else ""
    except (httpx2.HTTPError, ValueError, AttributeError) as error:
        raise StackError(f"the console does not answer: {error}", hint="sandbox status") from error
    if answer.status_code == 400:
        message, _, hint = said.partition(": ")
        raise ConfigError(message, hint=hint)
    if answer.status_code != 200:
        raise StackError(f"the log levels were not changed: {said or answer.status_code}", hint="sandbox status")
