"""`curl`."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sandbox.cli.app import app
from sandbox.cli.options import EngineOption
from sandbox.errors import ConfigError, PreconditionError

if TYPE_CHECKING:
    from sandbox.events import Answer

COMMON_METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
"""Taken in lower case too, as httpie does; any other word there is a method only in capitals."""


@app.command(
    epilog="Examples: sandbox curl / · sandbox curl POST /anything x-team:red -d '{\"a\": 1}' · "
    "sandbox curl -s /headers | jq · sandbox curl --bypass /"
)
def curl(
    words: Annotated[list[str], typer.Argument(metavar="[METHOD] PATH [Header:value]...", help="As httpie has them.")],
    request: Annotated[str | None, typer.Option("-X", "--request", help="The method.")] = None,
    header: Annotated[list[str] | None, typer.Option("-H", "--header", help="`Name: value`, any number.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("-d", "--data", help="The body; @FILE reads a file, @- stdin. Makes it a POST. Several are joined by &."),
    ] = None,
    head: Annotated[bool, typer.Option("-I", "--head", help="Send HEAD.")] = False,
    include: Annotated[bool, typer.Option("-i", "--include", help="Head and body plain, as curl prints them.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show the request too.")] = False,
    silent: Annotated[bool, typer.Option("-s", "--silent", help="Print the body only, byte by byte.")] = False,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE|json", help="Body into FILE; `json`: all as JSON.")
    ] = None,
    bypass: Annotated[bool, typer.Option("--bypass", help="Through the listener without the filter.")] = False,
    engine: EngineOption = None,
) -> None:
    """Send a request through Envoy and see what the filter did."""
    from sandbox.session.context import open_context
    from sandbox.session.exchange import Request, exchange
    from sandbox.view.answer import render_answer, render_head
    from sandbox.view.terminal import print_json, stdout

    method, path, headers = _parse_words(words)
    headers += [_parse_header(text) for text in header or ()]
    body = b"&".join(map(_read_data, data)) if data else None
    method = request or method or ("HEAD" if head else "POST" if data else "GET")
    asked = Request(method=method.upper(), path=path, headers=tuple(headers), body=body, bypass=bypass)
    answer = exchange(open_context({"engine": engine}), asked)
    if output == "json":
        print_json(_as_json(answer))
    elif output is not None:
        _write(Path(output), answer.body)
    elif silent or include:
        sys.stdout.buffer.write((render_head(answer).encode("latin-1") if include else b"") + answer.body)
        sys.stdout.buffer.flush()
    else:
        stdout().print(render_answer(answer, verbose=verbose))


def _parse_words(words: list[str]) -> tuple[str | None, str, list[tuple[str, str]]]:
    method, rest = None, list(words)
    if len(rest) > 1 and rest[0].isalpha() and (rest[0].isupper() or rest[0] in COMMON_METHODS):
        method = rest.pop(0)
    return method, rest[0], [_parse_header(word) for word in rest[1:]]


def _parse_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ConfigError(f"{text!r} is no header", hint="write it as Name:value")
    return name.strip().lower(), value.strip()


def _read_data(data: str) -> bytes:
    if not data.startswith("@"):
        return os.fsencode(data)  # bytes that are no UTF-8 come from the shell as surrogates
    if data == "@-" and sys.stdin is None:
        raise ConfigError("there is no standard input to read the body from", hint="-d @FILE")
    if data == "@-":
        return sys.stdin.buffer.read()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {data[1:]}: {error.strerror}", hint=f"ls -l {data[1:]}") from error


def _write(path: Path, body: bytes) -> None:
    try:
        path.write_bytes(body)
    except OSError as error:
        raise PreconditionError(f"cannot write {path}: {error.strerror}", hint=f"ls -ld {path.parent}") from error


def _as_json(answer: "Answer") -> dict[str, Any]:
    import base64
    from dataclasses import asdict

    value = asdict(answer)
    value["injected"] = sorted(answer.injected)
    try:
        value["body"] = answer.body.decode()
    except UnicodeDecodeError:
        del value["body"]
        value["body_base64"] = base64.b64encode(answer.body).decode()
    return value
