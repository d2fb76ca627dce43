"""What `curl` shows: an exchange in full, or a line of it."""

from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from sandbox.events.exchange import Answer, Timing
from sandbox.observe.exchange import Exchange
from sandbox.observe.headers import Change
from sandbox.observe.origin import Line, trace_answer, trace_request
from sandbox.view.exchange import EXPLAINED, INJECTS, LOUD, NOT_EXACT, render_changes
from sandbox.view.headers import render_token
from sandbox.view.terminal import printable

_IN_FIRST_LINE = (":method", ":path", ":scheme")
_ORIGINS = {"client": "client", "envoy": "Envoy", "upstream": "upstream"}
_DONE = {"removed": "  ◀ filter took it away", "moved": "  ◀ filter moved it"}
_FILTERS = "  ◀ filter"
_ANSWERED = {"filter": "the filter answered by itself", "envoy": "Envoy answered by itself"}


def render_answer(answer: Answer) -> RenderableType:
    """The request and the head of its answer, each header with a mark that says who it is from."""
    request, token = answer.exchange.request if answer.exchange else None, answer.token
    if request and not request.before:
        request = None  # Envoy answered before any filter saw it
    parts = [Text(f"{answer.method} {printable(_target(answer))} {answer.http_version}", "bold")]
    lines = trace_request(answer.request_headers, request)
    parts += [_line(line) for line in lines if line.change or line.name not in _IN_FIRST_LINE]
    parts += [Text(), _status(answer)]
    for line in trace_answer(answer.headers, answer.exchange, around=not answer.filtered):
        parts.append(_line(line))
        if token and line.value == token.value:
            parts.append(Text.assemble(("  └ ", "dim"), render_token(token)))
            token = None
    if token:
        parts.append(Text.assemble(("token on the request: ", "dim"), render_token(token)))
    if answer.exchange and any(not change.exact for change in all_changes(answer.exchange)):
        parts.append(EXPLAINED)
    parts += [Text(f"! {printable(problem)}", "yellow") for problem in _problems(answer)]
    return Group(*parts)


def all_changes(exchange: Exchange) -> tuple[Change, ...]:
    """Of both ways."""
    return exchange.request.changes + (exchange.response.changes if exchange.response else ())


def _target(answer: Answer) -> str:
    """The path that was asked for."""
    _, _, rest = answer.url.partition("://")
    return f"/{rest.partition('/')[2]}"


def _status(answer: Answer) -> Text:
    style = "bold green" if answer.status < 400 else "bold red"
    line = Text(f"{answer.http_version} {answer.status} {printable(answer.reason)}".rstrip(), style)
    line.append(f"  ({answer.elapsed_s * 1000:.1f} ms)", "dim")
    exchange = answer.exchange
    if exchange is None:
        return line
    for change in exchange.response.changes if exchange.response else ():
        if change.name == ":status":
            line.append(f"  {change.before} → {change.after}{_FILTERS}", "bold yellow")
    if exchange.trapped:
        line.append("  ").append("THE FILTER HAS CRASHED", LOUD).append(" and Envoy answered for it")
    elif exchange.answered_by in _ANSWERED:
        line.append(f"  {_ANSWERED[exchange.answered_by]}", "yellow")
    return line


def _problems(answer: Answer) -> list[str]:
    problems = [answer.no_token_because] if answer.no_token_because else []
    if answer.unseen_because:
        problems.append(f"nobody saw what the filter did: {answer.unseen_because}")
    return problems


def _line(line: Line) -> Text:
    name, value = printable("host" if line.name == ":authority" else line.name), printable(line.value)
    if line.change is None:
        text = Text.assemble((name, "cyan"), f": {value}")
        if line.origin == "filter":
            return text.append(_FILTERS, "bold green")
        return text.append(f"  · {_ORIGINS[line.origin]}", "dim") if line.origin else text
    was = f"{printable(line.change.before or '')} → " if line.change.kind == "changed" else ""
    style = "red" if line.change.kind == "removed" else "green"
    text = Text.assemble((name, f"bold {style}"), (": ", style), (was, "dim"), (value, style))
    if not line.change.exact:
        text.append(f" {NOT_EXACT}", "yellow")
    text.append(_DONE.get(line.change.kind, _FILTERS), f"bold {style}")
    return text.append("  ").append(INJECTS, LOUD) if line.change.injects else text


def render_timing(timing: Timing, *, filtered: bool) -> Text:
    """Where the time went, on one line."""
    text = Text(f"{timing.total_s * 1000:.1f} ms", "dim")
    if timing.client_s is not None and timing.envoy_s is not None:
        inside = "filter and Envoy" if filtered else "Envoy"
        text.append(f": client {timing.client_s * 1000:.1f} · {inside} {timing.envoy_s * 1000:.1f}")
        text.append(f" · upstream {timing.upstream_s * 1000:.1f}" if timing.upstream_s is not None else "")
    return text


def render_details(timing: Timing) -> Text:
    """What Envoy's log says of who answered, and why."""
    said = "its log did not say in time" if timing.details is None else timing.details or "nothing, as for a filter's own answer"
    return Text(f"Envoy: {printable(said)}", "dim")


def render_short(number: int, answer: Answer, timing: Timing) -> Text:
    """One of several, on one line."""
    text = Text.assemble((f"{number:>4} ", "dim"), (str(answer.status), "green" if answer.status < 400 else "red"))
    text.append(f" {timing.total_s * 1000:>8.1f} ms")
    if answer.exchange is None:
        return text
    for arrow, way in (("→", answer.exchange.request), ("←", answer.exchange.response)):
        if way and way.changes:
            text.append(f"  {arrow} ", "dim").append(render_changes(way.changes))
    return text.append("  ").append("CRASHED", LOUD) if answer.exchange.trapped else text


def render_head(answer: Answer) -> bytes:
    """Status line and headers as curl's -i prints them: unmarked."""
    lines = [f"{answer.http_version} {answer.status} {answer.reason}".rstrip()]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    return b"".join(_encode(line) + b"\r\n" for line in (*lines, ""))


def _encode(line: str) -> bytes:
    """The bytes that it came as."""
    return line.encode(errors="surrogateescape")


def render_summary(seen: Sequence[tuple[Answer, Timing]]) -> Text:
    """What several answers have in common, and how long they took."""
    times_ms = sorted(timing.total_s * 1000 for _, timing in seen)
    counts = Counter(answer.status for answer, _ in seen)
    tokens = {answer.token.value for answer, _ in seen if answer.token}
    text = Text(f"{len(seen)} requests: " + ", ".join(f"{status} ×{count}" for status, count in sorted(counts.items())))
    text.append(f" · {times_ms[0]:.1f} / {median(times_ms):.1f} / {times_ms[-1]:.1f} ms (least, median, most)")
    return text.append(f" · {len(tokens)} different token{'' if len(tokens) == 1 else 's'}")


def answer_as_json(answer: Answer, body: bytes, timing: Timing) -> dict[str, Any]:
    """All of it for JSON; a body that is no text is in base64."""
    value = asdict(answer)
    value["timing"] = asdict(timing)
    try:
        value["body"] = body.decode()
    except UnicodeDecodeError:
        value["body_base64"] = b64encode(body).decode()
    return value
