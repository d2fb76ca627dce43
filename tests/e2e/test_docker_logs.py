"""The logs of containers, on a real engine: order, choice, what comes, what breaks off, and that nothing is left open."""

import contextlib
import itertools
import os
import signal
import socket
import textwrap
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import psutil
import pytest
from docker_engine import DockerEngine
from own_engine import OwnEngine
from stacks import SLACK_S, until

from sandbox.engines import journal
from sandbox.engines.docker.containers import PROJECT, SERVICE
from sandbox.engines.docker.discovery.find import find_engine, open_client
from sandbox.engines.docker.logs import container_logs, live, order
from sandbox.engines.docker.logs.container_logs import read_container_logs, save_container_logs
from sandbox.engines.journal import read_journal
from sandbox.errors import StackError
from sandbox.events.stack import LogRecord
from sandbox.wait import Deadline

IMAGE = "python:3.13-slim-trixie"
FOR_EVER_S = 600.0
"""Longer than a test may take: whoever waits for a read to time out fails it."""
COUNT_UP = "import itertools, time\nfor n in itertools.count(): print(n, flush=True); time.sleep(0.002)"
"""A service that writes without end, and never the same twice."""


class Stack:
    """The containers of one project."""

    def __init__(self, open_client: Callable[[], docker.APIClient]) -> None:
        self.open_client = open_client
        self.project = f"sandbox-logs-{uuid.uuid4().hex[:8]}"
        self.client = open_client()

    def start(self, service: str, code: str, *, wait: bool = False, size: str = "20m", labels: Any = (), **options: Any) -> str:
        """Start a service that runs this Python code; `wait`: until it has ended."""
        container = self.client.create_container(
            IMAGE,
            ["python3", "-c", textwrap.dedent(code)],
            labels={PROJECT: self.project, SERVICE: service, **dict(labels)},
            network_disabled=True,
            host_config=self.client.create_host_config(
                init=True, log_config=docker.types.LogConfig(type="local", config={"max-size": size}), **options
            ),
        )["Id"]
        self.client.start(container)
        if wait:
            self.client.wait(container)
        return str(container)

    def state(self, container: str) -> str:
        """Docker's word."""
        return str(self.client.inspect_container(container)["State"]["Status"])

    def remove(self, *containers: str) -> None:
        """Remove these; none: all."""
        there = self.client.containers(all=True, filters={"label": f"{PROJECT}={self.project}"})
        for container in containers or [item["Id"] for item in there]:
            self.client.remove_container(container, force=True, v=True)

    def follow(self, **options: Any) -> Iterator[LogRecord]:
        """What is there, and what comes."""
        return read_container_logs(self.open_client, self.project, follow=True, **options)

    def lines(self, *services: str, **options: Any) -> list[str]:
        """The text of what is there."""
        return [record.line for record in self.records(*services, **options)]

    def records(self, *services: str, **options: Any) -> list[LogRecord]:
        """What is there."""
        return list(read_container_logs(self.open_client, self.project, services=services, **options))


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """No thread and no socket."""
    process = psutil.Process()
    before = process.num_fds(), threading.active_count()
    yield
    assert (process.num_fds(), threading.active_count()) == before


