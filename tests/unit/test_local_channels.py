"""Both ends of the supervisor's socket: what is no message, who does not read, and the way to it."""

import contextlib
import os
import selectors
import socket
from pathlib import Path

import pytest

from sandbox.engines.local import control
from sandbox.engines.local.clients import MAX_UNSENT_BYTES, Client, Clients
from sandbox.engines.local.control import Channel, connect
from sandbox.engines.local.messages import parse_event, read_events
from sandbox.errors import PreconditionError
from sandbox.events.stack import ServiceStopped
from sandbox.wait import Deadline


@pytest.fixture
def ends():
    mine, theirs = socket.socketpair()
    theirs.settimeout(5.0)
    yield mine, theirs
    mine.close()
    theirs.close()


class Room:
    """Clients, and whom they lost."""

    def __init__(self):
        self.lost = []
        self.selector = selectors.DefaultSelector()
        self.clients = Clients(self.selector, lambda client, message: None, self.lost.append)

    def turn(self):
        for key, _ in self.selector.select(0):
            key.data()


@pytest.fixture
def room():
    room = Room()
    yield room
    room.selector.close()


def test_who_does_not_read_is_closed_and_keeps_nobody_waiting(room, ends):
    mine, _ = ends
    client = Client(mine)
    room.clients.add(client)
    message = {"event": "exited", "tail": ["x" * 10_000]}
    for _ in range(MAX_UNSENT_BYTES // 10_000 + 100):
        room.clients.tell(message)
    assert room.lost == [client]
    assert mine.fileno() == -1
    assert not room.selector.get_map()


def test_what_did_not_fit_at_once_comes_later_and_whole(room, ends):
    mine, theirs = ends
    room.clients.add(Client(mine))
    message = {"event": "exited", "tail": ["x" * 1_000_000]}
    room.clients.tell(message)
    reader, got = Channel(theirs), []
    while not got:
        room.turn()
        got = reader.read()
    assert got == [message]
    assert [key.events for key in room.selector.get_map().values()] == [selectors.EVENT_READ]
    assert room.lost == []


def test_who_is_not_informed_gets_answers_only(room, ends):
    mine, theirs = ends
    client = Client(mine)
    room.clients.add(client)
    client.informed = False
    room.clients.tell({"event": "started"})
    client.send({"event": "state"})
    assert Channel(theirs).wait(5.0) == [{"event": "state"}]


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\n", b"[1]\n", b"null\n", b"\xff\xfe\n", b"\n", b"[" * 60_000 + b"\n"])
def test_what_is_no_message_closes_the_channel_after_those_before_it(ends, line):
    mine, theirs = ends
    theirs.sendall(b'{"op": "state"}\n' + line + b'{"op": "stop"}\n')
    channel = Channel(mine)
    assert channel.wait(5.0) == [{"op": "state"}]
    assert channel.closed


@pytest.mark.parametrize("message", [{}, {"event": "unheard-of"}, {"event": "started"}, {"event": ["stopped"]}])
def test_unknown_messages_are_passed_over(ends, message):
    mine, theirs = ends
    assert parse_event(message) is None
    sender = Channel(theirs)
    for item in (message, {"event": "stopped", "service": "envoy"}, {"event": "end"}):
        sender.send(item)
    assert list(read_events(Channel(mine), Deadline(5.0))) == [ServiceStopped(service="envoy")]


@contextlib.contextmanager
def supervisor_in(folder: Path):
    """Somebody who listens where the supervisor does."""
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as server, control.working_folder(folder):
        server.bind("control.sock")
        server.listen()
        yield


@pytest.fixture
def lost(monkeypatch):
    """A current folder that cannot be opened, as a closed one on macOS."""

    def refuse(path, *rest, real=os.open):
        if path == ".":
            raise PermissionError(13, "Permission denied")
        return real(path, *rest)

    return lambda: monkeypatch.setattr(control.os, "open", refuse)


def test_a_supervisor_is_found_from_a_folder_that_cannot_be_opened(short, lost):
    with supervisor_in(short / "run"):
        lost()
        with contextlib.closing(connect(short / "run")) as channel:
            assert not channel.closed


def test_where_it_cannot_be_found_out_there_is_an_error_not_none(short, lost):
    folder = short / ("x" * 120)
    with supervisor_in(folder):
        with contextlib.closing(connect(folder)) as channel:
            assert not channel.closed
        here = Path.cwd()
        lost()
        with pytest.raises(PreconditionError, match="cannot come back to the current folder: Permission denied"):
            connect(folder)
        assert Path.cwd() == here


def test_nobody_is_there(short):
    assert connect(short / "run") is None
    assert connect(short / ("x" * 120)) is None
