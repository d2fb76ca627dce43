"""`watch` with a real stack: its lines, its documents, its screen with keys, and all that breaks it off."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pexpect
import pytest
from filters import SOON, build_deeds, deed, put_deeds, render_deeds
from filters.upstream import serve_upstream
from filters.watching import ask
from stacks import SLACK_S, Sandbox, copy_project, get, interrupt, replace_text, until

from sandbox.workspace import HOME

SCHEMA = jsonschema_rs.validator_for(json.loads((HOME / "docs/exchange.schema.json").read_text(encoding="utf-8")))
ESCAPE = "\x1b"
CURSOR, NO_CURSOR = "\x1b[?25h", "\x1b[?25l"
OTHER_SCREEN, FIRST_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
ROUTES = """\
                        - match: {prefix: /refused}
                          route: {cluster: nowhere}
                        - match: {prefix: /never, headers: [{name: x-faulty, string_match: {exact: "yes"}}]}
                          route: {cluster: faulty, timeout: 0.5s}
                        - match: {prefix: /, headers: [{name: x-faulty, string_match: {exact: "yes"}}]}
                          route: {cluster: faulty}
                        - match: {prefix: /}
"""
CLUSTER = """
    - name: NAME
      type: STATIC
      connect_timeout: 2s
      load_assignment:
        cluster_name: NAME
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: PORT}}}}]}]
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A running stack with two more upstreams: one that misbehaves, and one that is not there."""
    folder = tmp_path_factory.mktemp("watch")
    project = copy_project(folder / "project")
    with serve_upstream() as port:
        clusters = "".join(
            CLUSTER.replace("NAME", name).replace("PORT", str(number)) for name, number in (("nowhere", 1), ("faulty", port))
        )
        replace_text(project / "envoy/envoy.yaml", "                        - match: {prefix: /}\n", ROUTES)
        replace_text(project / "envoy/envoy.yaml", "\n  clusters:\n", f"\n  clusters:\n{clusters}")
        sandbox = Sandbox(folder, project=project)
        try:
            sandbox.up("--workers", "1")
            yield sandbox
            sandbox.run("down")
            sandbox.await_clean()
        finally:
            sandbox.destroy()


def send(sandbox: Sandbox, path: str, **headers: str) -> int:
    """Send a request; the status."""
    pairs = {name.replace("_", "-"): value for name, value in headers.items()}
    return get(f"http://127.0.0.1:{sandbox.ports['ingress']}{path}", pairs)[0]


class Viewer:
    """A `watch` as a process, whose lines are read as they come."""

    def __init__(self, sandbox: Sandbox, *words: str) -> None:
        self.process = sandbox.start("watch", *words)
        self.out: list[str] = []
        self.err: list[str] = []
        self._threads = [
            threading.Thread(target=self._read, args=pair)
            for pair in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _read(stream: Any, lines: list[str]) -> None:
        for line in stream:
            lines.append(line.decode().rstrip("\n"))  # noqa: PERF401 - they are read one by one, while others look

    def end(self) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(SLACK_S)
        for thread in self._threads:
            thread.join(SLACK_S)
        return code

    def line(self, part: str) -> str:
        """The first line with that in it."""
        return until(lambda: next((line for line in list(self.out) if part in line), ""), what=f"{part} in {self.out} {self.err}")

    @property
    def documents(self) -> list[Any]:
        """All lines as JSON."""
        return [json.loads(line) for line in list(self.out)]

    @property
    def exchanges(self) -> list[Any]:
        """Those that are exchanges."""
        return [value for value in self.documents if "event" not in value]

    def event(self, name: str, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
        """The first event of that name that is wanted."""
        return until(
            lambda: next((value for value in self.documents if value.get("event") == name and wanted(value)), None),
            what=f"{name} in {self.out} {self.err}",
        )

    def exchange(self, path: str) -> Any:
        """The exchange with that path."""
        return until(
            lambda: next((value for value in self.exchanges if value["path"] == path), None),
            what=f"{path} in {self.out} {self.err}",
        )


@contextlib.contextmanager
def watching(sandbox: Sandbox, *words: str) -> Iterator[Viewer]:
    """A viewer that sees what comes; it is interrupted at the end if it still runs."""
    viewer = Viewer(sandbox, *words)
    try:
        if "json" in words:
            viewer.event("tap", lambda tap: tap["attached"])
        else:
            until(lambda: send(sandbox, "/knock") and any("/knock" in line for line in list(viewer.out)), what=f"{viewer.err}")
        yield viewer
    finally:
        if viewer.process.poll() is None:
            interrupt(viewer.process)
        viewer.end()


@contextlib.contextmanager
def on_terminal(sandbox: Sandbox, *words: str, **variables: str) -> Iterator["pexpect.spawn[str]"]:
    """A `watch` in a terminal, which is as it was when it has ended."""
    terminal = sandbox.spawn("watch", *words, **variables)
    before = termios.tcgetattr(terminal.child_fd)
    terminal.expect("every request")
    try:
        yield terminal
        terminal.expect(pexpect.EOF)
        assert FIRST_SCREEN in terminal.before
        assert terminal.before.rindex(CURSOR) > terminal.before.rfind(NO_CURSOR)
        with contextlib.suppress(termios.error):  # where it is gone with the program
            assert termios.tcgetattr(terminal.child_fd) == before
    finally:
        terminal.close(force=True)


# What is printed


def test_a_line_for_each_exchange(stack: Sandbox):
    with watching(stack) as viewer:
        send(stack, "/status/404?a=b")
        line = viewer.line("/status/404")
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}  GET      /status/404\?a=b +404 +\d+\.\d  ◀ \+x-wasm-filter \+x-auth", line)
    assert ESCAPE not in "".join(viewer.out)
    assert (viewer.process.returncode, viewer.err) == (130, ["interrupted"])


def test_documents(stack: Sandbox):
    with watching(stack, "-o", "json") as viewer:
        _, headers, _ = get(f"http://127.0.0.1:{stack.ports['ingress']}/anything")
        exchange = viewer.exchange("/anything")
        assert viewer.event("filter")["rejected"] == 0
        assert viewer.event("token")["fetches"]["success"] >= 1
    SCHEMA.validate(exchange)
    assert exchange["id"] == headers["x-request-id"]
    assert headers["x-auth"].split(".")[2] not in "".join(viewer.out)
    assert [change["name"] for change in exchange["response"]["changes"]] == ["x-wasm-filter", "x-auth"]


def test_secrets_for_who_asks(stack: Sandbox):
    with watching(stack, "-o", "json", "--show-secrets") as viewer:
        _, headers, _ = get(f"http://127.0.0.1:{stack.ports['ingress']}/secret")
        assert ["x-auth", headers["x-auth"]] in viewer.exchange("/secret")["response"]["after"]


def test_what_is_chosen(stack: Sandbox):
    words = ("--path", "/status/*", "--status", "404,5xx", "--header", "x-team=r*", "--changed-header", "x-auth")
    with watching(stack, "-o", "json", *words) as viewer:
        for path in ("/status/404", "/status/503", "/status/200", "/anything"):
            send(stack, path, x_team="red")
            send(stack, path, x_team="blue")
        send(stack, "/status/599?last", x_team="red")
        viewer.exchange("/status/599?last")
    assert [exchange["path"] for exchange in viewer.exchanges] == ["/status/404", "/status/503", "/status/599?last"]


def test_so_many_and_what_was_before(stack: Sandbox):
    with watching(stack) as viewer:
        for number in range(3):
            send(stack, f"/earlier/{number}")
        viewer.line("/earlier/2")
        done = stack.run("watch", "--since", "60s", "--path", "/earlier/*", "-n", "2").expect(0)
        assert [line.split()[2] for line in done.stdout.splitlines()] == ["/earlier/0", "/earlier/1"]
        terminal = stack.spawn("watch", "--since", "60s", "--path", "/earlier/*", "-n", "1")
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert "/earlier/0" in terminal.before
        assert OTHER_SCREEN not in terminal.before


@pytest.mark.parametrize("words", [("--status", "4"), ("--header", "=x"), ("--since", "then"), ("-n", "0")], ids=" ".join)
def test_what_makes_no_sense(stack: Sandbox, words: tuple[str, ...]):
    assert stack.run("watch", *words).expect(2).stdout == ""


def test_without_a_stack(sandbox: Sandbox):
    assert sandbox.run("watch").expect(5).stderr == "error: the stack is not running\nhint: sandbox up\n"


def test_24_a_reader_that_has_seen_enough_need_not_wait_for_another_exchange(stack: Sandbox):
    viewer = stack.start("watch")
    assert viewer.stdout
    assert viewer.stderr
    until(lambda: send(stack, "/knock") and select.select([viewer.stdout], [], [], 0.0)[0], what="the first line")
    viewer.stdout.close()
    viewer.stdout = None
    assert viewer.wait(SLACK_S) == 0
    assert viewer.stderr.read() == b""


def test_24_head(stack: Sandbox):
    words = " ".join(stack.command("watch"))
    script = f"set -o pipefail; {words} | head -n 2; echo status ${{PIPESTATUS[0]}}"
    shell = subprocess.Popen(
        ["bash", "-c", script], env=stack.environment, cwd=stack.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    until(lambda: send(stack, "/knock") and shell.poll() is not None, what="the end")
    out, err = shell.communicate()
    assert err == b""
    assert re.fullmatch(r"(?s)\S+  GET      /knock .*\n\S+  GET      /knock .*\nstatus 0\n", out.decode())


# On a terminal


def test_keys(stack: Sandbox):
    with on_terminal(stack) as terminal:
        assert OTHER_SCREEN in terminal.before
        send(stack, "/first")
        terminal.expect("/first")
        terminal.send("p")
        terminal.expect("PAUSED")
        send(stack, "/second")
        terminal.expect("1 more since")
        assert "/second" not in terminal.before
        terminal.send(" ")
        terminal.expect("/second")
        terminal.send("\x1b[A\r")
        terminal.expect("x-request-id")
        terminal.expect("response")
        terminal.expect("x-wasm-filter")
        terminal.send("\x1b")
        terminal.expect("WHAT THE FILTER DID")
        terminal.send("c")
        send(stack, "/third")
        terminal.expect("/third")
        terminal.send("G")
        terminal.expect("every request")
        terminal.send("q")
    assert terminal.exitstatus == 0


def test_22_ctrl_c_ends_the_viewer_alone(stack: Sandbox):
    before = stack.pids()
    with on_terminal(stack) as terminal:
        terminal.sendintr()
    assert terminal.exitstatus == 130
    assert "interrupted" in terminal.before
    with on_terminal(stack) as terminal:
        terminal.sendintr()
        terminal.sendintr()
    assert terminal.exitstatus in {130, None}, "the second can come when Python itself has ended"
    assert stack.pids() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_23_other_signals_leave_the_terminal_as_it_was(stack: Sandbox, number: signal.Signals):
    with on_terminal(stack) as terminal:
        terminal.kill(number)
    assert terminal.exitstatus == 130


BUG = """
import sandbox.view.watch.board as module
render = module.Board.render

