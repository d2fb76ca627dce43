"""What `curl` shows."""

import contextlib
import json

from rich.console import Group, RenderableType
from rich.text import Text

from sandbox.events import Answer, Headers
from sandbox.view.headers import render_token, shorten
from sandbox.view.terminal import printable

MARK = "◀ filter"


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
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return Text("\n".join(printable(line) for line in text.splitlines()))


def render_head(answer: Answer) -> str:
    """Status line and headers as curl's -i prints them: unmarked, unshortened."""
    lines = [f"{answer.http_version} {answer.status} {answer.reason}".rstrip()]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    return "\r\n".join(lines) + "\r\n\r\n"
