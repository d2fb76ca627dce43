"""The log lines of both services: one event is one plain line."""

import logging
import re
import sys

import pytest

from services.serving.logs import LineFormatter

FORMATTERS = {name: LineFormatter(name) for name in ("jwt-api", "upstream")}


def record(message: str, *args: object, **facts: object) -> logging.LogRecord:
    return logging.makeLogRecord({"levelname": "INFO", "msg": message, "args": args, **facts})


@pytest.mark.parametrize("name", FORMATTERS)
def test_a_line_has_time_level_service_and_message(name: str) -> None:
    line = FORMATTERS[name].format(record("made %s", "it", created=1795378501.123, msecs=123.4))
    assert line == f"2026-11-22T20:15:01.123Z INFO {name} made it"


@pytest.mark.parametrize("name", FORMATTERS)
def test_foreign_text_stays_in_its_line(name: str) -> None:
    line = FORMATTERS[name].format(record("%s", "a\r\nb\x1b[31m\x85\u2028c"))
    assert line.endswith("a\\x0d\\x0ab\\x1b[31m\\x85\\u2028c")
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("name", FORMATTERS)
def test_a_traceback_is_one_line(name: str) -> None:
    try:
        raise ValueError("no\nway")
    except ValueError:
        line = FORMATTERS[name].format(record("failed", exc_info=sys.exc_info()))
    assert len(line.splitlines()) == 1
    assert re.search(r"failed: Traceback .*ValueError: no\\x0away$", line)
