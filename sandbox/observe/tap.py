"""What Envoy's tap writes: a stream of JSON objects, put together to exchanges. No I/O.

Two tap filters, one before and one behind the Wasm filter, report each header list that passes them. Nothing tells the two
apart but the order in which they report about one request: on its way in the one before is first, on its way out the other.

Source: Envoy 1.40, data/tap/v3/http.proto (`HttpStreamedTraceSegment`); tests/fixtures/tap has what it wrote.
"""

import json
import re
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, TypedDict

from sandbox.observe.exchange import REQUEST_ID, Exchange, make_way, value_of
from sandbox.observe.headers import Headers

MAX_SEGMENT_BYTES = 1 << 20
"""Envoy takes 60 KiB of headers, and JSON makes the sixfold of them at most."""
MAX_PENDING = 4096
MAX_PENDING_BYTES = 16 << 20
"""As `weigh` has it. Of more requests than that without an answer, or of more bytes, the oldest are given up."""

_START = re.compile(
    rb'\s*\{\s*"http_streamed_trace_segment": \{\s*"trace_id": "(?P<trace_id>\d+)",'
    rb'\s*"(?P<kind>request|response)_(?P<part>headers|body_chunk)": '
)
_PAIR = re.compile(r'"key": "([^"\\\x00-\x1f]*)",\s*"value": "([^"\\\x00-\x1f]*)"')
_END_OF_HEADERS = b"   ]\n  }\n }"
_PAIR_BYTES = sys.getsizeof(("", "")) + 2 * sys.getsizeof("") + 8
_STATUS = re.compile(r"[0-9]{3}")
_END = b"\n}\n"
_UPSTREAM_ANSWERED = "x-envoy-upstream-service-time"
"""Envoy's router puts it on what came from the upstream, but for an upgrade (101)."""
_BARE = (((":status", "503"),), ((":status", "500"),))
"""What Envoy answers for a filter that crashed, and for one that it refused at its start; a filter can answer the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The headers of one request or answer at one of the taps."""

    trace_id: str
    kind: Literal["request", "response"]
    headers: Headers


