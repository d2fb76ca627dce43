"""`status`: what the engine says, and what the console says of Envoy and the filter."""

from sandbox.events.status import FilterVersion, ServiceStatus, StatusReport
from sandbox.session.console import TIMEOUT_S, find_expected, read_status
from sandbox.session.context import Context, open_client
from sandbox.session.live import list_versions
from sandbox.stack import BYPASS, CONSOLE, CONSOLE_PORT, ENVOY, INGRESS, SERVICES


def read_report(context: Context) -> StatusReport:
    """Ask the engine, then the console. A stack that does not run is an answer, not an error."""
    found = context.engine.find()
    console, ready = None, {}
    versions: tuple[FilterVersion, ...] = ()
    if found.endpoints:
        with open_client(TIMEOUT_S) as client:
            console = read_status(client, found.endpoints)
            versions = list_versions(client, found.endpoints)
        ready = {CONSOLE.name: console is not None}
    if console:
        ready |= {**console.ready, ENVOY.name: console.envoy.get("state") == "LIVE"}
    expected = find_expected(found, console)
    live_version = console.filter_version if console else None
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
        filter_origin=expected.module if expected else None,
        filter_live=live_version == expected.version if expected and live_version else None,
        versions=versions,
        envoy=console.envoy if console else {},
        token_age_s=console.token_age_s if console else None,
        problem=None if console or not found.endpoints else "the console does not answer",
    )


def environment_of(report: StatusReport) -> tuple[tuple[str, str], ...]:
    """The URLs as shell variables."""
    return tuple(
        (f"SANDBOX_{name.upper()}_URL", report.urls[name])
        for name in (INGRESS.name, BYPASS.name, CONSOLE_PORT.name)
        if name in report.urls
    )
