"""`status`: what the engine says, and what the console says of Envoy and the filter."""

from typing import Any

from sandbox.events import ServiceStatus, StatusReport
from sandbox.session.context import Context, open_client
from sandbox.session.probe import parse_expected
from sandbox.stack import BYPASS, CONSOLE, CONSOLE_PORT, ENVOY, INGRESS, SERVICES, Endpoints

CONSOLE_TIMEOUT_S = 5.0


def read_status(context: Context) -> StatusReport:
    """Ask the engine, then the console. A stack that does not run is an answer, not an error."""
    found = context.engine.find()
    console, problem = _ask_console(found.endpoints)
    ready = {name: bool(value["ready"]) for name, value in console.get("services", {}).items()}
    if found.endpoints:
        ready[CONSOLE.name] = problem is None
        ready[ENVOY.name] = console.get("envoy", {}).get("state") == "LIVE"
    expected = parse_expected(found.labels) if found.labels else None
    live_version = console.get("filter", {}).get("version")
    inside = found.endpoints.inside if found.endpoints else {}
    ports = {service.name: service.ports for service in SERVICES}
    return StatusReport(
        phase=found.phase,
        engine=context.engine.name,
        project=str(context.project.root),
        crashed_at=found.crashed_at,
        urls={name: address.url for name, address in (found.endpoints.host if found.endpoints else {}).items()},
        services=tuple(
            ServiceStatus(
                name=service.name,
                state=service.state,
                ready=ready.get(service.name),
                pid=service.pid,
                uptime_s=service.uptime_s,
                restarts=service.restarts,
                urls={port.name: inside[port.name].url for port in ports[service.name]},
            )
            for service in found.services
        ),
        filter_sha256=expected.sha256 if expected else None,
        filter_live=live_version == expected.version if expected and live_version else None,
        envoy=console.get("envoy", {}),
        token_age_s=console.get("token", {}).get("age_s"),
        problem=problem,
    )


def _ask_console(endpoints: Endpoints | None) -> tuple[dict[str, Any], str | None]:
    if endpoints is None:
        return {}, None
    import httpx2

    url = f"{endpoints.host[CONSOLE_PORT.name].url}/api/status"
    try:
        with open_client(CONSOLE_TIMEOUT_S) as client:
            answer: dict[str, Any] = client.get(url).raise_for_status().json()
            return answer, None
    except (httpx2.HTTPError, ValueError) as error:
        return {}, f"the console does not answer: {error}"


def environment_of(report: StatusReport) -> tuple[tuple[str, str], ...]:
    """The URLs as shell variables."""
    return tuple(
        (f"SANDBOX_{name.upper()}_URL", report.urls[name])
        for name in (INGRESS.name, BYPASS.name, CONSOLE_PORT.name)
        if name in report.urls
    )
