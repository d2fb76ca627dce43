"""`curl`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli.app import app
from sandbox.cli.options import EngineOption
from sandbox.cli.words import parse_header, parse_words, read_data
from sandbox.errors import ConfigError

if TYPE_CHECKING:
    from sandbox.session.exchange import Request

CHECK_FAILED = 7


@app.command(
    epilog="Examples: sandbox curl / · sandbox curl POST /anything x-team:red -d '{\"a\": 1}' · "
    "sandbox curl -s /headers | jq · sandbox curl --diff / · sandbox curl --repeat 20 /"
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
    location: Annotated[bool, typer.Option("-L", "--location", help="Follow redirects, as far as they stay here.")] = False,
    include: Annotated[bool, typer.Option("-i", "--include", help="Head and body plain, as curl prints them.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Also what Envoy's log says of it.")] = False,
    silent: Annotated[bool, typer.Option("-s", "--silent", help="Print the body only.")] = False,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE|json", help="Body into FILE; `json`: all as JSON.")
    ] = None,
    bypass: Annotated[bool, typer.Option("--bypass", help="Through the listener without the filter.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Send it both ways and show what differs.")] = False,
    repeat: Annotated[int, typer.Option("--repeat", min=1, metavar="N", help="Send it N times, a line each.")] = 1,
    check_status: Annotated[bool, typer.Option("--check-status", help="Exit with 7 for a status of 400 or more.")] = False,
    as_curl: Annotated[bool, typer.Option("--as-curl", help="Print the command for curl, and send nothing.")] = False,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Print tokens in full.")] = False,
    engine: EngineOption = None,
) -> None:
    """Send a request through Envoy and see what the filter did."""
    from sandbox.cli import answers
    from sandbox.session.context import open_context
    from sandbox.session.exchange import Request, find_url, send

    method, path, headers = parse_words(words)
    headers += [parse_header(text) for text in header or ()]
    body = b"&".join(map(read_data, data)) if data else None
    method = (request or method or ("HEAD" if head else "POST" if data else "GET")).upper()
    file = output if output != "json" else None
    given = {
        "--as-curl": as_curl,
        "--diff": diff,
        "-o json": output == "json",
        "-o FILE": file is not None,
        "-s": silent,
        "-i": include,
        "--repeat": repeat > 1,
        "-v": verbose,
        "--bypass": bypass,
        "--check-status": check_status,
    }
    _check_modes([name for name, there in given.items() if there])
    include = include or (silent and head)
    plain = silent or include or file is not None
    asked = Request(
        method=method, path=path, headers=tuple(headers), body=body, bypass=bypass, follow=location, look=not (plain or diff)
    )
    context = open_context({"engine": engine})
    if as_curl:
        sys.stdout.write(_as_curl(asked, find_url(context, asked)) + "\n")
        return
    if diff:
        answers.print_difference(context, asked, secrets=show_secrets)
        return
    records = send(context, asked, repeat=repeat)
    if output == "json":
        worst = answers.print_as_json(records, secrets=show_secrets)
    elif file is not None:
        worst = answers.write_body(records, Path(file))
    elif plain:
        worst = answers.print_plain(records, include=include, secrets=show_secrets)
    elif repeat > 1:
        worst = answers.print_short(records, secrets=show_secrets)
    else:
        worst = answers.print_full(records, verbose=verbose, secrets=show_secrets)
    if check_status and worst >= 400:
        raise typer.Exit(CHECK_FAILED)


_GO_TOGETHER: dict[str, tuple[str, ...]] = {
    "--as-curl": ("--bypass",),
    "--diff": (),
    "-o json": ("-s", "--repeat", "--bypass", "--check-status"),
    "-o FILE": ("-s", "--bypass", "--check-status"),
    "-s": ("-i", "--repeat", "--bypass", "--check-status"),
    "-i": ("--repeat", "--bypass", "--check-status"),
    "--repeat": ("--bypass", "--check-status"),
    "-v": ("--bypass", "--check-status"),
}
"""What is printed is decided by the first of these that is given, and what else may be said then."""


def _check_modes(given: list[str]) -> None:
    mode = next((name for name in _GO_TOGETHER if name in given), None)
    for name in given:
        if mode and name != mode and name not in _GO_TOGETHER[mode]:
            raise ConfigError(f"{mode} and {name} do not go together", hint="sandbox curl --help")


def _as_curl(asked: "Request", url: str) -> str:
    import shlex

    words = ["curl", "-gi", "-A", "sandbox-curl"]
    if asked.method == "HEAD":
        words[1] = "-gI"
    elif asked.method != ("POST" if asked.body is not None else "GET"):
        words += ["-X", asked.method]
    words += ["-L"] if asked.follow else []
    for name, value in asked.headers:
        words += ["-H", f"{name}: {value}" if value else f"{name};"]
    if asked.body is not None:
        if all(name != "content-type" for name, _ in asked.headers):
            words += ["-H", "content-type:"]
        words += ["--data-raw", asked.body.decode(errors="surrogateescape")]
    return " ".join(shlex.quote(word) for word in (*words, url))