def fail(self, *size):
    if self._count:
        raise ZeroDivisionError("made up")
    return render(self, *size)

module.Board.render = fail
from sandbox.cli.main import main
main()
"""


def test_a_bug_of_ours_leaves_the_terminal_as_it_was(stack: Sandbox):
    stack.program = ("-c", BUG)
    try:
        with on_terminal(stack) as terminal:
            send(stack, "/bug")
    finally:
        stack.program = ("-m", "sandbox")
    assert terminal.exitstatus == 70
    assert "made up" in terminal.before


# What breaks it off, and what misbehaves


def test_it_outlives_restarts_of_console_and_envoy(stack: Sandbox):
    with watching(stack, "-o", "json") as viewer:
        send(stack, "/before")
        viewer.exchange("/before")
        for name, reason in (("console", "the console"), ("envoy", "Envoy")):
            seen = len(viewer.out)
            stack.run("restart", name).expect(0)

            def taps(seen: int = seen) -> list[Any]:
                return [value for value in viewer.documents[seen:] if value.get("event") == "tap"]

            def is_gone(reason: str = reason) -> bool:
                return any(not tap["attached"] and tap["reason"].startswith(reason) for tap in taps())

            until(is_gone, what=f"{reason} gone")
            until(lambda: taps()[-1]["attached"], what="the taps again")
            send(stack, f"/after/{name}")
            viewer.exchange(f"/after/{name}")
    paths = [exchange["path"] for exchange in viewer.exchanges if exchange["path"] != "/"]
    assert paths == ["/before", "/after/console", "/after/envoy"]


def test_15_envoy_is_killed_while_somebody_watches(stack: Sandbox):
    with on_terminal(stack, NO_COLOR="1") as terminal:
        os.kill(stack.pids()["envoy"], signal.SIGKILL)
        terminal.expect("NOTHING: Envoy")
        terminal.expect("every request")
        send(stack, "/lives")
        terminal.expect("/lives")
        terminal.send("q")


FAULTS = {
    "/500": (500, "upstream", None),
    "/reset": (503, "envoy", "upstream_reset_before_response_started{connection_termination}"),
    "/never": (504, "envoy", "response_timeout"),
    "/refused": (
        503,
        "envoy",
        "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
    ),
    f"/response-headers?{'&'.join(f'x-{number}=1' for number in range(120))}": (
        502,
        "envoy",
        "upstream_reset_before_response_started{protocol_error}",
    ),
}


def test_36_an_upstream_that_misbehaves(stack: Sandbox):
    with watching(stack, "-o", "json", "--path", "/*") as viewer, watching(stack) as lines:
        for path, (status, by, details) in FAULTS.items():
            faulty = {} if path.startswith("/re") and path != "/reset" else {"x_faulty": "yes"}
            assert send(stack, path, **faulty) == status
            exchange = viewer.exchange(path)
            SCHEMA.validate(exchange)
            assert (exchange["status"], exchange["answered_by"], exchange["trapped"]) == (status, by, False)
            assert (exchange["details"] or "").startswith(details or ""), exchange["details"]
            assert {change["name"] for change in exchange["response"]["changes"]} == {"x-auth", "x-wasm-filter"}
            said = f"Envoy answered: {details}" if by == "envoy" else "◀"
            assert said in lines.line(path), lines.out


ODD = (
    b"GET /\x1b[31mred HTTP/1.1",  # Envoy refuses it, which is an exchange, too
    b"GET /%1b[2J?[bold]x[/bold] HTTP/1.1",
    b"GET /" + b"x" * 20_000 + b" HTTP/1.1",
    b"PATCH /[/] HTTP/1.1",
)
ODD_HEADERS = (
    b"host: a",
    b"x-c1: \xc2\x9b31m",
    b"x-direction: \xe2\x80\xae",
    b"x-bytes: \xff\xfe",
    b"x-markup: [red]x[/blue]",
    b"x-long: " + b"y" * 30_000,
    b"connection: close",
)


def test_27_odd_paths_and_headers_do_nothing_to_the_terminal(stack: Sandbox):
    def flood() -> None:
        for head in ODD * 3:
            ask(stack.ports["ingress"], b"\r\n".join((head, *ODD_HEADERS)) + b"\r\n\r\n")

    with watching(stack) as viewer:
        flood()
        for sign in ("   400  ", "PATCH    /[/]"):
            until(lambda sign=sign: sum(sign in line for line in list(viewer.out)) == 3, what=sign)
        until(lambda: len(viewer.out) >= len(ODD) * 3)
    assert all(char.isprintable() for line in viewer.out for char in line)
    with on_terminal(stack, NO_COLOR="1") as terminal:
        flood()
        terminal.expect("Envoy answered: http1")
        send(stack, "/last", x_markup="[red]x[/blue]", x_c1="\xc2\x9b31m")
        terminal.expect("/last")
        terminal.send("\x1b[A\r")
        terminal.expect(re.escape("x-markup: [red]x[/blue]"))
        terminal.expect(re.escape(r"x-c1: \x9b31m"))
        terminal.send("qq")


@pytest.mark.parametrize(("name", "value", "status"), [("host", "evil.example", 421), ("origin", "http://evil.example", 403)])
def test_32_forged_requests_for_the_stream(stack: Sandbox, name: str, value: str, status: int):
    token = next(Path(stack.state).rglob("console.token")).read_text(encoding="utf-8")
    for query, headers in (("", {}), ("?secrets=true", {"authorization": f"Bearer {token}"})):
        url = f"http://127.0.0.1:{stack.ports['console']}/api/exchanges{query}"
        code, answered, body = get(url, {name: value, **headers})
        assert code == status
        assert "access-control-allow-origin" not in answered
        assert b"event:" not in body


# With another filter


@pytest.fixture(scope="module")
def configure(stack: Sandbox) -> Callable[..., None]:
    """Swap in the tests' own filter, which does as it is told."""
    module = build_deeds(stack.folder)

    def do(*deeds: str, **options: str) -> None:
        version = put_deeds(render_deeds(module, *deeds, backoff=SOON, **options), stack.run_folder / "xds" / "filter.yaml")
        url = f"http://127.0.0.1:{stack.ports['console']}/stats?filter=version_text"
        until(lambda: version.encode() in get(url)[2], what=version)

    return do


