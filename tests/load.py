"""A steady load through the ingress, half of it on connections that are kept, half on new ones, and what became of it."""

import http.client
import threading
import time
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

THREADS = 4


@dataclass
class Load:
    """`a_second` requests from its entry to its exit. `strange` are those that did not come back filtered with 200, and how."""

    url: str
    a_second: int = 200
    marker: str = "x-wasm-filter"
    sent: int = 0
    strange: list[str] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        for number in range(THREADS):
            self._threads.append(threading.Thread(target=self._run, args=(bool(number % 2),), daemon=True))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self, keep: bool) -> None:
        pause_s = THREADS / self.a_second
        next_s, connection = time.monotonic(), None
        while not self._stopped.is_set():
            connection = connection or http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10)
            try:
                connection.request("GET", "/status/200")
                answer = connection.getresponse()
                answer.read()
                problem = (
                    "" if answer.status == 200 and answer.getheader(self.marker) else f"{answer.status} {answer.getheaders()}"
                )
            except (OSError, http.client.HTTPException) as error:
                problem = repr(error)
            with self._lock:
                self.sent += 1
                self.strange += [problem] if problem else []
            if not keep or problem:
                connection.close()
                connection = None
            next_s += pause_s
            self._stopped.wait(max(next_s - time.monotonic(), 0.0))
        if connection:
            connection.close()