class SegmentReader:
    """Finds the segments in the bytes of a stream, wherever these are cut.

    What Envoy writes of most requests is read in a third of the time that JSON takes; all else is read as JSON.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._last: tuple[bytes | None, Headers] = (None, ())

    def feed(self, data: bytes) -> list[Segment]:
        """Return the segments that `data` completes. What is none is left out."""
        *pieces, self._rest = (self._rest + data).split(_END)
        if len(self._rest) > MAX_SEGMENT_BYTES:
            self._rest = b""
        return [segment for piece in pieces if (segment := self._parse(piece))]

    def _parse(self, piece: bytes) -> Segment | None:
        start = _START.match(piece)
        if start is None:
            return parse_segment(piece + _END)
        if start["part"] == b"body_chunk":
            return None
        text = piece[start.end() :]
        last, headers = self._last
        if text != last:  # the filter let them as they were
            found = _find_headers(text)
            if found is None:
                return parse_segment(piece + _END)
            headers = found
            self._last = text, headers
        kind: Literal["request", "response"] = "request" if start["kind"] == b"request" else "response"
        return Segment(trace_id=start["trace_id"].decode(), kind=kind, headers=headers)


def _find_headers(text: bytes) -> Headers | None:
    """Those in `text` as Envoy lays it out; None where there is an escape in one, or anything else out of the ordinary."""
    try:
        pairs = _PAIR.findall(text.decode())
    except UnicodeDecodeError:
        return None
    return tuple(pairs) if pairs and len(pairs) == text.count(b'"key"') and text.endswith(_END_OF_HEADERS) else None


def parse_segment(text: bytes) -> Segment | None:
    """Read one object; None for one without headers, such as a piece of a body. Never raises."""
    try:
        trace = json.loads(text)["http_streamed_trace_segment"]
        trace_id = str(trace["trace_id"])
        if "request_headers" in trace:
            return Segment(trace_id=trace_id, kind="request", headers=_pairs(trace["request_headers"]))
        if "response_headers" in trace:
            return Segment(trace_id=trace_id, kind="response", headers=_pairs(trace["response_headers"]))
        if len(trace) == 1:  # from a tap that sees the answer to a request that it never saw
            return Segment(trace_id=trace_id, kind="request", headers=())
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    return None


def _pairs(value: Any) -> Headers:
    return tuple((str(header["key"]), str(header.get("value", ""))) for header in value.get("headers", ()))


def weigh(headers: Headers) -> int:
    """About how many bytes of memory they take, or more: as if all had the characters of that with the widest."""
    return _PAIR_BYTES * len(headers) + sys.getsizeof("".join(chain.from_iterable(headers)))


@dataclass(slots=True, kw_only=True)
class _Pending:
    time_s: float
    begun_s: float
    size_bytes: int = 0
    requests: list[Headers] = field(default_factory=list)
    responses: list[Headers] = field(default_factory=list)


class Assembler:
    """Puts segments together to exchanges; those of different requests may come mixed. `begun` counts the requests."""

    def __init__(self) -> None:
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._pending_bytes = 0
        self.begun = 0

    @property
    def pending(self) -> int:
        """How many requests have begun and are not done."""
        return len(self._pending)

    @property
    def pending_bytes(self) -> int:
        """How many bytes their headers take."""
        return self._pending_bytes

    def feed(self, segment: Segment, *, time_s: float, now_s: float) -> Exchange | None:
        """Return the exchange that `segment` completes. `time_s` is since the epoch, `now_s` on the monotonic clock."""
        pending = self._pending.get(segment.trace_id)
        if pending is None:
            if segment.kind == "response":
                return None  # its request came before we did
            pending = self._pending[segment.trace_id] = _Pending(time_s=time_s, begun_s=now_s)
            self.begun += 1
        seen = pending.requests if segment.kind == "request" else pending.responses
        seen.append(segment.headers)
        size_bytes = weigh(segment.headers)
        pending.size_bytes += size_bytes
        self._pending_bytes += size_bytes
        if len(pending.responses) < 2:
            return None
        return _exchange(self._take(segment.trace_id), now_s)

    def give_up(self, *, begun_before_s: float) -> list[Exchange]:
        """Return what began before that and is still without an answer, and the oldest of too many."""
        given_up = []
        while self._pending:
            trace_id, oldest = next(iter(self._pending.items()))
            too_many = len(self._pending) > MAX_PENDING or self._pending_bytes > MAX_PENDING_BYTES
            if not too_many and oldest.begun_s >= begun_before_s:
                break
            given_up.append(_exchange(self._take(trace_id), None))
        return given_up

    def _take(self, trace_id: str) -> _Pending:
        pending = self._pending.pop(trace_id)
        self._pending_bytes -= pending.size_bytes
        return pending


def _exchange(pending: _Pending, now_s: float | None) -> Exchange:
    before, *others = pending.requests
    after = next(iter(others), ()) or None
    inner, *rest = pending.responses or ((),)
    outer = next(iter(rest), None)
    status = value_of(outer or (), ":status")
    return Exchange(
        id=value_of(before, REQUEST_ID) or "",
        time_s=pending.time_s,
        method=value_of(before, ":method") or "",
        path=value_of(before, ":path") or "",
        status=int(status) if status and _STATUS.fullmatch(status) else None,
        duration_ms=(now_s - pending.begun_s) * 1000 if now_s is not None else None,
        request=make_way(before, after),
        response=make_way(inner, outer) if pending.responses else None,
        **_verdict(before, after, inner, outer),
    )


class _Verdict(TypedDict):
    answered_by: Literal["upstream", "filter", "envoy"] | None
    trapped: bool | None


def _verdict(before: Headers, after: Headers | None, inner: Headers, outer: Headers | None) -> _Verdict:
    """Who answered; `inner` and `outer` are the answer's headers on both sides of the filter."""
    if outer is None:
        return _Verdict(answered_by=None, trapped=None if inner else False)
    if after and (value_of(inner, _UPSTREAM_ANSWERED) is not None or value_of(inner, ":status") == "101"):
        return _Verdict(answered_by="upstream", trapped=False)
    if after or not before:
        return _Verdict(answered_by="envoy", trapped=False)
    if inner in _BARE:
        return _Verdict(answered_by=None, trapped=None)
    return _Verdict(answered_by="filter", trapped=False)
