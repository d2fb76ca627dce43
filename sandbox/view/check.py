"""The findings about a module, one a line, and what follows from them."""

from rich.text import Text

from sandbox.toolchain.check.report import Finding, ModuleReport
from sandbox.view.terminal import printable

_MARKS = {"ok": ("✔", "green"), "warning": ("!", "yellow"), "refused": ("✘", "bold red")}
_WIDTH = len("host calls")


def render_report(report: ModuleReport) -> Text:
    """The findings, then whether Envoy would take it."""
    lines = [_render_finding(finding) for finding in report.findings]
    return Text("\n").join([*lines, _render_verdict(report)])


def _render_finding(finding: Finding) -> Text:
    mark, style = _MARKS[finding.level]
    text = Text.assemble((f"{mark} ", style), (f"{finding.topic:<{_WIDTH}}", "bold"), f"  {printable(finding.text)}")
    if finding.fix:
        text.append(f"\n  {'':<{_WIDTH}}  → {printable(finding.fix)}")
    return text


def _render_verdict(report: ModuleReport) -> Text:
    others = [version for version in report.accepted_by if version != report.envoy]
    if report.level == "refused":
        text = Text(f"Envoy {report.envoy} would refuse it", "bold red")
        return text.append(f"; nothing speaks against it in {', '.join(others)}", "not bold") if others else text
    text = Text(f"nothing speaks against it in Envoy {report.envoy}", "bold")
    return text.append(f", nor in {', '.join(others)}", "not bold") if others else text
