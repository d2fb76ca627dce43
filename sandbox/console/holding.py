"""Exchanges as they are held, for who watches now and for who comes later, in a bounded number of bytes."""

import sys
from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from pydantic_core import to_json

from sandbox.observe.exchange import Exchange, Way, dump_exchange, hide_secrets
from sandbox.observe.tap import weigh

_BARE_BYTES = 1000
"""Of one without headers, with its place in a queue."""
_CHANGE_BYTES = 200


class _Weighed(Protocol):
    @property
    def size_bytes(self) -> int: ...


_Item = TypeVar("_Item", bound=_Weighed)


class Newest(Generic[_Item]):
    """The newest of what is put in: so many, and so many bytes, at most."""

    def __init__(self, *, max_count: int, max_bytes: int) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._items: deque[_Item] = deque()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[_Item]:
        """The oldest first."""
        return iter(self._items)

    def put(self, item: _Item) -> int:
        """Add it; return how many older ones had to go for it."""
        self._items.append(item)
        self.size_bytes += item.size_bytes
        gone = 0
        while len(self._items) > 1 and (len(self._items) > self._max_count or self.size_bytes > self._max_bytes):
            self.take()
            gone += 1
        return gone

    def take(self) -> _Item:
        """Take the oldest out."""
        item = self._items.popleft()
        self.size_bytes -= item.size_bytes
        return item


class Told:
    """An exchange for those who watch now. Its text is made once for all of them, and once more for who may see secrets."""

    def __init__(self, exchange: Exchange, size_bytes: int) -> None:
        self.exchange = exchange
        self.size_bytes = size_bytes
        self._texts: dict[bool, bytes] = {}

    def text(self, *, secrets: bool) -> bytes:
        """As it goes over the wire."""
        if secrets not in self._texts:
            data = dump(self.exchange if secrets else hide_secrets(self.exchange))
            self._texts[secrets] = make_event("exchange", data)
        return self._texts[secrets]


class Kept:
    """An exchange for who comes later: without a text, for hardly anybody asks for it."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.size_bytes = weigh_exchange(exchange)

    def tell(self) -> Told:
        """It, for those who watch now."""
        return Told(self.exchange, self.size_bytes)


def dump(exchange: Exchange) -> str:
    """As `dump_exchange`, in less than half of its time where all is ASCII; elsewhere it would not escape what ends a line."""
    try:
        text = to_json(exchange)
    except ValueError:  # half of a surrogate pair
        return dump_exchange(exchange)
    return text.decode() if text.isascii() else dump_exchange(exchange)


def make_event(name: str, data: str) -> bytes:
    """As it goes over the wire.

    Source: WHATWG HTML, 9.2 Server-sent events.
    """
    return f"event: {name}\ndata: {data}\n\n".encode()


def weigh_exchange(exchange: Exchange) -> int:
    """About how many bytes of memory it takes."""
    ways = (exchange.request, exchange.response)
    return _BARE_BYTES + sys.getsizeof(exchange.path) + sum(_weigh_way(way) for way in ways if way)


def _weigh_way(way: Way) -> int:
    # A change has its values from the headers, but for what of them was not exact.
    return weigh(way.before) + weigh(way.after or ()) + _CHANGE_BYTES * len(way.changes)
