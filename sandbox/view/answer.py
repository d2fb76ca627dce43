"""What `curl` shows."""

import contextlib
import json
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from sandbox.events import Answer
from sandbox.observe.headers import Headers
from sandbox.view.headers import render_token, shorten
from sandbox.view.terminal import printable

MARK = "◀ filter"
WIDTH = 96


def render_answer(answer: Answer, *, verbose: bool) -> RenderableType:
    """Status, headers with the filter's marked, the token decoded, the body."""
    parts: list[Text] = []
    if verbose:
        parts += [Text(f"> {answer.method} {answer.url}", "dim"), *_plain(answer.request_headers, "> "), Text()]
    style = "green" if answer.status < 400 else "red"
    parts.append(Text(f"{answer.http_version} {answer.status} {answer.reason}  ({answer.elapsed_s * 1000:.1f} ms)", style))
    for name, value in answer.headers:
        parts.append(_header(name, value, mark=name in answer.injected))
        if answer.token and value == answer.token.value:
            parts.append(Text.assemble(("  └ ", "dim"), render_token(answer.token)))
    if answer.no_token_because:
        parts.append(Text(f"! {printable(answer.no_token_because)}", "yellow"))
    return Group(*parts, Text(), _body(answer)) if answer.body else Group(*parts)


def _plain(headers: Headers, prefix: str) -> list[Text]:
    return [Text(f"{prefix}{name}: {printable(shorten(value))}", "dim") for name, value in headers]


def _header(name: str, value: str, *, mark: bool) -> Text:
    if not mark:
        return Text.assemble((name, "cyan"), f": {printable(value)}")
    return Text.assemble((name, "bold green"), (f": {printable(shorten(value))}", "green"), (f"  {MARK}", "bold green"))


def _body(answer: Answer) -> Text:
    try:
        text = answer.body.decode()
    except UnicodeDecodeError:
        return Text(f"[{len(answer.body)} bytes, not text: use -s or -o FILE]", "dim")
    with contextlib.suppress(ValueError):
        text = _render_json(json.loads(text), 0)
    return Text("\n".join(printable(line) for line in text.splitlines()))


def _render_json(value: Any, depth: int) -> str:
    """JSON with each list and object on one line where it fits."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + 2 * depth <= WIDTH or not isinstance(value, dict | list) or not value:
        return line
    pad = "  " * (depth + 1)
    if isinstance(value, dict):
        opening, closing = "{}"
        items = [f"{json.dumps(key, ensure_ascii=False)}: {_render_json(item, depth + 1)}" for key, item in value.items()]
    else:
        opening, closing = "[]"
        items = [_render_json(item, depth + 1) for item in value]
    return f"{opening}\n{pad}" + f",\n{pad}".join(items) + f"\n{'  ' * depth}{closing}"


def render_head(answer: Answer) -> str:
    """Status line and headers as curl's -i prints them: unmarked, unshortened."""
    lines = [f"{answer.http_version} {answer.status} {answer.reason}".rstrip()]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    return "\r\n".join(lines) + "\r\n\r\n"
