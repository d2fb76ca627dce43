"""Envoy's admin interface over its Unix socket, and what its answers mean. The console is its only user."""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from sandbox.envoy.admin_socket import open_answer
from sandbox.envoy.log_levels import check_changes, parse_levels, resolve_changes
from sandbox.errors import StackError
from sandbox.stack import FILTER_NAME

if TYPE_CHECKING:
    import httpx2

FETCH = f"wasmcustom.{FILTER_NAME}.fetch."
_TOKEN_AGE = f"wasmcustom.{FILTER_NAME}.token_age_seconds"
_DISCOVERY = f"extension_config_discovery.http_filter.{FILTER_NAME}."
# Source: Envoy 1.40, names as /stats prints them. `version_text` is `<sha256 of the module>-<of the configuration>`.
_VERSION_TEXT = re.compile(r"([0-9a-f]{64})-[0-9a-f]{12}")

_UNREACHABLE = "Envoy's admin interface can't be reached: Envoy is not running, or just starting"
_BROKEN_OFF = "Envoy's admin interface broke the connection off"

TAP_ID = "exchanges"
"""What both taps in envoy.yaml are called for the admin interface."""

INGRESS_REQUESTS = "http.ingress.downstream_rq_total"
INGRESS_ACTIVE = "http.ingress.downstream_rq_active"

FILTER_STATS = rf"^(extension_config_discovery\.http_filter|wasmcustom)\.{FILTER_NAME}\."
"""For `?filter=`: everything that Envoy and the filter itself count about the filter."""


class AdminError(StackError):
    """Envoy's admin interface gave no answer. `busy`: it took the connection and is occupied (compiles a module)."""

    def __init__(self, message: str, *, busy: bool = False) -> None:
        super().__init__(message, hint="sandbox status")
        self.busy = busy


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """What Envoy says of itself; a field that it does not send is None, `state` is `UNKNOWN` then."""

    state: str
    version: str | None
    uptime_s: float | None
    workers: int | None


def parse_server_info(text: str | bytes) -> ServerInfo:
    """Read the answer of `/server_info`."""
    value = _parse_object(text)
    version = str(value.get("version", "")).split("/")
    options = value.get("command_line_options")
    workers = options.get("concurrency") if isinstance(options, dict) else None
    return ServerInfo(
        state=str(value.get("state", "UNKNOWN")),
        version=version[1] if len(version) > 1 else None,
        uptime_s=_parse_duration(value.get("uptime_current_epoch")),
        workers=workers if isinstance(workers, int) else None,
    )


def parse_stats(text: str | bytes) -> Mapping[str, int | str]:
    """Read the answer of `/stats?format=json`: counters, gauges and text readouts by name, without histograms."""
    items = _parse_object(text).get("stats")
    return {
        item["name"]: item["value"]
        for item in (items if isinstance(items, list) else ())
        if isinstance(item, dict) and isinstance(item.get("name"), str) and isinstance(item.get("value"), int | str)
    }


def parse_number(stats: Mapping[str, int | str], name: str) -> int:
    """Find a counter or gauge; 0 when it is not there."""
    return _number(stats.get(name)) or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterFacts:
    """Which filter Envoy runs; None is "Envoy did not say". `token_age_s` is whole seconds, None before the first token."""

    version: str | None
    module_sha256: str | None
    rejected: int | None
    failed: int | None
    fetches: Mapping[str, int]
    token_age_s: int | None


def parse_fetches(stats: Mapping[str, int | str]) -> dict[str, int]:
    """How many fetches of the token ended how since Envoy started, whichever filter made them."""
    return {name.removeprefix(FETCH): value for name, value in stats.items() if name.startswith(FETCH) and isinstance(value, int)}


def parse_filter(stats: Mapping[str, int | str]) -> FilterFacts:
    """Find the filter in what `FILTER_STATS` selects."""
    version = stats.get(f"{_DISCOVERY}version_text")
    match = _VERSION_TEXT.fullmatch(version) if isinstance(version, str) else None
    fetches = parse_fetches(stats)
    return FilterFacts(
        version=str(version) if version else None,
        module_sha256=match[1] if match else None,
        rejected=_number(stats.get(f"{_DISCOVERY}update_rejected")),
        failed=_number(stats.get(f"{_DISCOVERY}update_failure")),
        fetches=fetches,
        # A gauge is 0 before it was ever set.
        token_age_s=_number(stats.get(_TOKEN_AGE)) if fetches.get("success") else None,
    )


