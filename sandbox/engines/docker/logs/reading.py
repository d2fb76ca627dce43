"""The log of one container, being read; and which containers there are to be read."""

import contextlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.engines.docker.containers import PROJECT, SERVICE
from sandbox.engines.docker.logs.lines import COMPLAINT, Line, LineReader, Position
from sandbox.engines.docker.logs.stream import DeniedError, Stream
from sandbox.errors import StackError
from sandbox.events.stack import LogRecord

if TYPE_CHECKING:
    from docker import APIClient

ONE_OFF = "com.docker.compose.oneoff"
"""Label of what `docker compose run` made: a command, not a service."""
GONE = (404, 409)
GOING = ("removing", "dead")
NS = 1_000_000_000


class LostError(Exception):
    """The engine hung up, or cannot be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A container whose log can be read; `state` is Docker's word."""

    id: str
    service: str
    state: str

    @property
    def writes(self) -> bool:
        """Whether more can come."""
        return self.state in {"running", "paused"}

    @property
    def lives(self) -> bool:
        """Whether it runs, or waits for its next start."""
        return self.writes or self.state == "restarting"


def find_sources(client: "APIClient", project: str) -> tuple[Source, ...]:
    """The containers of the project's services.

    Raises: LostError.
    """
    found = _ask(client, "/containers/json", {"all": "1", "filters": json.dumps({"label": [f"{PROJECT}={project}"]})})
    return tuple(
        Source(id=item["Id"], service=item["Labels"].get(SERVICE, ""), state=item["State"])
        for item in found
        if item["Labels"].get(ONE_OFF) != "True"
    )


def _ask(client: "APIClient", path: str, query: Mapping[str, str]) -> Any:
    """An answer as a whole, and with the same errors as one that streams. Raises: LostError; DeniedError."""
    body = b""
    try:
        with contextlib.closing(Stream(client, path, query, timeout_s=client.timeout)) as stream:
            while not stream.ended:
                body += stream.read()
    except OSError as error:
        raise LostError(str(error)) from error
    return json.loads(body)


class Reading:
    """One answer to the question for a container's log. What `position` says was read before is left out.

    `newest_ns` is the time of the last line that came. `follow`: what comes, too, until the container ends; whoever reads waits
    by `fileno`. `last`: only so many messages.
    """

    def __init__(
        self, client: "APIClient", source: Source, position: Position, *, follow: bool = False, last: int | None = None
    ) -> None:
        """Raises: LostError."""
        self.source = source
        self._client = client
        self.newest_ns = 0
        self._position = position
        self._lines = LineReader()
        self._last = last
        self._first_ns: dict[int, int] = {}
        self._complaint = ""
        self._is_new = position.novelty()
        query = {"stdout": "1", "stderr": "1", "timestamps": "1", "follow": str(int(follow))}
        if position.since_ns:
            query["since"] = f"{position.since_ns // NS}.{position.since_ns % NS:09}"
        if last is not None:
            query["tail"] = str(last)
        try:
            self._stream = Stream(client, f"/containers/{source.id}/logs", query, timeout_s=None if follow else client.timeout)
        except OSError as error:
            raise LostError(str(error)) from error

    @property
    def ended(self) -> bool:
        """Whether that was all."""
        return self._stream.ended and not self._complaint

    def fileno(self) -> int:
        """What to wait for."""
        return self._stream.fileno()

    def read(self) -> list[tuple[int, LogRecord]]:
        """The next lines, each with its time in nanoseconds.

        Raises: LostError; StackError when the engine cannot read this log, or does not want to.
        """
        if self._complaint:
            self._check_complaint()
        if self.ended:
            return []
        try:
            data = self._stream.read()
        except OSError as error:
            raise LostError(str(error)) from error
        except DeniedError as error:
            if error.status in GONE:
                return []
            raise
        return self._take(self._lines.feed(data))

    def finish(self) -> list[tuple[int, LogRecord]]:
        """The lines that got no end."""
        return self._take(self._lines.finish())

    @property
    def whole_after_ns(self) -> float:
        """Where only the last messages were asked for: every line that is newer than this is there, and whole.

        The answer can begin amid the parts of a line, on either output.
        """
        if self._last is None or self._lines.messages < self._last:
            return -math.inf
        return max(self._first_ns.values(), default=math.inf)

    def _check_complaint(self) -> None:
        """While a container is removed, its log goes first: nothing is wrong then."""
        told, self._complaint = self._complaint, ""
        service = self.source.service
        try:
            state = _ask(self._client, f"/containers/{self.source.id}/json", {})["State"]["Status"]
        except DeniedError as error:
            if error.status in GONE:
                return
            raise
        if state not in GOING:
            raise StackError(f"Docker cannot read the log of {service}: {told}", hint=f"sandbox restart {service}")

    def _take(self, lines: Iterable[Line]) -> list[tuple[int, LogRecord]]:
        found = []
        for line in lines:
            text = line.text.decode(errors="replace")
            if line.output == COMPLAINT:
                self._complaint = text
                continue
            self._first_ns.setdefault(line.output, line.ns)
            self.newest_ns = line.ns
            if not self._is_new(line):
                continue
            self._position.add(line)
            if text:
                found.append((line.ns, LogRecord(time_s=line.ns / NS, service=self.source.service, line=text)))
        return found

    def close(self) -> None:
        """Hang up."""
        self._position.leave(self._lines.open_since_ns)
        self._stream.close()
