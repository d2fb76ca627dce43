"""Log levels of a real Envoy, changed through the console and by `sandbox logs --set-level`."""

import contextlib
import json
import re

import httpx2
from stacks import Sandbox, get, interrupt, read_lines, until
from test_console import TOKEN, Process, Stack, assert_unharmed, living

__all__ = ["living"]

HEADERS = {"authorization": f"Bearer {TOKEN}"}


def levels_of(stack: Stack) -> dict[str, str]:
    return dict(re.findall(r"^  (\S+): (\w+)$", stack.direct.post("/logging").text, re.MULTILINE))


def test_all_of_a_change_is_made_or_nothing(living: tuple[Stack, Process]) -> None:
    stack, envoy = living
    before = levels_of(stack)
    assert stack.client.get("/api/log-levels").json() == {"levels": before}

    def change(**levels: str) -> httpx2.Response:
        return stack.client.post("/api/log-levels", json={"levels": levels}, headers=HEADERS)

    assert change(wasm="trace", http="debug").json() == {"levels": {**before, "wasm": "trace", "http": "debug"}}
    assert levels_of(stack) == {**before, "wasm": "trace", "http": "debug"}
    for wrong in (
        {"wasm": "info", "nonsense": "info"},
        {"wasm": "info", "http": "loud"},
        {"wasm&level": "info"},
        {"level": "info"},
    ):
        assert change(**wrong).status_code == 400
        assert levels_of(stack) == {**before, "wasm": "trace", "http": "debug"}
    assert change(all="error", wasm="warning").json() == {"levels": {**dict.fromkeys(before, "error"), "wasm": "warning"}}
    assert stack.client.post("/api/log-levels", json={"levels": before}, headers=HEADERS).json() == {"levels": before}
    assert stack.client.post("/api/log-levels", json={"levels": {"wasm": "trace"}}).status_code == 401
    assert stack.client.post("/logging?wasm=trace", headers=HEADERS).status_code == 404
    assert_unharmed(stack, envoy)


def console_levels(sandbox: Sandbox) -> dict[str, str]:
    levels: dict[str, str] = json.loads(get(f"http://127.0.0.1:{sandbox.ports['console']}/api/log-levels")[2])["levels"]
    return levels


def test_set_level(running: Sandbox) -> None:
    before = console_levels(running)
    for wrong, said in (
        ("wasn=trace", "error: no logger of Envoy is called 'wasn'\nhint: did you mean wasm?\n"),
        ("wasm=trace,http=loud", "error: no log level is called 'loud'\nhint: one of trace, "),
        ("http=debug,nonsense=trace", "error: no logger of Envoy is called 'nonsense'\n"),
    ):
        assert running.run("logs", "--set-level", wrong).expect(2).stderr.startswith(said)
        assert console_levels(running) == before
    done = running.run("logs", "--set-level", "wasm=debug,http=debug", "--set-level", "router=debug").expect(0)
    assert (done.stdout, done.stderr) == ("", "✔ Envoy logs wasm at debug, http at debug, router at debug\n")
    assert console_levels(running) == {**before, "wasm": "debug", "http": "debug", "router": "debug"}
    assert running.run("logs", "--set-level", "info").expect(0).stderr == "✔ Envoy logs all loggers at info\n"
    assert set(console_levels(running).values()) == {"info"}

    viewer = running.start("logs", "--set-level", "wasm=trace", "-f", "-n", "0", "--level", "trace", "-i", "request_headers")
    assert read_lines(viewer.stderr, lambda line: "wasm at trace" in line)

    def ask_and_look() -> list[str]:
        """The viewer may not have begun to read."""
        get(f"http://127.0.0.1:{running.ports['ingress']}/")
        with contextlib.suppress(AssertionError):
            return read_lines(viewer.stdout, lambda line: "[host->vm] proxy_on_request_headers" in line, timeout_s=1)
        return []

    assert all("request_headers" in line for line in until(ask_and_look))
    interrupt(viewer)
    assert viewer.wait(10) == 130


def test_set_level_without_a_stack(sandbox: Sandbox) -> None:
    assert "hint: sandbox up" in sandbox.run("logs", "--set-level", "wasm=trace").expect(5).stderr
