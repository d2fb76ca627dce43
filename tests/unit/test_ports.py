"""Ports that somebody holds, and who that is."""

import os
import socket

import pytest
from stacks import free_ports

from sandbox.engines import ports
from sandbox.engines.base import WantedPort
from sandbox.engines.ports import port_of, take_port, take_ports
from sandbox.errors import PreconditionError
from sandbox.wait import Deadline


@pytest.fixture
def held():
    with socket.create_server(("127.0.0.1", free_ports(1)[0])) as server:
        yield server


def test_the_holder_is_named_at_once(held, monkeypatch):
    monkeypatch.setattr(ports.time, "sleep", lambda _: pytest.fail("waited"))
    listener, holder = take_port(port_of(held), Deadline(60))
    assert listener is None
    assert holder.endswith(f" (pid {os.getpid()})")


def test_a_port_that_nobody_is_seen_to_hold_is_waited_for(held, monkeypatch):
    """A killed program: its first thread has ended, so /proc shows no descriptors of it; another one still has the socket."""
    number, looks = port_of(held), []

    def look(asked: int) -> None:
        looks.append(asked)
        if len(looks) == 3:
            held.close()

    monkeypatch.setattr(ports, "_holder_of", look)
    taken, notices = take_ports([WantedPort(name="ingress", number=number, exact=True)], {"ingress"})
    with taken["ingress"] as listener:
        assert port_of(listener) == number
    assert notices == ()
    assert looks == [number] * 3


def test_the_wait_for_all_of_them_ends(held, monkeypatch):
    number = port_of(held)
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr(ports, "_holder_of", lambda _: None)
        monkeypatch.setattr(ports, "VANISHING_S", 0.0)
        wanted = [WantedPort(name=name, number=port_of(it), exact=True) for name, it in (("ingress", held), ("bypass", other))]
        with pytest.raises(PreconditionError) as caught:
            take_ports(wanted, {"ingress", "bypass"})
    assert f"port {number} for the ingress is taken by another program" in str(caught.value)