class AdminClient:
    """Asks the admin interface. Needs no connection to be made, and none is kept: Envoy may come, go and come back."""

    def __init__(self, socket: str) -> None:
        """`socket` is a path of at most about 100 bytes; a relative one is that much shorter."""
        import httpx2

        self._socket = socket
        self._client = httpx2.AsyncClient(
            transport=httpx2.AsyncHTTPTransport(
                uds=socket,
                limits=httpx2.Limits(max_keepalive_connections=0),
                verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # unused, and empty: the default reads all authorities
            ),
            base_url="http://envoy",
            headers={"accept-encoding": "identity"},
            trust_env=False,
        )

    async def close(self) -> None:
        """Drop what is still open."""
        await self._client.aclose()

    async def read(self, path: str, *, timeout_s: float, query: Mapping[str, str] | None = None, method: str = "GET") -> bytes:
        """Return the body of a small answer, whatever its status.

        Raises: AdminError after `timeout_s` seconds in all.
        """
        target = f"{path}?{urlencode(query, quote_via=quote)}" if query else path
        try:
            async with asyncio.timeout(timeout_s), self._ask(method, target) as (_, pieces):
                return b"".join([piece async for piece in pieces])
        except TimeoutError:
            raise AdminError(f"Envoy's admin interface did not answer within {timeout_s:g} s", busy=True) from None

    @asynccontextmanager
    async def stream(self, path: str, *, query: bytes, timeout_s: float) -> AsyncGenerator["httpx2.Response"]:
        """Open an answer of any size. `timeout_s` bounds each silence.

        Raises: AdminError, also from reading the body.
        """
        import httpx2

        url = httpx2.URL(path)
        try:
            async with self._client.stream("GET", url.copy_with(query=query) if query else url, timeout=timeout_s) as answer:
                yield answer
        except httpx2.TimeoutException:
            raise AdminError(f"Envoy's admin interface was silent for {timeout_s:g} s", busy=True) from None
        except httpx2.ConnectError:
            raise AdminError(_UNREACHABLE) from None
        except httpx2.TransportError:
            raise AdminError(_BROKEN_OFF) from None

    async def log_levels(self, changes: Mapping[str, str] | None = None, *, timeout_s: float) -> Mapping[str, str]:
        """The level of each of Envoy's loggers, after `changes` to them (see `envoy.log_levels`): all are made, or none.

        Raises: AdminError; ConfigError for a change that cannot be made.
        """
        check_changes(changes or {})
        known = parse_levels(await self._ask_levels("", timeout_s))
        if not known:
            raise AdminError("Envoy's admin interface does not tell its log levels")
        wanted = resolve_changes(changes or {}, known)
        if not wanted:
            return known
        said = await self._ask_levels(",".join(f"{name}:{level}" for name, level in wanted.items()), timeout_s)
        levels = parse_levels(said)
        if not wanted.items() <= levels.items():
            raise AdminError(f"Envoy did not take the log levels: {said.strip()[:200]}")
        return levels

    async def _ask_levels(self, paths: str, timeout_s: float) -> str:
        query = {"paths": paths} if paths else None
        return (await self.read("/logging", query=query, timeout_s=timeout_s, method="POST")).decode(errors="replace")

    @asynccontextmanager
    async def tap(self, *, id_suffix: str) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Attach to the taps of envoy.yaml; the bytes are for `observe.tap`. Only requests whose x-request-id ends so are seen.

        Envoy has one such stream at a time. It works it off on its main thread without a limit: what is not read, or what comes
        faster than that thread works, piles up in Envoy's memory.

        Raises: AdminError, also from reading the bytes.
        """
        # Not streaming, both taps would show what the headers were at the end; in any other format Envoy 1.40 aborts.
        match = {"http_request_headers_match": {"headers": [_ends(id_suffix)]}} if id_suffix else {"any_match": True}
        sink = {"format": "JSON_BODY_AS_BYTES", "streaming_admin": {}}
        output = {"streaming": True, "max_buffered_rx_bytes": 0, "max_buffered_tx_bytes": 0, "sinks": [sink]}
        body = {"config_id": TAP_ID, "tap_config": {"match": match, "output_config": output}}
        async with self._ask("POST", "/tap", body) as (status, pieces):
            if status != 200:
                reason = b"".join([piece async for piece in pieces]).decode(errors="replace")
                raise AdminError(f"Envoy does not let us watch: {reason}")
            yield pieces

    @asynccontextmanager
    async def _ask(
        self, method: str, target: str, body: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[tuple[int, AsyncIterator[bytes]]]:
        try:
            async with open_answer(self._socket, method, target, body) as answer:
                yield answer
        except (FileNotFoundError, ConnectionRefusedError):
            raise AdminError(_UNREACHABLE) from None
        except OSError:
            raise AdminError(_BROKEN_OFF) from None


def _ends(suffix: str) -> Mapping[str, Any]:
    return {"name": "x-request-id", "string_match": {"suffix": suffix}}


def _parse_object(text: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _parse_duration(value: object) -> float | None:
    try:
        return float(str(value).removesuffix("s"))
    except ValueError:
        return None


def _number(value: int | str | None) -> int | None:
    return value if isinstance(value, int) else None
