"""The real command line as processes, each sandbox with a state folder, a temp folder and ports of its own, and what is left.

Tests wait for states, never for time: `until` is the only thing that sleeps.
"""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pexpect
import psutil

from sandbox.engines.docker.engine import compose_name
from sandbox.session.context import open_client
from sandbox.session.live import LiveFilter
from sandbox.stack import Address, Endpoints
from sandbox.workspace import HOME, Project, State

T = TypeVar("T")

REPOSITORY = Path(__file__).resolve().parent.parent
MARK = "SANDBOX_RUN"
SLACK_S = 30.0
"""Within what a state that should take up to two seconds must have come: the machine may be very busy."""

PATIENCE_S = 240.0
"""For a command that may have to build or to fetch something first."""

PATIENT_CURL = "from sandbox.session import look\nlook.PATIENCE_S = look.LOGGED_S = 10.0\n"
"""To be preloaded: `curl` then looks that long for what became of its request."""

PORT_NAMES = ("ingress", "bypass", "console")
_OWN_PREFIXES = ("SANDBOX_", "JWT_API_", "UPSTREAM_", "CONSOLE_", "ENVOY_")
_OWN_NAMES = {"NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "LINES", "TMPDIR"}


def until(state: Callable[[], T], *, timeout_s: float = SLACK_S, what: str = "") -> T:
    """Ask until the answer is true, and return it; AssertionError with the last answer when it never was."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = state()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or 'the state'} did not come in {timeout_s:g} s; last: {answer!r}")
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, from below the range out of which the system hands them out itself.

    Each of pytest's workers has a share of its own, for they are taken only later.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = 12_000 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    found: list[int] = []
    while len(found) < count:
        number = 20_000 + worker * share + random.randrange(share - 1)
        with socket.socket() as probe, socket.socket() as beside, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", number))
            beside.bind(("127.0.0.1", number + 1))  # which an error names as the way on
            if not {number - 1, number, number + 1} & set(_given):
                _given.append(number)
                found.append(number)
    return found


_given: deque[int] = deque(maxlen=600)
"""Ports that may not be taken yet, though they will be."""


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as client:
        client.settimeout(2.0)
        return client.connect_ex(("127.0.0.1", port)) == 0


def get(
    url: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", data: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower-case) and body; no proxy, and an error status is an answer like any other."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers=dict(headers or {}), method=method, data=data)
    try:
        with opener.open(request, timeout=SLACK_S) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


def below(folder: Path) -> list[Path]:
    """All that a folder holds, at any depth, while somebody may be removing it: `rglob` raises for a folder that has gone."""
    return [Path(place, name) for place, folders, names in os.walk(folder) for name in (*folders, *names)]


def command_of(process: psutil.Process) -> str:
    """Its command line; nothing for one that has ended since it was listed."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def takes_signals(pid: int) -> bool:
    """Whether a command has its handlers: before that Python itself is starting, and ends as it likes."""
    caught = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def gone(pid: int) -> bool:
    """Whether the process has ended; a zombie has not been reaped, and counts as being there."""
    return not psutil.pid_exists(pid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that has ended."""

    args: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The line that says what went wrong."""
        lines = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        assert lines, f"no error line in {self.stderr!r}"
        return lines[0]

    def expect(self, returncode: int) -> "Done":
        """Itself, if it ended with that code."""
        assert self.returncode == returncode, f"{self.args} ended with {self.returncode}:\n{self.stdout}\n{self.stderr}"
        assert "Traceback" not in self.stderr or returncode == 5, self.stderr
        return self


class Sandbox:
    """One project on this machine, used as a user does: through the command line."""

    def __init__(self, folder: Path, *, project: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.temp = folder / "tmp"
        self.home = folder / "home"
        for path in (folder / "state", self.temp, self.home):
            path.mkdir(parents=True, exist_ok=True)
        self.ports = dict(zip(PORT_NAMES, free_ports(3), strict=True))
        self.environment = {
            **{
                name: value for name, value in os.environ.items() if not name.startswith(_OWN_PREFIXES) and name not in _OWN_NAMES
            },
            "TMPDIR": str(self.temp),
            "HOME": str(self.home),
            "SANDBOX_ENGINE": "local",
            **({"SANDBOX_PROJECT": str(project)} if project else {}),
            **(environment or {}),
        }
        self.project = Project(root=project.resolve() if project else HOME)
        self.keep_state_in(folder / "state")
        self.program = ("-m", "sandbox")
        self._started: list[subprocess.Popen[bytes]] = []
        self._terminals: list[pexpect.spawn[str]] = []

    def preload(self, code: str) -> None:
        """Have every program of this sandbox run that first: a limit of its own, so that the clock decides nothing."""
        folder = self.folder / "preloaded"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
        self.environment["PYTHONPATH"] = str(folder)

    def keep_state_in(self, folder: Path) -> None:
        """Have this sandbox's state folder below `folder`."""
        self.environment["SANDBOX_STATE_DIR"] = str(folder)
        self.state = folder / self.project.state_name

    # Commands

    @property
    def port_flags(self) -> tuple[str, ...]:
        """This sandbox's own ports, asked for by name."""
        return tuple(word for name, port in self.ports.items() for word in (f"--{name}-port", str(port)))

    def command(self, *args: str) -> list[str]:
        """The words of a command line."""
        return [sys.executable, *self.program, *args]

    def start(self, *args: str, **options: Any) -> "subprocess.Popen[bytes]":
        """Start a command, in a process group of its own so that it can be interrupted as by a terminal."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        process = subprocess.Popen(self.command(*args), env=self.environment, cwd=self.folder, process_group=0, **options)
        self._started.append(process)
        return process

    def spawn(self, *args: str, **variables: str) -> "pexpect.spawn[str]":
        """Start a command in a terminal of its own."""
        program, *rest = self.command(*args)
        environment = {**self.environment, "TERM": "xterm-256color", **variables}
        options = {"cwd": str(self.folder), "encoding": "utf-8", "timeout": PATIENCE_S, "dimensions": (50, 160)}
        self._terminals.append(pexpect.spawn(program, rest, env=environment, **options))
        return self._terminals[-1]

    def finish(self, process: "subprocess.Popen[bytes]", *, timeout_s: float = PATIENCE_S, send: bytes | None = None) -> Done:
        """Wait for a command that was started."""
        out, err = process.communicate(send, timeout=timeout_s)
        words = tuple(str(word) for word in process.args[3:])  # type: ignore[index]
        return Done(args=words, returncode=process.returncode, stdout=(out or b"").decode(), stderr=(err or b"").decode())

    def run(self, *args: str, timeout_s: float = PATIENCE_S, send: bytes | None = None) -> Done:
        """Run a command to its end."""
        return self.finish(self.start(*args, stdin=subprocess.PIPE), timeout_s=timeout_s, send=send)

    def up(self, *args: str) -> Done:
        """Start the stack on this sandbox's own ports; it must succeed."""
        return self.run("up", *self.port_flags, *args).expect(0)

    def down(self) -> Done:
        """End the stack; it must succeed."""
        return self.run("down").expect(0)

    @contextlib.contextmanager
    def running(self) -> Iterator["Sandbox"]:
        """The stack runs, and after that nothing of it may be left."""
        try:
            self.up()
            yield self
            self.down()
            self.await_clean()
        finally:
            self.destroy()

    def json(self, *args: str, returncode: int = 0) -> Any:
        """The JSON document that a command prints."""
        return json.loads(self.run(*args, "-o", "json").expect(returncode).stdout)

    # What there is

    @property
    def run_folder(self) -> Path:
        """The running stack's files."""
        return self.state / "run"

    def status(self) -> dict[str, Any]:
        """What `status` says, whatever it is."""
        done = self.run("status", "-o", "json")
        assert done.returncode in (0, 5), done
        value: dict[str, Any] = json.loads(done.stdout)
        return value

    def heard(self) -> dict[str, Any]:
        """What `status` says once all have answered: the console gives each of them 0.8 s."""

        def look() -> dict[str, Any] | None:
            status = self.status()
            return status if status["filter_live"] is not None and all(item["ready"] for item in status["services"]) else None

        return until(look, what="an answer of all")

    def curl(self) -> dict[str, Any]:
        """What `curl /` says once it has found out all: what a busy machine tells too late is left out."""

        def look() -> dict[str, Any] | None:
            answer = self.json("curl", "/")
            is_whole = answer["exchange"] and answer["timing"]["details"] and answer["token"] and answer["token"]["verified"]
            return answer if is_whole else None

        return until(look, what="a whole answer with a token that is verified")

    def service(self, name: str) -> dict[str, Any]:
        """One service of `status`."""
        return next((item for item in self.status()["services"] if item["name"] == name), {})

    def pids(self) -> dict[str, int]:
        """Each service's process."""
        return {item["name"]: item["pid"] for item in self.status()["services"]}

    def url(self, name: str) -> str:
        """Where a published port is."""
        url: str = self.status()["urls"][name]
        return url

    @property
    def on_docker(self) -> bool:
        """Whether its stack can be on Docker."""
        return self.environment["SANDBOX_ENGINE"] != "local"

    @property
    def docker(self) -> "Containers":
        """What Docker has of this stack."""
        return Containers(compose_name(self.project, State(root=self.state)), self.project.root, self.environment)

    def processes(self) -> list[psutil.Process]:
        """Every process that carries this stack's mark; on Docker that is compose."""
        marks, found = {str(self.run_folder), str(State(root=self.state).mounts)}, []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(MARK) in marks:
                    found.append(process)
        return found

    def supervision(self) -> tuple[psutil.Process, psutil.Process]:
        """Guard and supervisor."""
        ours = {process: process.ppid() for process in self.processes() if "local.guard" in command_of(process)}
        numbers = {process.pid for process in ours}
        guard = next(process for process, parent in ours.items() if parent not in numbers)
        supervisor = next(process for process, parent in ours.items() if parent == guard.pid)
        return guard, supervisor

    @contextlib.contextmanager
    def live_filter(self) -> "Iterator[LiveFilter]":
        """The running stack's filter, as the verbs change it, without a process each time."""
        host = {name: Address(host="127.0.0.1", port=port) for name, port in self.ports.items()}
        with open_client(10.0) as client:
            yield LiveFilter(client, Endpoints(inside={}, host=host), State(root=self.state))

    # What is left

    def leftovers(self) -> list[str]:
        """Everything that should not be there when no stack runs and no command is under way."""
        found = [f"command {process.args} still runs" for process in self._started if process.poll() is None]
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(f"process {process.pid} {process.name()}")
        if self.on_docker:
            found += self.docker.leftovers()
        found += [f"port {port} ({name}) is listened on" for name, port in self.ports.items() if listens(port)]
        for folder in (self.run_folder, State(root=self.state).mounts, State(root=self.state).build):
            if folder.exists():
                found += [f"file {path}" for path in (folder, *below(folder))]
        found += [f"temporary {path}" for path in below(self.state) if path.name.startswith((".", "validation", "tmp"))]
        found += [f"temporary {path}" for path in below(self.temp)]
        started = {process.pid for process in (*self._started, *self._terminals)}
        found += [f"terminal with {terminal.args} is open" for terminal in self._terminals if not terminal.closed]
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.status() == psutil.STATUS_ZOMBIE and child.pid not in started:
                    found.append(f"zombie {child.pid}")
        return found

    def await_clean(self, *, timeout_s: float = SLACK_S) -> None:
        """Wait until nothing is left."""
        deadline = time.monotonic() + timeout_s
        while left := self.leftovers():
            assert time.monotonic() < deadline, f"left behind after {timeout_s:g} s: {left}"
            time.sleep(0.05)

    def destroy(self) -> None:
        """End whatever is left, by process and never by name."""
        for terminal in self._terminals:
            terminal.close(force=True)
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        deadline = time.monotonic() + SLACK_S
        while (left := self.processes()) and time.monotonic() < deadline:
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=0.2)
        if self.on_docker:
            self.docker.remove_all()


class Containers:
    """What a Docker engine has of one compose project."""

    def __init__(self, project: str, root: Path, environment: Mapping[str, str]) -> None:
        self.project = project
        self._root = root
        self._environment = environment
        self._filter = {"label": f"com.docker.compose.project={project}"}

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """The SDK's own client."""
        import docker

        with contextlib.closing(docker.DockerClient.from_env(environment=dict(self._environment))) as client:
            yield client

    def ids(self) -> dict[str, str]:
        """The container of each service."""
        with self.client() as client:
            found = client.api.containers(all=True, filters=self._filter)
            return {item["Labels"]["com.docker.compose.service"]: item["Id"] for item in found}

    def states(self) -> dict[str, str]:
        """Docker's word for each service's container: created, running, exited, …"""
        with self.client() as client:
            found = client.api.containers(all=True, filters=self._filter)
            return {item["Labels"]["com.docker.compose.service"]: item["State"] for item in found}

    def networks(self) -> list[str]:
        """The numbers of its networks."""
        with self.client() as client:
            return [item.id for item in client.networks.list(filters=self._filter)]

    def images(self) -> list[str]:
        """The images that were built for this project, by name or, where another has taken that, by number."""
        with self.client() as client:
            found = client.api.images(filters={"label": f"envoy-wasm-sandbox.project={self._root}"})
            return [", ".join(image["RepoTags"] or ()) or image["Id"] for image in found]

    def leftovers(self) -> list[str]:
        """Everything but what outlives a `down`: the volume with the JWT API's key, and one image of this project."""
        with self.client() as client:
            found = [f"container {item['Names']}" for item in client.api.containers(all=True, filters=self._filter)]
            found += [f"network {item.name}" for item in client.networks.list(filters=self._filter)]
            found += [f"volume {item.name}" for item in client.volumes.list(filters=self._filter)]
        if self._root != HOME:  # of this checkout there may be others', which use the same engine
            found += [f"one image of {images}" for images in [self.images()] if len(images) > 1]
        return [item for item in found if not item.endswith("_keys")]

    def remove_all(self) -> None:
        """End whatever is left, by label."""
        from docker.errors import APIError

        with self.client() as client:
            while left := client.api.containers(all=True, filters=self._filter):
                for container in left:
                    with contextlib.suppress(APIError):  # somebody may be removing it already
                        client.api.remove_container(container["Id"], force=True, v=True)
            for item in (*client.networks.list(filters=self._filter), *client.volumes.list(filters=self._filter)):
                with contextlib.suppress(APIError):
                    item.remove()
            if self._root != HOME:  # the image of this checkout is for the next test, too
                for image in client.api.images(filters={"label": f"envoy-wasm-sandbox.project={self._root}"}):
                    with contextlib.suppress(APIError):  # another project with the same sources may run on it
                        client.images.remove(image["Id"], force=True)


def interrupt(process: "subprocess.Popen[bytes]", number: int = signal.SIGINT) -> None:
    """What a terminal does with Ctrl-C: the signal goes to the whole foreground group."""
    os.killpg(process.pid, number)


def read_lines(stream: Any, wanted: Callable[[str], bool], *, timeout_s: float = PATIENCE_S) -> list[str]:
    """Read a pipe up to a line that is wanted; returns all that came."""
    os.set_blocking(stream.fileno(), False)
    rest, lines, deadline = b"", [], time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        chunk = os.read(stream.fileno(), 1 << 16) if _readable(stream, 0.2) else None
        if chunk == b"":
            raise AssertionError(f"the output ended without the line; it was {[*lines, rest.decode()]}")
        rest += chunk or b""
        *whole, rest = rest.split(b"\n")
        lines += [line.decode() for line in whole]
        if any(wanted(line) for line in lines):
            os.set_blocking(stream.fileno(), True)
            return lines
    raise AssertionError(f"the line did not come in {timeout_s:g} s; got {lines}")


def _readable(stream: Any, timeout_s: float) -> bool:
    import select

    return bool(select.select([stream], [], [], timeout_s)[0])


def copy_project(folder: Path) -> Path:
    """A project of one's own to break: everything that a project folder holds."""
    import shutil

    for name in ("services", "envoy", "filter/prebuilt"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "compose.yaml", folder / "compose.yaml")
    return folder


def replace_text(path: Path, old: str, new: str) -> None:
    """Edit a file, so that nobody sees half of it; the text must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path} has no {old!r}"
    beside = path.with_name(f"{path.name}~")
    beside.write_text(text.replace(old, new), encoding="utf-8")
    shutil.copymode(path, beside)
    beside.replace(path)


def replace_service(project: Path, name: str, source: str) -> None:
    """Put another program in place of a service: `source` defines `serve(sock)`."""
    port = {"jwt_api": 8081, "upstream": 8082}[name]
    main = f"""
if __name__ == "__main__":
    from services.serving.flags import listen
    serve(listen("services.{name}", "", {port}))
"""
    (project / "services" / name / "__main__.py").write_text(source + main, encoding="utf-8")
