"""A streaming answer of the engine, as it comes and as it breaks off. Sockets are real."""

import contextlib
import selectors
import socket
import ssl
import struct
import threading
from typing import ClassVar

import docker
import pytest
from fake_engine import Engine, serving
from test_docker_find import make_certificates

from sandbox.engines.docker.containers import PROJECT, SERVICE
from sandbox.engines.docker.logs import container_logs
from sandbox.engines.docker.logs.container_logs import read_container_logs, save_container_logs
from sandbox.engines.docker.logs.stream import MAX_DENIAL_BYTES, DeniedError, Stream
from sandbox.engines.journal import read_journal
from sandbox.errors import StackError

BODY = bytes(range(256)) * 300
MESSAGE = b"2026-11-22T20:15:01.123456789Z line\n"
COMPLAINT = b"Error grabbing logs: the file is corrupt\n"


class Chunked(Engine):
    """Answers in chunks; `whole` says whether the last one comes."""

    protocol_version = "HTTP/1.1"
    whole: ClassVar = True

    def respond(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for at in range(0, len(BODY), 1000):
            piece = BODY[at : at + 1000]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if self.whole:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True


class HangsUp(Chunked):
    """Ends before the end."""

    whole = False


class Silent(Engine):
    """Says nothing, until it is hung up on."""

    def respond(self):
        self.rfile.read()


class Denies(Engine):
    """Has something against it."""

    status = 403
    answer: ClassVar = {"message": "no \xff" + "x" * 2 * MAX_DENIAL_BYTES}


class Starts(Engine):
    """Is not there yet."""

    status = 503


class Corrupt(Engine):
    """Has one container, whose log it cannot read."""

    state: ClassVar = "running"

    def respond(self):
        if "/containers/json" in self.path:
            self.answer = [{"Id": "c", "Labels": {PROJECT: "p", SERVICE: "envoy"}, "State": self.state}]
            super().respond()
        elif "/containers/c/json" in self.path:
            self.answer, self.status = {"State": {"Status": self.state}}, 200 if self.state else 404
            super().respond()
        else:
            self.send_response(200)
            self.end_headers()
            for output, message in ((1, MESSAGE), (3, COMPLAINT)):
                self.wfile.write(struct.pack(">BxxxL", output, len(message)) + message)


class Removing(Corrupt):
    """Is removing it."""

    state = "removing"


class Removed(Corrupt):
    """Has removed it by the time it is asked again."""

    state = ""


class Forgetful(Corrupt):
    """Lists a container that is gone when its log is asked for."""

    def respond(self):
        if "/containers/json" in self.path:
            super().respond()
        else:
            self.status = 404
            Engine.respond(self)


@contextlib.contextmanager
def client(place, handler):
    with serving(place, handler) as address, contextlib.closing(docker.APIClient(address, version="1.45", timeout=5)) as found:
        yield found


@contextlib.contextmanager
def asking(place, handler, *, timeout_s=5.0):
    with client(place, handler) as found, contextlib.closing(Stream(found, "/x", {}, timeout_s=timeout_s)) as stream:
        yield stream


def read_all(stream):
    found = b""
    while not stream.ended:
        found += stream.read()
    return found


@pytest.mark.parametrize("port", [False, True], ids=["socket", "port"])
def test_an_answer_in_chunks(short, port):
    with asking(None if port else short / "s", Chunked) as stream:
        assert read_all(stream) == BODY


def test_an_answer_that_is_waited_for_by_whoever_reads(short):
    with asking(short / "s", Chunked, timeout_s=None) as stream, selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        found = b""
        while not stream.ended:
            assert selector.select(5.0)
            found += stream.read()
        assert found == BODY


def test_a_read_that_nobody_waited_for_comes_back_with_nothing(short):
    with asking(short / "s", Silent, timeout_s=None) as stream:
        assert stream.read() == b""
        assert not stream.ended


def test_an_engine_that_hangs_up_is_not_an_end(short):
    with asking(short / "s", HangsUp) as stream, pytest.raises(ConnectionError):
        read_all(stream)


def test_an_engine_that_says_nothing(short):
    with asking(short / "s", Silent, timeout_s=0.05) as stream, pytest.raises(TimeoutError):
        read_all(stream)


def test_an_engine_that_denies_says_why(short):
    with asking(short / "s", Denies) as stream, pytest.raises(DeniedError) as caught:
        read_all(stream)
    assert caught.value.status == 403
    assert caught.value.details.startswith('{"message": "no')
    assert len(caught.value.details) <= MAX_DENIAL_BYTES


def test_an_engine_that_is_starting_may_be_asked_again(short):
    with asking(short / "s", Starts) as stream, pytest.raises(ConnectionError, match="HTTP 503"):
        read_all(stream)


@pytest.mark.parametrize("timeout_s", [5.0, None])
def test_an_answer_behind_tls(tmp_path, timeout_s):
    """What is decrypted already wakes nobody: one read has to take all of it."""
    folder = tmp_path / "certificates"
    make_certificates(folder)
    asks = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    asks.verify_mode = ssl.CERT_REQUIRED
    asks.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with asks.wrap_socket(connection, server_side=True) as secure:
                while b"\r\n\r\n" not in secure.recv(1 << 16):
                    pass
                secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
                with contextlib.suppress(OSError):
                    secure.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        tls = docker.tls.TLSConfig(
            client_cert=(str(folder / "cert.pem"), str(folder / "key.pem")), ca_cert=str(folder / "ca.pem"), verify=True
        )
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with (
            contextlib.closing(docker.APIClient(address, version="1.45", timeout=5, tls=tls)) as found,
            contextlib.closing(Stream(found, "/x", {}, timeout_s=timeout_s)) as stream,
            selectors.DefaultSelector() as selector,
        ):
            selector.register(stream, selectors.EVENT_READ)
            body = b""
            while not stream.ended:
                assert timeout_s or selector.select(5.0)
                body += stream.read()
            assert body == BODY
        thread.join()


# The whole of it, on engines that no real one can be made into


def read(address, **options):
    return list(read_container_logs(lambda: docker.APIClient(address, version="1.45", timeout=5), "p", **options))


@pytest.mark.parametrize("follow", [False, True])
def test_a_log_that_the_engine_cannot_read(short, follow):
    with serving(short / "s", Corrupt) as address:
        records = read_container_logs(lambda: docker.APIClient(address, version="1.45"), "p", follow=follow)
        assert next(records).line == "line"
        with pytest.raises(StackError, match="the log of envoy: Error grabbing logs: the file is corrupt") as caught:
            next(records)
    assert caught.value.hint == "sandbox restart envoy"


@pytest.mark.parametrize("handler", [Removing, Removed])
def test_a_log_that_goes_with_its_container_is_no_error(short, handler):
    with serving(short / "s", handler) as address:
        assert [record.line for record in read(address)] == ["line"]


def test_a_container_that_goes_meanwhile_has_no_lines(short, tmp_path):
    with serving(short / "s", Forgetful) as address:
        assert read(address) == []
        assert read(address, tail=3) == []


@pytest.mark.parametrize("follow", [False, True])
def test_no_engine_is_said_at_once(short, follow):
    with pytest.raises(StackError, match="the Docker engine cannot be asked") as caught:
        read(f"unix://{short}/s", follow=follow)
    assert caught.value.hint == "docker info"


def test_what_cannot_be_kept_is_told_and_keeps_nobody(short, tmp_path):
    with client(short / "s", Corrupt) as found:
        save_container_logs(found, "p", tmp_path)
        save_container_logs(found, "p", tmp_path / "no folder")
    said = [record.line for record in read_journal(tmp_path, wanted=lambda _: True, tail=None, while_=None)]
    why = "Docker cannot read the log of envoy: Error grabbing logs: the file is corrupt"
    assert said == ["line", f"[sandbox] what was written after this could not be kept: {why}"]
    with contextlib.closing(docker.APIClient(f"unix://{short}/none", version="1.45")) as found:
        save_container_logs(found, "p", tmp_path)


class Flickers(Corrupt):
    """Tells of its containers, and of no events."""

    def respond(self):
        if "/containers/json" in self.path:
            super().respond()
        elif "/events" in self.path:
            self.status = 500
            Engine.respond(self)
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(struct.pack(">BxxxL", 1, len(MESSAGE)) + MESSAGE)


def test_an_engine_that_does_not_really_come_back(short, monkeypatch):
    monkeypatch.setattr(container_logs, "ENGINE_PATIENCE_S", 0.3)
    with serving(short / "s", Flickers) as address:
        records = read_container_logs(lambda: docker.APIClient(address, version="1.45"), "p", follow=True)
        assert next(records).line == "line"
        with pytest.raises(StackError, match="cannot be asked"):
            next(records)
