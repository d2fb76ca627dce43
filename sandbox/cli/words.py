"""What was typed after `curl`, as a request: httpie's words and curl's options."""

import os
import sys
from pathlib import Path

from sandbox.errors import ConfigError

COMMON_METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
"""Taken in lower case too, as httpie does; any other word there is a method only in capitals."""


def parse_words(words: list[str]) -> tuple[str | None, str, list[tuple[str, str]]]:
    """Method, path and headers.

    Raises: ConfigError.
    """
    method, rest = None, list(words)
    if len(rest) > 1 and rest[0].isalpha() and (rest[0].isupper() or rest[0] in COMMON_METHODS):
        method = rest.pop(0)
    return method, rest[0], [parse_header(word) for word in rest[1:]]


def parse_header(text: str) -> tuple[str, str]:
    """Name and value of `Name:value`.

    Raises: ConfigError.
    """
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ConfigError(f"{text!r} is no header", hint="write it as Name:value")
    return name.strip().lower(), value.strip()


def read_data(data: str) -> bytes:
    """The body that `-d` names: itself, `@FILE`, or `@-` for standard input.

    Raises: ConfigError.
    """
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