@contextlib.contextmanager
def project_on(environment: Mapping[str, str]) -> Iterator[Stack]:
    """A project without containers; whatever the test does, nothing of it is left on the engine."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        engine = find_engine(Deadline(SLACK_S))
    assert engine is not None
    stack = Stack(lambda: open_client(engine.target, FOR_EVER_S, api_version=engine.client_api_version))
    with contextlib.closing(stack.client):
        try:
            stack.client.inspect_image(IMAGE)
        except docker.errors.ImageNotFound:
            stack.client.pull(IMAGE)
        try:
            yield stack
        finally:
            stack.remove()


@pytest.fixture
def stack(docker_engine: DockerEngine, nothing_left_open: None) -> Iterator[Stack]:
    """A project without containers, on the engine at hand."""
    with project_on(docker_engine.environment) as stack:
        yield stack


# What is there


def test_lines_of_several_containers_are_in_the_order_of_their_times(stack: Stack):
    code = """
        import signal, sys, time
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        for n in range(300):
            if n == 150: signal.sigwait([signal.SIGUSR1])
            print(n, file=(sys.stdout, sys.stderr)[n % 2], flush=True)
            if n % 7 == 0: time.sleep(0.02)
    """
    containers = [stack.start(service, code) for service in ("a", "b")]
    until(lambda: len(stack.lines()) == 300, what="half of each")
    for container in containers:
        stack.client.kill(container, "USR1")
    for container in containers:
        stack.client.wait(container)
    records = stack.records()
    assert [record.time_s for record in records] == sorted(record.time_s for record in records)
    assert records != sorted(records, key=lambda record: record.service), "they ran one after the other"
    for service, output in itertools.product("ab", (0, 1)):
        found = [int(record.line) for record in records if record.service == service and int(record.line) % 2 == output]
        assert found == list(range(output, 300, 2))


def test_services_since_and_tail(stack: Stack):
    code = "import time\nfor n in range(50): print(n, flush=True); time.sleep(0.001)"
    for service in ("a", "b"):
        stack.start(service, code, wait=True)
    records = stack.records()
    assert [record.service for record in records] == ["a"] * 50 + ["b"] * 50
    assert stack.lines("b") == stack.lines("b", "unknown") == [str(n) for n in range(50)]
    assert stack.lines("unknown") == []
    for at in (0, 30, 50, 99):
        assert stack.records(since_s=records[at].time_s) == records[at:]
        assert stack.records(since_s=records[at].time_s, tail=7) == records[at:][-7:]
        assert stack.records("a", since_s=records[at].time_s) == [record for record in records[at:] if record.service == "a"]
    assert stack.records(since_s=records[-1].time_s + 1) == []
    assert stack.records(tail=0) == []
    odd = [record for record in records if int(record.line) % 2]
    assert stack.records(tail=60, matching=lambda record: bool(int(record.line) % 2)) == odd
    assert stack.records(tail=30, matching=lambda record: bool(int(record.line) % 2)) == odd[-30:]


def test_no_containers_no_lines(stack: Stack, tmp_path: Path):
    assert stack.lines() == []
    assert stack.lines(tail=3) == []
    assert list(stack.follow()) == []


@pytest.mark.parametrize("count", [1, 20, 2000])
def test_a_tail_over_containers_of_which_one_is_loud(stack: Stack, count: int):
    """Only the ends are asked for at first: what is looked for can lie far before them."""
    stack.start("quiet", "print('one'); print('two')", wait=True)
    stack.start("loud", "for n in range(9000): print(n)", wait=True)
    stack.start("quiet", "print('three')", wait=True)
    records = stack.records()
    assert len(records) == 9003
    assert stack.records(tail=count) == records[-count:]
    assert stack.lines(tail=count, matching=lambda record: record.service == "quiet") == ["one", "two", "three"][-count:]
    assert stack.lines(tail=count, matching=lambda record: record.line == "17") == ["17"]


def test_lines_that_are_long_broken_empty_or_unfinished(stack: Stack):
    code = r"""
        import os, signal, time
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        def write(output, text): os.write(output, text); time.sleep(0.002)
        write(1, b"first\n\n\n")
        write(1, b"x" * 1_000_000); write(2, b"between\n"); signal.sigwait([signal.SIGUSR1])
        write(1, b"y" * 48_576 + b"\n")
        write(1, b"\xff\xfe \x1b[31m \xc2\x9b\x00\r\n")
        write(1, "\N{SNOWMAN}".encode() * 10_000 + b"\n")
        write(1, b"z" * 20_000 + b"\n")
        write(1, b"unfinished")
    """

    def end_run(container: str, number: int) -> None:
        until(lambda: stack.lines().count("between") == number, what="the line in between")
        stack.client.kill(container, "USR1")
        stack.client.wait(container)

    container = stack.start("a", code)
    end_run(container, 1)
    found = stack.lines()
    cut = "x" * 16_384 + f" … {1_048_576 - 16_384} bytes cut"
    snow = "\N{SNOWMAN}" * 5461 + "\ufffd" + f" … {30_000 - 16_384} bytes cut"
    end = "z" * 16_384 + f" … {20_000 - 16_384} bytes cut"
    expected = ["first", cut, "between", "\ufffd\ufffd \x1b[31m \x9b\x00\r", snow, end, "unfinished"]
    assert found == expected
    for count in range(1, 9):
        assert stack.lines(tail=count) == expected[-count:], "a tail counts lines, not Docker's parts of them"
    stack.client.start(container)
    end_run(container, 2)
    assert stack.lines() == expected * 2, "what had no end has nothing to do with the next run"


def test_a_command_of_compose_is_no_service(stack: Stack):
    stack.start("a", "print('service')", wait=True)
    stack.start("a", "print('command')", wait=True, labels={"com.docker.compose.oneoff": "True"})
    assert stack.lines() == ["service"]


# What comes


def test_following_shows_everything_and_ends_when_nothing_runs(stack: Stack, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(order, "PATIENCE_NS", 10_000_000_000)  # for who comes late to be sorted in
    code = "import sys, time\nfor n in range(40): print(n, flush=True); time.sleep(0.01)\nsys.stderr.write('the end')"
    for service in ("a", "b"):
        stack.start(service, code)
    records = list(stack.follow())
    ended_s = time.time()
    assert Counter(record.line for record in records) == Counter([*map(str, range(40)), "the end"] * 2)
    assert records == stack.records()
    assert live.GRACE_S - 1 < ended_s - records[-1].time_s < live.GRACE_S + SLACK_S


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes is known because the engine tells, or never."""
    monkeypatch.setattr(live, "GRACE_S", 600.0)
    monkeypatch.setattr(live, "LOOK_S", 600.0)


