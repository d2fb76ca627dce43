"""Ports on the loopback interface: take one, or say who holds it."""

import contextlib
import errno
import socket
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sandbox.engines.base import WantedPort
from sandbox.errors import PreconditionError
from sandbox.stack import ENVOY, PUBLISHED, SERVICES, Address, Endpoints
from sandbox.wait import Deadline

HOST = "127.0.0.1"
NEAR = 100
"""How far from a port that is taken another one is looked for."""
VANISHING_S = 0.5
"""How long to wait for a port that no program is seen to hold: one that was killed has its sockets until it has quite ended."""
POLL_S = 0.01


def listen(number: int) -> socket.socket | None:
    """A listening socket on the port (0: any that is free), or None when it is taken.

    Raises: PreconditionError when the system forbids the port.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, number))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise PreconditionError(f"port {number}: {error.strerror}", hint="take a port from 1024 on") from error
    return listener


def port_of(listener: socket.socket) -> int:
    """The number that the system gave it."""
    number: int = listener.getsockname()[1]
    return number


def take_port(number: int, patience: Deadline) -> tuple[socket.socket | None, str]:
    """A listening socket; or None, and who holds the port: `name (pid 12)`, as far as this user may know.

    Raises: PreconditionError when the system forbids the port.
    """
    while True:
        listener = listen(number)
        if listener:
            return listener, ""
        holder = _holder_of(number)
        if holder or patience.over:
            return None, holder or "another program"
        time.sleep(POLL_S)


def _holder_of(number: int) -> str | None:
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == number and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Every port of the stack. `listeners` are open sockets, by the port's name; Envoy's are not among them, it binds its own."""

    endpoints: Endpoints
    listeners: dict[str, socket.socket]
    notices: tuple[str, ...]

    def release(self) -> None:
        """Close the sockets; whoever was handed their descriptors keeps them."""
        for listener in self.listeners.values():
            listener.close()


def reserve(wanted: Sequence[WantedPort]) -> Reservation:
    """Take a port for each of the stack; those that nobody asked for are any that is free.

    Raises: PreconditionError that names the holder of an exact port.
    """
    listeners, notices = take_ports(wanted, {port.name for service in SERVICES for port in service.ports})
    addresses = {name: Address(host=HOST, port=port_of(listener)) for name, listener in listeners.items()}
    for port in ENVOY.ports:
        listeners.pop(port.name).close()
    host = {port.name: addresses[port.name] for port in PUBLISHED}
    return Reservation(endpoints=Endpoints(inside=addresses, host=host), listeners=listeners, notices=notices)


def take_ports(wanted: Sequence[WantedPort], names: Collection[str]) -> tuple[dict[str, socket.socket], tuple[str, ...]]:
    """A listening socket for each of `names`, the wanted number where it is free; and a line for each that was not.

    Raises: PreconditionError that names the holder of each exact port, and others that are free.
    """
    wishes = {name: WantedPort(name=name, number=0, exact=False) for name in names} | {want.name: want for want in wanted}
    wished = {wish.number for wish in wishes.values()}
    listeners: dict[str, socket.socket] = {}
    notices, refused, flags = [], [], []
    patience = Deadline(VANISHING_S)
    with contextlib.ExitStack() as taken:
        for want in sorted(wishes.values(), key=lambda want: (not want.exact, want.name)):
            mine = next((f"the {name}" for name, held in listeners.items() if port_of(held) == want.number), None)
            listener, holder = (None, mine) if mine else take_port(want.number, patience)
            if listener is None:
                listener = _listen_elsewhere(want, wished)
                if want.exact:
                    refused.append(f"port {want.number} for the {want.name} is taken by {holder}")
                    flags.append(f"--{want.name}-port {port_of(listener)}")
                else:
                    notices.append(f"port {want.number} is taken by {holder}: the {want.name} is on {port_of(listener)}")
            listeners[want.name] = taken.enter_context(listener)
        if refused:
            raise PreconditionError("; ".join(refused), hint=f"sandbox up {' '.join(flags)}")
        taken.pop_all()
    return listeners, tuple(notices)


def _listen_elsewhere(want: WantedPort, wished: Collection[int]) -> socket.socket:
    """On the next free port that nobody wishes for, where it is one to be remembered; else on any."""
    near = range(want.number + 1, min(want.number + NEAR, 65535)) if want.exact else ()
    for number in (*(number for number in near if number not in wished), 0):
        listener = listen(number)
        if listener:
            break
    if listener is None:
        raise PreconditionError("no free port is left on 127.0.0.1", hint="ss -ltn")
    return listener
