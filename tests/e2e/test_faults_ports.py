"""Ports that others hold or take. The numbers are those of the list of faults."""

import contextlib
import os
import re
import socket
import threading
import time
from typing import Self

from stacks import Sandbox, copy_project, free_ports

DEFAULTS = {"ingress": 10000, "bypass": 10001, "console": 9901}


@contextlib.contextmanager
def holding(*numbers: int):
    """Listen on these ports, as far as nobody else on this machine does."""
    with contextlib.ExitStack() as stack:
        for number in numbers:
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", number)))
        yield


def port(url: str) -> int:
    return int(url.rpartition(":")[2])


def test_09_default_ports_are_busy(sandbox: Sandbox):
    with holding(*DEFAULTS.values()):
        done = sandbox.run("up").expect(0)
        urls = sandbox.status()["urls"]
        for name, number in DEFAULTS.items():
            assert re.search(rf"! port {number} is taken by .+: the {name} is on {port(urls[name])}", done.stderr), done.stderr
        assert not {port(url) for url in urls.values()} & set(DEFAULTS.values())
        sandbox.down()
        again = sandbox.run("up").expect(0)
        assert "is taken" not in again.stderr
        assert sandbox.status()["urls"] == urls
        sandbox.down()


def test_09_the_holder_is_named(sandbox: Sandbox):
    with socket.create_server(("127.0.0.1", sandbox.ports["ingress"])):
        (sandbox.state).mkdir(mode=0o700)
        (sandbox.state / "ports.json").write_text(f'{{"ingress": {sandbox.ports["ingress"]}}}')
        done = sandbox.run("up").expect(0)
    assert re.search(rf"port {sandbox.ports['ingress']} is taken by \S+ \(pid {os.getpid()}\)", done.stderr)
    sandbox.down()


def test_09_two_projects_with_the_same_wishes(make_sandbox, tmp_path):
    first, second = make_sandbox(), make_sandbox(project=copy_project(tmp_path / "other"))
    for each in (first, second):
        each.state.mkdir(mode=0o700)
        (each.state / "ports.json").write_text(str(first.ports).replace("'", '"'))
    first.run("up").expect(0)
    done = second.run("up").expect(0)
    assert done.stderr.count("is taken by") == 3
    assert not set(first.status()["urls"].values()) & set(second.status()["urls"].values())
    assert second.curl()["status"] == 200
    second.down()
    first.down()


def test_10_a_busy_port_by_name(sandbox: Sandbox):
    for name, number in sandbox.ports.items():
        with socket.create_server(("127.0.0.1", number)):
            done = sandbox.run("up", *sandbox.port_flags).expect(3)
        assert re.fullmatch(rf"error: port {number} for the {name} is taken by \S+ \(pid {os.getpid()}\)", done.error)
        assert f"hint: sandbox up --{name}-port {number + 1}" in done.stderr
        assert not (sandbox.state / "ports.json").exists()
        sandbox.await_clean()


def test_10_a_port_held_on_all_interfaces(sandbox: Sandbox):
    with socket.create_server(("0.0.0.0", sandbox.ports["ingress"])):
        done = sandbox.run("up", *sandbox.port_flags).expect(3)
    assert "is taken by" in done.error


def test_10_a_port_by_name_goes_before_a_wish(sandbox: Sandbox):
    sandbox.state.mkdir(mode=0o700)
    number = sandbox.ports["bypass"]
    (sandbox.state / "ports.json").write_text(f'{{"ingress": {number}}}')
    done = sandbox.run("up", "--bypass-port", str(number)).expect(0)
    assert f"port {number} is taken by the bypass: the ingress is on" in done.stderr
    sandbox.down()


def test_10_the_same_port_twice(sandbox: Sandbox):
    [number] = free_ports(1)
    done = sandbox.run("up", "--ingress-port", str(number), "--bypass-port", str(number)).expect(2)
    assert done.error == f"error: port {number} cannot be both the ingress and the bypass"
    assert sandbox.leftovers() == []


class Grabber:
    """Takes a port the moment it is free, and gives up when it has it `times` times or is closed."""

    def __init__(self, number: int) -> None:
        self.number, self.held, self._end = number, threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._grab)

    def _grab(self) -> None:
        while not self._end.is_set():
            server = socket.socket()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                server.bind(("127.0.0.1", self.number))
                server.listen()
            except OSError:
                server.close()
                time.sleep(0.0005)
                continue
            self.held.set()
            self._end.wait()
            server.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def test_11_a_preferred_port_is_grabbed_between_choice_and_bind(sandbox: Sandbox):
    """The grabber starts once the command has begun, and wins or loses the race: either way the end is a stack that works."""
    sandbox.state.mkdir(mode=0o700)
    (sandbox.state / "ports.json").write_text(f'{{"ingress": {sandbox.ports["ingress"]}}}')
    lost = sandbox.ports["ingress"]
    with Grabber(lost) as grabber:
        done = sandbox.run("up").expect(0)
        held = grabber.held.is_set()
        answer = sandbox.json("curl", "/")
        assert answer["token"]["verified"] is True
        assert (port(sandbox.status()["urls"]["ingress"]) == lost) is not held
        assert (str(lost) in done.stdout) is not held
        sandbox.down()


def test_11_a_port_by_name_is_grabbed_between_choice_and_bind(sandbox: Sandbox):
    with Grabber(sandbox.ports["ingress"]) as grabber:
        done = sandbox.run("up", *sandbox.port_flags)
        if grabber.held.is_set():
            assert done.returncode == 3, done
            assert f"port {sandbox.ports['ingress']} for the ingress is taken by" in done.error
        else:
            assert done.returncode == 0
            sandbox.down()
    sandbox.await_clean()


GRABBED_ONCE = """
import socket
from sandbox.engines.local.engine import LocalEngine

reserve, taken = LocalEngine.reserve, []

def reserve_and_lose_one(engine, wanted):
    endpoints, notices = reserve(engine, wanted)
    if not taken:
        taken.append(socket.create_server(("127.0.0.1", endpoints.host["bypass"].port)))
    return endpoints, notices

LocalEngine.reserve = reserve_and_lose_one
from sandbox.cli.main import main
main()
"""


def test_11_envoy_finds_a_preferred_port_taken(sandbox: Sandbox):
    """The race made certain: the port is taken after it was chosen, and before Envoy is there."""
    sandbox.state.mkdir(mode=0o700)
    lost = sandbox.ports["bypass"]
    (sandbox.state / "ports.json").write_text(f'{{"bypass": {lost}}}')
    sandbox.program = ("-c", GRABBED_ONCE)
    done = sandbox.run("up").expect(0)
    sandbox.program = ("-m", "sandbox")
    assert "another program took one of the ports meanwhile" in done.stderr
    assert port(sandbox.status()["urls"]["bypass"]) != lost
    assert sandbox.json("curl", "--bypass", "/")["status"] == 200
    sandbox.down()


def test_11_envoy_finds_a_port_by_name_taken(sandbox: Sandbox):
    sandbox.program = ("-c", GRABBED_ONCE)
    done = sandbox.run("up", *sandbox.port_flags).expect(3)
    assert f"port {sandbox.ports['bypass']} for the bypass is taken by" in done.error
    sandbox.await_clean()
