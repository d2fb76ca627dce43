"""`logs`: the lines of the stack, chosen, and the filter's crashes put together."""

import itertools
import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sandbox.engines.base import Engine
from sandbox.errors import ConfigError, StackError
from sandbox.events.stack import LogRecord
from sandbox.observe.panic import Block, PanicAssembler, can_be_of_panic
from sandbox.observe.service_log import parse_line
from sandbox.session.context import Context
from sandbox.session.line_choice import Entry, LineChoice
from sandbox.session.names import check_services
from sandbox.session.pauses import with_pauses
from sandbox.session.policy import read_policy
from sandbox.session.since import parse_since
from sandbox.stack import ENVOY

LINES_A_CRASH = 64
"""How many lines to ask for where one entry is wanted: it may be a crash, of some 40 or 70."""
LINES_A_LONG_CRASH = 1000
"""And once more, where one can't ask again."""
QUIET_S = 0.25
"""After a pause of this length what there was has been read, and what comes is new."""


def read_logs(
    context: Context, services: tuple[str, ...], choice: LineChoice, *, since: str | None, tail: int | None, follow: bool
) -> Iterator[Entry]:
    """The entries of these services, at most the last `tail`; `since` is a span (`90s`, `5m`) or a time (ISO 8601).

    Raises: ConfigError; StackError when there is no log.
    """
    wanted = check_services(services)
    now_s = time.time()
    since_s = None if since is None else parse_since(since, now_s=now_s)
    if not os.path.exists(context.state.logs):  # noqa: PTH110 - before Python 3.14 the method raises in a closed folder
        raise StackError("there are no logs: nothing has run yet", hint="sandbox up")
    if choice.only_filter and wanted and ENVOY.name not in wanted:
        raise ConfigError(f"the filter writes nothing into the log of {', '.join(wanted)}", hint="sandbox logs --filter")
    asked = _Asked(
        engine=context.engine,
        services=(ENVOY.name,) if choice.only_filter else wanted,
        since_s=since_s,
        choice=choice,
    )
    if follow:
        found = _follow(asked, tail, now_s)
    elif tail is None:
        found = _choose(asked.records(None, follow=False), choice)
    else:
        found = _last(asked, tail)
    return _with_policy(context, found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    engine: Engine
    services: tuple[str, ...]
    since_s: float | None
    choice: LineChoice

    def records(self, tail: int | None, *, follow: bool) -> Iterator[LogRecord]:
        """What the choice needs of the log."""
        return self.engine.logs(services=self.services, since_s=self.since_s, tail=tail, follow=follow, matching=self._matters)

    def _matters(self, record: LogRecord) -> bool:
        if record.service == ENVOY.name and can_be_of_panic(parse_line(record.service, record.line)):
            return True
        return self.choice.takes(record)


def _last(asked: _Asked, tail: int) -> Iterator[Entry]:
    """The last entries: of few lines where these are enough."""
    for lines in (tail * LINES_A_CRASH, None) if tail else (0,):
        seen = itertools.count()
        records = (record for record, _ in zip(asked.records(lines, follow=False), seen, strict=False))
        found = deque(_choose(records, asked.choice), maxlen=tail)
        # A crash of one line may be the end of one whose beginning was not asked for.
        is_whole = len(found) == tail and not any(isinstance(entry, Block) and len(entry.items) == 1 for entry in found)
        if is_whole or lines is None or next(seen) < lines:
            break
    yield from found


def _follow(asked: _Asked, tail: int | None, begun_s: float) -> Iterator[Entry]:
    """What there is, and then what comes."""
    if not tail:
        yield from _choose_live(asked.records(tail, follow=True), asked.choice)
        return
    lines = None if asked.choice.is_narrow else tail * LINES_A_CRASH + LINES_A_LONG_CRASH
    yield from _choose_live(asked.records(lines, follow=True), asked.choice, tail=tail, begun_s=begun_s)


def _choose(records: Iterator[LogRecord], choice: LineChoice) -> Iterator[Entry]:
    assembler: PanicAssembler[LogRecord] = PanicAssembler()
    for record in records:
        yield from filter(choice.takes, _feed(assembler, record, 0.0))
    yield from filter(choice.takes, assembler.finish())


def _choose_live(
    records: Iterator[LogRecord], choice: LineChoice, *, tail: int | None = None, begun_s: float = 0.0
) -> Iterator[Entry]:
    """With `tail`: only the last ones of what was written before `begun_s`."""
    assembler: PanicAssembler[LogRecord] = PanicAssembler()
    kept: deque[Entry] | None = None if tail is None else deque(maxlen=tail)
    is_read = False

    def wait_s() -> float | None:
        if kept is not None and is_read:
            return QUIET_S
        return assembler.wait_s(time.monotonic())

    for record in with_pauses(records, wait_s):
        now_s = time.monotonic()
        entries = assembler.expire(now_s) if record is None else _feed(assembler, record, now_s)
        is_read = True
        if kept is not None and (record is None or record.time_s >= begun_s):
            yield from kept
            kept = None
        chosen = filter(choice.takes, entries)
        if kept is None:
            yield from chosen
        else:
            kept.extend(chosen)
    yield from kept or ()
    yield from filter(choice.takes, assembler.finish())


def _feed(assembler: PanicAssembler[LogRecord], record: LogRecord, now_s: float) -> list[Entry]:
    if record.service != ENVOY.name:
        return [record]
    return assembler.feed(record, parse_line(record.service, record.line), now_s)


def _with_policy(context: Context, entries: Iterator[Entry]) -> Iterator[Entry]:
    for entry in entries:
        if isinstance(entry, Block) and not entry.panic.at_start:
            yield replace(entry, policy=read_policy(context))
        else:
            yield entry
