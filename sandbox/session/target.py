"""Where a request goes: to the ingress or the bypass, by what was typed."""

import re
from urllib.parse import urljoin, urlsplit

from sandbox.errors import ConfigError
from sandbox.stack import BYPASS, INGRESS, Endpoints

_AUTHORITY = re.compile(r"(localhost|127\.0\.0\.1):\d+(/|\?|$)")


def find_target(typed: str, endpoints: Endpoints, *, bypass: bool) -> tuple[str, str]:
    """The name of the port and the path: from `/x`, `x`, `?q`, or a URL of the ingress or bypass, with `http://` or without.

    Raises: ConfigError for a URL of elsewhere.
    """
    name = BYPASS.name if bypass else INGRESS.name
    if _AUTHORITY.match(typed):
        typed = f"http://{typed}"
    if typed.lower().startswith(("http://", "https://")):
        names = {endpoints.host[port.name].port: port.name for port in (INGRESS, BYPASS)}
        try:
            parts = urlsplit(typed)
            host, name = parts.hostname, names.get(parts.port or 0, "")
        except ValueError:
            host, name = None, ""
        if host not in ("localhost", "127.0.0.1") or not name:
            raise ConfigError(f"{typed} is not of this sandbox", hint=f"curl {typed}")
        typed = parts.path + (f"?{parts.query}" if parts.query else "")
    return name, typed if typed.startswith("/") else f"/{typed}"


def find_redirect(location: str, url: str, endpoints: Endpoints) -> tuple[str, str]:
    """As `find_target`, for what an answer from `url` says.

    Raises: ConfigError for a URL of elsewhere.
    """
    return find_target(urljoin(url, location), endpoints, bypass=False)
