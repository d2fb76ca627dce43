"""The report of `status`."""

import time

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sandbox.events.status import ServiceStatus, StatusReport
from sandbox.stack import shorten
from sandbox.view.terminal import printable


def render_status(report: StatusReport) -> RenderableType:
    """A table of services, then the filter and the token."""
    if report.phase == "stopped":
        return Text("not running; start it with: sandbox up")
    if report.crashed_at is not None:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report.crashed_at))
        return Text(f"crashed at {when}; start it again with: sandbox up", style="red")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("SERVICE", "STATE", "READY", "PID", "UPTIME", "RESTARTS", "PORTS"):
        table.add_column(column)
    for service in report.services:
        table.add_row(*_cells(service))
    return Group(table, Text(), *_facts(report), *_earlier(report))


def _cells(service: ServiceStatus) -> tuple[Text | str, ...]:
    ready = {True: Text("yes", "green"), False: Text("no", "red"), None: Text("?", "yellow")}[service.ready]
    state = Text(service.state, "" if service.state == "running" else "red")
    ports = " ".join(url.rpartition(":")[2] for url in service.urls.values())
    return (service.name, state, ready, str(service.pid or "-"), _span(service.uptime_s), str(service.restarts), ports)


def _facts(report: StatusReport) -> list[Text]:
    live = {
        True: ("live in Envoy", "green"),
        False: ("NOT the one in Envoy", "bold red"),
        None: ("nobody knows whether it is live", "yellow"),
    }[report.filter_live]
    envoy = f"Envoy {report.envoy.get('version') or '?'}, {report.envoy.get('workers') or '?'} workers"
    rows = [
        ("Ingress", Text(report.urls.get("ingress", "-"))),
        ("Bypass", Text(report.urls.get("bypass", "-"))),
        ("Console", Text(report.urls.get("console", "-"))),
        ("Engine", Text(f"{report.engine}, {envoy}")),
        ("Filter", Text.assemble(f"{report.filter_sha256}  ", printable(report.filter_origin or ""), "  ", live)),
        ("Token", Text(f"{report.token_age_s:.1f} s old" if report.token_age_s is not None else "none yet")),
    ]
    if report.problem:
        rows.append(("Problem", Text(printable(report.problem), "red")))
    return [Text.assemble((f"{name:<9}", "bold"), value) for name, value in rows]


def _earlier(report: StatusReport) -> list[Text]:
    """The versions that can be gone back to, the next one first."""
    lines = []
    for number, version in enumerate(reversed(report.versions[:-1])):
        when = time.strftime("%H:%M:%S", time.localtime(version.since_s))
        how = "  rollback takes a moment" if version.parked else ""
        name = f"{'Earlier' if number == 0 else '':<9}"
        text = f"{shorten(version.version)}  {printable(version.origin)}, {version.module_bytes:,} bytes, {when}"
        lines.append(Text.assemble((name, "bold"), text, (how, "dim")))
    return lines


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
