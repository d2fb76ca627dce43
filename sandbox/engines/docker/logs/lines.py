"""Docker's log of one container: its bytes as lines, and how far it was read. No I/O.

Each message is a frame (which output, how long) that begins with a time. A line longer than 16 KiB is several messages of the
same time, of which only the last ends with a line feed; messages of the other output can stand between them.

Source: docs.docker.com/reference/api/engine, ContainerAttach (frames); moby 26.1, daemon/logger/copier.go (parts).
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

MAX_LINE_BYTES = 16 * 1024
"""As the local engine cuts them; Docker's parts are as long."""
OVERLAP_NS = 1_000_000_000
"""How far the two outputs of a container may be out of step: Docker reads, and times, each by itself."""
COMPLAINT = 3
"""The output on which the engine itself says that it cannot read the log; without a time."""

_HEADER = struct.Struct(">BxxxL")
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d) ")
_MAX_STAMP_BYTES = 64


@dataclass(frozen=True, slots=True)
class Line:
    """`ns` is nanoseconds since the epoch, `output` 1 for stdout and 2 for stderr."""

    ns: int
    output: int
    text: bytes


class _Open:
    """A line whose end has not come yet; its text is kept up to `MAX_LINE_BYTES`."""

    __slots__ = ("cut", "ns", "text")

    def __init__(self, ns: int) -> None:
        self.ns = ns
        self.text = b""
        self.cut = 0

    def add(self, piece: bytes) -> None:
        kept = piece[: MAX_LINE_BYTES - len(self.text)]
        self.text += kept
        self.cut += len(piece) - len(kept)

    def close(self, output: int) -> Line:
        return Line(self.ns, output, self.text + f" … {self.cut} bytes cut".encode() if self.cut else self.text)


class LineReader:
    """Takes bytes as they come and gives whole lines; holds no more than one line of each output, and a few bytes."""

    def __init__(self) -> None:
        self.messages = 0
        self._rest = b""
        self._output = 0
        self._left = 0
        self._is_begun = False
        self._open: dict[int, _Open] = {}
        self._last_ns = 0

    @property
    def open_since_ns(self) -> int | None:
        """The time of the oldest line that has no end yet."""
        return min((line.ns for line in self._open.values()), default=None)

    def feed(self, data: bytes) -> Iterator[Line]:
        """The lines that these bytes complete."""
        data, at = self._rest + data, 0
        while True:
            if not self._left:
                if len(data) - at < _HEADER.size:
                    break
                self._output, self._left = _HEADER.unpack_from(data, at)
                self._is_begun = False
                at += _HEADER.size
            here = min(self._left, len(data) - at)
            if here < self._left and here < (1 if self._is_begun else _MAX_STAMP_BYTES):
                break
            self._left -= here
            yield from self._take(data[at : at + here])
            at += here
        self._rest = data[at:]

    def finish(self) -> Iterator[Line]:
        """The lines that got no end, because their writer ended in them."""
        for output, line in self._open.items():
            yield line.close(output)
        self._open.clear()

    def _take(self, piece: bytes) -> Iterator[Line]:
        """A message, or what is there of one."""
        output, is_whole = self._output, not self._left
        if not self._is_begun:
            self._is_begun = True
            self.messages += 1
            ns, start = self._stamp(piece)
            line = self._open.pop(output, None)
            if line and line.ns != ns:
                yield line.close(output)
                line = None
            piece = piece[start:]
            if line is None and is_whole and len(piece) <= MAX_LINE_BYTES and piece.endswith(b"\n"):
                yield Line(ns, output, piece[:-1])
                return
            self._open[output] = line or _Open(ns)
        if is_whole and piece.endswith(b"\n"):
            line = self._open.pop(output)
            line.add(piece[:-1])
            yield line.close(output)
        else:
            self._open[output].add(piece)

    def _stamp(self, piece: bytes) -> tuple[int, int]:
        """The message's time, and where its text begins; without a time of its own that of the message before it."""
        match = _STAMP.match(piece)
        if match is None:
            return self._last_ns, 0
        moment, fraction, zone = match.groups()
        self._last_ns = _seconds(moment, zone) * 1_000_000_000 + int((fraction or b"").ljust(9, b"0"))
        return self._last_ns, match.end()


@lru_cache(maxsize=64)
def _seconds(moment: bytes, zone: bytes) -> int:
    """Seconds since the epoch; 0 for a day that is none."""
    try:
        return int(datetime.fromisoformat((moment + zone).decode()).timestamp())
    except ValueError:
        return 0


class Position:
    """How far the log of one container was read: of each output the time of its last line, and how many lines had that time.

    Within one output times do not go back, so this tells what is new when the log is asked for again: after the engine or
    the container was restarted, or because what comes is to be followed.
    """

    def __init__(self, from_ns: int = 0) -> None:
        self._from_ns = from_ns
        self._seen: dict[int, tuple[int, int]] = {}
        self._open_since_ns: int | None = None

    @property
    def since_ns(self) -> int:
        """From when on the engine has to be asked for it; 0 is the beginning."""
        newest = max((ns for ns, _ in self._seen.values()), default=0)
        asked = newest - OVERLAP_NS
        if self._open_since_ns is not None:
            asked = min(asked, self._open_since_ns)
        return max(asked, self._from_ns, 0)

    def add(self, line: Line) -> None:
        """This line was read."""
        ns, count = self._seen.get(line.output, (0, 0))
        self._seen[line.output] = (line.ns, count + 1 if line.ns == ns else 1)

    def leave(self, open_since_ns: int | None) -> None:
        """Reading stops, with a line under way that began then."""
        self._open_since_ns = open_since_ns

    def forget_before(self) -> None:
        """What is older than the last line counts as read, although it was not: only the end of the log was asked for."""
        self._from_ns = max([self._from_ns, *(ns for ns, _ in self._seen.values())])

    def novelty(self) -> Callable[[Line], bool]:
        """What tells of each line of a new answer, in their order, whether it was not read before."""
        seen, passed = dict(self._seen), set[int]()

        def is_new(line: Line) -> bool:
            if line.output in passed:
                return True
            ns, count = seen.get(line.output, (self._from_ns, 0))
            if line.ns < ns:
                return False
            if line.ns == ns and count:
                seen[line.output] = (ns, count - 1)
                return False
            passed.add(line.output)  # from here on even if somebody sets the clock back
            return True

        return is_new
