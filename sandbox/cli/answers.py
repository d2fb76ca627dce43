"""What `curl` prints: a function for each way of printing. Each returns the highest status that was seen."""

import sys
from collections.abc import Iterator
from pathlib import Path

from sandbox.errors import PreconditionError
from sandbox.events.exchange import Answer, Piece, Timing
from sandbox.observe.redact import redact_json
from sandbox.session.context import Context
from sandbox.session.exchange import Request, send_both_ways
from sandbox.view.answer import (
    answer_as_json,
    render_answer,
    render_details,
    render_head,
    render_short,
    render_summary,
    render_timing,
)
from sandbox.view.body import BodyView, PlainBody
from sandbox.view.comparison import render_comparison
from sandbox.view.hide import hide_answer
from sandbox.view.terminal import print_json, stdout

Records = Iterator[Answer | Piece | Timing]


def print_full(records: Records, *, verbose: bool, secrets: bool) -> int:
    """The exchange in full: head with marks, body, timing."""
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


def print_short(records: Records, *, secrets: bool) -> int:
    """A line for each, and what they have in common."""
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


def print_plain(records: Records, *, include: bool, secrets: bool) -> int:
    """As curl prints it, but for tokens."""
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


def print_as_json(records: Records, *, secrets: bool) -> int:
    """An object for each."""
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


def write_body(records: Records, path: Path) -> int:
    """The body into a file, byte by byte.

    Raises: PreconditionError when it can't be written.
    """
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


def print_difference(context: Context, asked: Request, *, secrets: bool) -> None:
    """What differs with and without the filter."""
    sides: list[tuple[Answer, bytes]] = []
    for records in send_both_ways(context, asked):
        answer = next(record for record in reversed(records) if isinstance(record, Answer))
        sides.append((answer, b"".join(record.data for record in records if isinstance(record, Piece))))
    (filtered, filtered_body), (around, around_body) = sides
    stdout().print(render_comparison(filtered, filtered_body, around, around_body, secrets=secrets))