def test_a_swap_and_a_refusal_are_told(stack: Sandbox, configure: Callable[..., None]):
    with watching(stack, "-o", "json") as viewer:
        live = viewer.event("filter")["version"]
        configure()
        swap = viewer.event("swapped")
        assert swap["before"] == live
        assert abs(time.time() - swap["time_s"]) < 60
        send(stack, "/new")
        assert viewer.exchange("/new")["response"]["changes"] == []
        (stack.run_folder / "xds" / "new.yaml").write_text("resources: nonsense")
        (stack.run_folder / "xds" / "new.yaml").rename(stack.run_folder / "xds" / "filter.yaml")
        assert viewer.event("refused")["count"] == 1


def test_only_what_the_filter_changed(stack: Sandbox, configure: Callable[..., None]):
    configure(
        deed("request", "add", "x-a", "1"), deed("response", "add", "x-b", "1\r\nx-c: 2"), deed("response", "trap", "x-none")
    )
    with watching(stack, "--changed-header", "x-b") as viewer:
        send(stack, "/injects")
        assert "▶ +x-a  ◀ +x-b INJECTS HEADERS" in viewer.line("/injects")
    configure(deed("request", "replace", "x-a", "2"))
    with watching(stack, "--changed", "-o", "json") as viewer:
        send(stack, "/same", x_a="2")
        send(stack, "/other", x_a="1")
        viewer.exchange("/other")
    changed = {"/same": "moved", "/other": "changed"}
    assert all(exchange["request"]["changes"][0]["kind"] == changed[exchange["path"]] for exchange in viewer.exchanges)