@pytest.mark.usefixtures("told")
def test_following_ends_at_once_when_no_container_is_left(stack: Stack):
    stack.start("a", COUNT_UP)
    for record in stack.follow():
        if record.line == "200":
            stack.remove()


@pytest.mark.usefixtures("told")
def test_following_a_stack_that_is_taken_down_ends_quietly(stack: Stack):
    """Each container's log is removed before the container is, while it is looked at."""

    def take_down(container: str) -> None:
        with contextlib.closing(stack.open_client()) as client:
            client.stop(container)
            client.remove_container(container, v=True)

    for _ in range(5):
        containers = [stack.start(service, COUNT_UP) for service in "abcd"]
        threads = [threading.Thread(target=take_down, args=(container,)) for container in containers]
        services = set()
        for record in stack.follow():
            services.add(record.service)
            if len(services) == 4:
                for thread in threads:
                    if not thread.ident:
                        thread.start()
        for thread in threads:
            thread.join()


@pytest.mark.usefixtures("told")
def test_following_goes_on_over_restarted_replaced_and_new_containers(stack: Stack):
    code = "import time; print('begins', flush=True); time.sleep(600)"
    seen = []
    container = stack.start("a", code)
    for record in stack.follow(services=("a", "b")):
        seen.append((record.service, record.line))
        match len(seen):
            case 1:
                stack.client.restart(container)
            case 2:
                stack.remove(container)
                stack.start("c", code)  # not looked at, but it keeps the stack from ending
                container = stack.start("a", code)
            case 3:
                stack.start("b", code)
            case 4:
                stack.remove()
    assert seen == [("a", "begins")] * 3 + [("b", "begins")]


def test_following_waits_for_a_container_that_will_be_restarted(stack: Stack, monkeypatch):
    """The policy's pause doubles each time; longer than what a stack is given in which nothing runs."""
    monkeypatch.setattr(live, "GRACE_S", 0.05)
    code = "import sys; print('runs', flush=True); sys.exit(1)"
    stack.start("a", code, restart_policy={"Name": "on-failure", "MaximumRetryCount": 3})
    assert [record.line for record in stack.follow()] == ["runs"] * 4


@pytest.mark.parametrize("tail", [0, 1, 3, None])
def test_following_begins_at_the_tail(stack: Stack, tail: int | None):
    """The other output has lines of the same moment, which the tail leaves out: they are not new."""
    code = """
        import os, signal, time
        signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"new 1\\n") + os.write(2, b"new 2\\n"))
        for n in range(500): os.write(2, b"old\\n")
        for n in range(500): os.write(1, b"old\\n")
        while True: signal.pause()
    """
    container = stack.start("a", code)
    until(lambda: len(stack.lines()) == 1000)
    silent, seen = [container], []

    def matching(_: LogRecord) -> bool:
        while silent:  # the engine has answered: what is written from here on comes after that
            stack.client.kill(silent.pop(), "USR1")
        return True

    with contextlib.closing(stack.follow(tail=tail, matching=matching)) as viewer:
        while not {"new 1", "new 2"} <= {*seen}:
            seen.append(next(viewer).line)
    assert seen[:-2] == ["old"] * (1000 if tail is None else tail)


def test_following_from_a_time(stack: Stack):
    container = stack.start("a", "import time\nfor n in range(100): print(n, flush=True); time.sleep(0.001)")
    until(lambda: stack.state(container) == "exited")
    records = stack.records()
    assert list(stack.follow(since_s=records[90].time_s)) == records[90:]


# Ends


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("count", [1, 5000])
def test_who_has_seen_enough_leaves_nothing_open(stack: Stack, follow: bool, count: int):
    for service in ("a", "b"):
        stack.start(service, "for n in range(20_000): print(n)\nimport sys, time; sys.stdout.flush(); time.sleep(600)")
    until(lambda: len(stack.lines()) == 40_000)
    process = psutil.Process()
    before = process.num_fds(), threading.active_count()
    viewer = read_container_logs(stack.open_client, stack.project, follow=follow)
    assert len(list(itertools.islice(viewer, count))) == count
    assert process.num_fds() > before[0]
    viewer.close()  # would else wait for what the services never write again
    assert (process.num_fds(), threading.active_count()) == before


