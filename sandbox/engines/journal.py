"""The log of a stack as a file: every line of every service in the order in which it was read, bounded.

One JSON array a line: `[seconds since the epoch, service, text]`.
"""

import contextlib
import itertools
import json
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from sandbox.events.stack import LogRecord
from sandbox.workspace import LOG, PREVIOUS_LOG

MAX_FILE_BYTES = 8 * 1024 * 1024
POLL_S = 0.05
STEP_BYTES = 64 * 1024


class JournalWriter:
    """Appends lines; at `MAX_FILE_BYTES` the file becomes the previous one, and the one before that is dropped.

    A full disk costs lines, not the stack: the log says how many once it can.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOG
        self._previous = folder / PREVIOUS_LOG
        for path in (self._path, self._previous):
            path.unlink(missing_ok=True)
        self._open()
        self._lost = 0
        self._torn = False

    def _open(self) -> None:
        self._file = open(self._path, "ab", buffering=0, opener=_private)  # noqa: SIM115 - a mode, and kept open
        self._size = self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def write(self, service: str, line: bytes) -> None:
        """Append a line that was read just now; bytes that are not UTF-8 become U+FFFD."""
        self.append(LogRecord(time_s=time.time(), service=service, line=line.decode(errors="replace")))

    def append(self, record: LogRecord) -> None:
        """Append a record."""
        text = _render(record)
        if self._lost:
            told = f"[sandbox] {self._lost} lines before this one were lost: the disk was full"
            text = _render(replace(record, line=told)) + text
        if self._append(text):
            self._lost = 0
        else:
            self._lost += 1

    def _append(self, record: bytes) -> bool:
        if self._torn:
            record = b"\n" + record
        try:
            if self._size + len(record) > MAX_FILE_BYTES:
                with contextlib.suppress(FileNotFoundError):
                    self._path.replace(self._previous)
                self._file.close()
                self._open()
            written = self._file.write(record)
        except (OSError, ValueError):  # ValueError: a new file could not be opened
            return False
        self._size += written
        self._torn = written < len(record)
        return not self._torn


def _render(record: LogRecord) -> bytes:
    return json.dumps([round(record.time_s, 6), record.service, record.line]).encode() + b"\n"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def read_journal(
    folder: Path,
    *,
    wanted: Callable[[LogRecord], bool],
    tail: int | None,
    while_: Callable[[], bool] | None,
    since_s: float | None = None,
    containing: Collection[str] = (),
) -> Iterator[LogRecord]:
    """The `wanted` records, at most the last `tail`; then, as long as `while_` says so, what is written from there on.

    Passed over unread, as far as that is quick: what was written before `since_s` (epoch, UTC), and where `containing` is given,
    records with none of these texts.
    """
    with contextlib.closing(_Reader(folder, since_s, tuple(map(_written, containing)))) as reader:
        yield from _read(reader, wanted, tail, while_)


def _written(text: str) -> bytes:
    return json.dumps(text)[1:-1].encode()


def _read(
    reader: "_Reader", wanted: Callable[[LogRecord], bool], tail: int | None, while_: Callable[[], bool] | None
) -> Iterator[LogRecord]:
    past = filter(wanted, itertools.chain(reader.previous(), iter(reader.next, None)))
    yield from past if tail is None else deque(past, maxlen=tail)
    while while_ is not None:
        alive = while_()
        news = list(filter(wanted, iter(reader.next, None)))
        yield from news
        if not news:
            if not alive:
                return
            time.sleep(POLL_S)


class _Reader:
    """Reads the current file to its end, again and again, and follows it when the writer begins a new one."""

    def __init__(self, folder: Path, since_s: float | None, containing: tuple[bytes, ...]) -> None:
        self._path = folder / LOG
        self._previous = folder / PREVIOUS_LOG
        self._since_s = since_s
        self._containing = containing
        self._file: BinaryIO | None = None
        self._rest = b""

    def close(self) -> None:
        """Close the current file."""
        if self._file:
            self._file.close()

    def previous(self) -> Iterator[LogRecord]:
        """What stands in the file before the current one."""
        with contextlib.suppress(FileNotFoundError), self._previous.open("rb") as file:
            self._skip(file)
            yield from filter(None, map(self._parse, file))

    def next(self) -> LogRecord | None:
        """The next whole record, or None when there is none yet."""
        while True:
            if self._file is None:
                try:
                    self._file = self._path.open("rb")
                except FileNotFoundError:
                    return None
                self._skip(self._file)
            line = self._rest + self._file.readline()
            if line.endswith(b"\n"):
                self._rest = b""
                record = self._parse(line)
                if record:
                    return record
                continue
            self._rest = line
            try:
                if os.path.samestat(self._path.stat(), os.fstat(self._file.fileno())):
                    return None
            except FileNotFoundError:
                return None
            self._file.close()
            self._file, self._rest = None, b""

    def _parse(self, line: bytes) -> LogRecord | None:
        if self._containing and not any(text in line for text in self._containing):
            return None
        return _parse(line)

    def _skip(self, file: BinaryIO) -> None:
        """Go to where the reading has to begin: not before the last line that is known to be too old."""
        place = self._since_s and file.seek(0, os.SEEK_END)
        while place:
            place = max(place - STEP_BYTES, 0)
            file.seek(place)
            begun = len(file.readline()) if place else 0
            time_s = _time_of(file.readline())
            if time_s is not None and time_s < (self._since_s or 0.0):
                place += begun
                break
        file.seek(place or 0)


def _parse(line: bytes) -> LogRecord | None:
    """None for a line that is not whole: the disk was full, or the writer was killed in it."""
    try:
        time_s, service, text = json.loads(line)
        return LogRecord(time_s=float(time_s), service=str(service), line=str(text))
    except (ValueError, TypeError):
        return None


def _time_of(line: bytes) -> float | None:
    try:
        return float(line[1 : line.index(b",")])
    except ValueError:
        return None