@pytest.mark.parametrize("side", ["request", "response"])
def test_16_the_filter_crashes(stack: Sandbox, configure: Callable[..., None], side: str):
    policy = {"request": "FAIL_RELOAD", "response": "FAIL_CLOSED"}[side]
    configure(deed(side, "trap", "x-boom"), policy=policy)
    pid = stack.pids()["envoy"]
    with watching(stack, "-o", "json") as viewer, watching(stack) as lines, on_terminal(stack) as terminal:
        assert send(stack, f"/crash/{side}", x_boom="1") == 503
        exchange = viewer.exchange(f"/crash/{side}")
        SCHEMA.validate(exchange)
        assert (exchange["status"], exchange["answered_by"], exchange["trapped"]) == (503, "envoy", True)
        crash = viewer.event("crash")
        assert crash["panic"]["message"].startswith("a trap, as it was told to")
        assert crash["panic"]["callback"] == f"proxy_on_{side}_headers"
        assert crash["panic"]["policy"] == policy
        assert "TRAPPED" in lines.line(f"/crash/{side}")
        told = until(lambda: "failure policy" in "\n".join(lines.err) and "\n".join(lines.err), what="the failure policy")
        assert "a trap, as it was told to" in told
        assert re.search(r"deeds\.go:\d+", told)
        assert f"failure policy {policy}" in told
        terminal.expect("TRAPPED")
        terminal.expect("a trap, as it was told to")
        terminal.expect(f"failure policy {policy}")
        configure(deed("response", "add", "x-good", "1"))
        send(stack, f"/recovered/{side}")
        assert viewer.exchange(f"/recovered/{side}")["response"]["changes"][0]["name"] == "x-good"
        terminal.send("q")
    assert stack.pids()["envoy"] == pid
    assert sum("failure policy" in line for line in lines.err) == 1


# The end; last, because nothing runs any more


def test_the_stack_ends_while_somebody_watches(stack: Sandbox):
    with watching(stack, "-o", "json") as viewer:
        with on_terminal(stack) as terminal:
            stack.down()
        assert viewer.end() == 5
    assert viewer.err == ["error: the stack has ended", "hint: sandbox up"]
    assert terminal.exitstatus == 5
    assert terminal.before.index(FIRST_SCREEN) < terminal.before.index("the stack has ended")