def test_ctrl_c_ends_a_viewer_that_waits(stack: Stack):
    stack.start("a", "import time; print('begins', flush=True); time.sleep(600)")
    process = psutil.Process()
    before = process.num_fds()
    viewer = stack.follow()
    assert next(viewer).line == "begins"
    presser = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        next(viewer)
    presser.join()
    assert process.num_fds() == before


# A flood


def test_a_slow_reader_of_a_flood_needs_no_more_memory(stack: Stack):
    code = "import itertools\nfor n in itertools.count(): print(n, 'x' * 100)"
    for service in ("a", "b"):
        stack.start(service, code, size="1m")
    viewer, process = stack.follow(), psutil.Process()
    last = {"a": -1, "b": -1}
    with contextlib.closing(viewer):
        for record in itertools.islice(viewer, 2000):
            last[record.service] = int(record.line.split()[0])
        before = process.memory_info().rss
        for number, record in enumerate(itertools.islice(viewer, 40_000)):
            count, rest = record.line.split()
            assert rest == "x" * 100
            assert int(count) > last[record.service], "lines can be lost, not doubled or mixed up"
            last[record.service] = int(count)
            if number % 1000 == 0:
                time.sleep(0.05)
    assert process.memory_info().rss - before < 20 << 20


# Kept


def test_what_is_kept_reads_as_it_was(stack: Stack, tmp_path: Path):
    for service in ("a", "b"):
        stack.start(service, "for n in range(3000): print(n, '\\x1b')", wait=True)
    save_container_logs(stack.client, stack.project, tmp_path)
    kept = list(read_journal(tmp_path, wanted=lambda _: True, tail=None, while_=None))
    assert [(round(record.time_s, 6), record.service, record.line) for record in stack.records()] == [
        (record.time_s, record.service, record.line) for record in kept
    ]


def test_what_is_kept_is_bounded(stack: Stack, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(journal, "MAX_FILE_BYTES", 20_000)
    monkeypatch.setattr(container_logs, "MAX_SAVED_MESSAGES", 5000)
    stack.start("a", "for n in range(9000): print(n)", wait=True)
    save_container_logs(stack.client, stack.project, tmp_path)
    kept = [record.line for record in read_journal(tmp_path, wanted=lambda _: True, tail=None, while_=None)]
    assert kept == [str(n) for n in range(9000 - len(kept), 9000)]
    assert 500 < len(kept) < 1000
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 40_000


# The engine goes away


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["ends", "dies"])
def test_an_engine_that_is_restarted_costs_no_line_and_doubles_none(own_engine: OwnEngine, number: signal.Signals):
    code = "import os\nrun = os.urandom(4).hex()\n" + COUNT_UP.replace("print(n", "print(run, n")

    def restart() -> None:
        own_engine.end(number)
        own_engine.start()

    restarter = threading.Thread(target=restart)
    with project_on(own_engine.environment) as stack:
        for service in ("a", "b"):
            stack.start(service, code, restart_policy={"Name": "always"})
        seen, lines = [], Counter[tuple[str, str]]()
        with contextlib.closing(stack.follow()) as viewer:
            for record in viewer:
                seen.append(record)
                lines[record.service, record.line.split()[0]] += 1
                runs = sum(count > 100 for count in lines.values())  # a line that is torn when the engine dies is of none
                if runs == 2 and not restarter.ident:
                    restarter.start()
                if runs == 4:
                    break
        restarter.join()
        for service in ("a", "b"):
            found = [record for record in seen if record.service == service]
            assert found == stack.records(service)[: len(found)]


@pytest.mark.slow
def test_an_engine_that_stays_away_is_given_up(own_engine: OwnEngine, monkeypatch):
    monkeypatch.setattr(container_logs, "ENGINE_PATIENCE_S", 1.0)
    with project_on(own_engine.environment) as stack:
        stack.start("a", COUNT_UP)
        viewer = stack.follow()
        assert next(viewer).line == "0"
        own_engine.end(signal.SIGKILL)
        try:
            with pytest.raises(StackError, match="the Docker engine cannot be asked"):
                for _ in viewer:
                    pass
        finally:
            own_engine.start()
            until(lambda: listens(own_engine.environment), timeout_s=60.0)


def listens(environment: Mapping[str, str]) -> bool:
    """Whether the engine answers, or will."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(environment["DOCKER_HOST"].removeprefix("unix://")) == 0
