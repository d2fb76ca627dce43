"""`curl`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli.app import app
from sandbox.cli.options import EngineOption
from sandbox.cli.words import parse_header, parse_words, read_data
from sandbox.errors import ConfigError, PreconditionError

if TYPE_CHECKING:
    from sandbox.events import Answer, Piece, Timing
    from sandbox.session.context import Context
    from sandbox.session.exchange import Request

    Records = Iterator[Answer | Piece | Timing]

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
        _show_difference(context, asked, secrets=show_secrets)
        return
    records = send(context, asked, repeat=repeat)
    if output == "json":
        worst = _print_json(records, secrets=show_secrets)
    elif file is not None:
        worst = _write(records, Path(file))
    elif plain:
        worst = _print_plain(records, include=include, secrets=show_secrets)
    elif repeat > 1:
        worst = _print_short(records, secrets=show_secrets)
    else:
        worst = _print_full(records, verbose=verbose, secrets=show_secrets)
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


def _print_full(records: "Records", *, verbose: bool, secrets: bool) -> int:
    from sandbox.events import Answer, Piece, Timing
    from sandbox.view.answer import render_answer, render_details, render_timing
    from sandbox.view.body import BodyView
    from sandbox.view.hide import hide_answer
    from sandbox.view.terminal import stdout

    console, body, worst, filtered, began = stdout(), BodyView("", secrets=secrets), 0, True, False
    for record in records:
        text = None
        match record:
            case Answer():
                worst, filtered = max(worst, record.status), record.filtered
                body = BodyView(dict(record.headers).get("content-type", ""), secrets=secrets)
                console.print(render_answer(record if secrets else hide_answer(record)))
                console.print()
            case Piece():
                text = body.feed(record.data)
            case Timing():
                text = body.end()
        if text is not None:
            console.print(text)
            began = True
        if isinstance(record, Timing):
            if began:
                console.print()
            console.print(render_timing(record, filtered=filtered))
            if verbose:
                console.print(render_details(record))
    return worst


def _print_short(records: "Records", *, secrets: bool) -> int:
    """A line for each, and what they have in common."""
    from sandbox.events import Answer, Timing
    from sandbox.view.answer import render_short, render_summary
    from sandbox.view.hide import hide_answer
    from sandbox.view.terminal import stdout

    console = stdout()
    seen: list[tuple[Answer, Timing]] = []
    answer = None
    for record in records:
        if isinstance(record, Answer):
            answer = record
        elif isinstance(record, Timing) and answer:
            seen.append((answer, record))
            console.print(render_short(len(seen), answer if secrets else hide_answer(answer), record))
    console.print(render_summary(seen))
    return max(answer.status for answer, _ in seen)


def _print_plain(records: "Records", *, include: bool, secrets: bool) -> int:
    """As curl prints it, but for tokens."""
    from sandbox.events import Answer, Piece
    from sandbox.view.answer import render_head
    from sandbox.view.body import PlainBody
    from sandbox.view.hide import hide_answer

    out, body, worst = sys.stdout.buffer, PlainBody(secrets=secrets), 0
    for record in records:
        if isinstance(record, Answer):
            worst = max(worst, record.status)
            if include:
                out.write(render_head(record if secrets else hide_answer(record)))
        else:
            out.write(body.feed(record.data) if isinstance(record, Piece) else body.end())
        out.flush()
    return worst


def _print_json(records: "Records", *, secrets: bool) -> int:
    """An object for each."""
    from sandbox.events import Answer, Piece, Timing
    from sandbox.observe.redact import redact_json
    from sandbox.view.answer import answer_as_json
    from sandbox.view.hide import hide_answer
    from sandbox.view.terminal import print_json

    answer, body, worst = None, b"", 0
    for record in records:
        match record:
            case Answer():
                answer, body, worst = record, b"", max(worst, record.status)
            case Piece():
                body += record.data
            case Timing() if answer:
                value = answer_as_json(answer if secrets else hide_answer(answer), body, record)
                print_json(value if secrets else redact_json(value))
    return worst


def _write(records: "Records", path: Path) -> int:
    from sandbox.events import Answer, Piece

    worst = 0
    try:
        with path.open("wb") as file:
            for record in records:
                if isinstance(record, Answer):
                    worst = max(worst, record.status)
                elif isinstance(record, Piece):
                    file.write(record.data)
    except OSError as error:
        raise PreconditionError(f"cannot write {path}: {error.strerror}", hint=f"ls -ld {path.parent}") from error
    return worst


def _show_difference(context: "Context", asked: "Request", *, secrets: bool) -> None:
    from sandbox.events import Answer, Piece
    from sandbox.session.exchange import send_both_ways
    from sandbox.view.comparison import render_comparison
    from sandbox.view.terminal import stdout

    sides: list[tuple[Answer, bytes]] = []
    for records in send_both_ways(context, asked):
        answer = next(record for record in reversed(records) if isinstance(record, Answer))
        sides.append((answer, b"".join(record.data for record in records if isinstance(record, Piece))))
    (filtered, filtered_body), (around, around_body) = sides
    stdout().print(render_comparison(filtered, filtered_body, around, around_body, secrets=secrets))


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
