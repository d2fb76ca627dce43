"""A light probe: requests through the filter while it is swapped, so that what is said about lost ones was seen."""

import threading
import time
import uuid
from typing import Self

from sandbox.events.filter import FAILED_STATUS, Probed
from sandbox.observe.exchange import PROBE_ID, REQUEST_ID
from sandbox.session.context import open_client
from sandbox.stack import INGRESS, Endpoints

PAUSE_S = 0.05
"""Lighter than what it looks at: Envoy compiles on all processors."""
ANSWER_S = 5.0
BEFORE_S = 0.5
"""For the one that has to come before it, where the filter that is live answers at all."""
AFTER_S = 6.0
"""For the one that has to come after the swap."""
USER_AGENT = "sandbox-probe"


class LightProbe:
    """Sends request after request to the ingress on one connection: from its entry, which awaits an answer, to its exit."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._url = endpoints.host[INGRESS.name].url + "/"
        self._stopped = False
        self._wake = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)
        self._sent = 0
        self._lost = 0
        self._problem: str | None = None
        self._newest: tuple[float, int | None] = (0.0, None)

    def __enter__(self) -> Self:
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._sent, BEFORE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self._wake.set()
        self._thread.join(ANSWER_S)

    def see_once(self) -> Probed:
        """Wait for the outcome of a request that begins now or later; what was seen until then."""
        now_s = time.monotonic()
        self._wake.set()
        with self._changed:
            self._changed.wait_for(lambda: self._newest[0] > now_s, AFTER_S)
            began_s, status = self._newest
            return Probed(
                sent=self._sent, lost=self._lost, first_status=status if began_s > now_s else None, problem=self._problem
            )

    def _run(self) -> None:
        import httpx2

        with open_client(ANSWER_S) as client:
            client.headers["user-agent"] = USER_AGENT
            while not self._stopped:
                began_s, status, problem = time.monotonic(), None, None
                try:
                    status = client.get(self._url, headers={REQUEST_ID: f"{PROBE_ID}{uuid.uuid4()}"}).status_code
                except httpx2.HTTPError as error:
                    problem = f"{type(error).__name__}: {error}"
                if status is not None and status >= FAILED_STATUS:
                    problem = f"HTTP {status}"
                self._count(began_s, status, problem)
                if self._wake.wait(PAUSE_S):
                    self._wake.clear()

    def _count(self, began_s: float, status: int | None, problem: str | None) -> None:
        with self._changed:
            self._sent += 1
            self._lost += problem is not None
            self._problem = self._problem or problem
            self._newest = (began_s, status)
            self._changed.notify_all()
