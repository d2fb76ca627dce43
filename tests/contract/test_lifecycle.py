"""One suite for every engine: what `up`, `status`, `curl`, `logs`, `restart` and `down` promise, whatever runs the stack."""

import json
import os
import socket
import time
from collections.abc import Iterator

import pytest
from stacks import Sandbox, copy_project, free_ports, get, interrupt, read_lines, replace_service, replace_text, until

ENGINES = ["local", "docker"]
SERVICES = ["envoy", "jwt-api", "upstream", "console"]


def at_hand(request: pytest.FixtureRequest) -> str:
    """The engine that the test is to run on."""
    if request.param == "docker":
        request.getfixturevalue("docker_engine")
    return request.param


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return at_hand(request)


@pytest.fixture
def stack(make_sandbox, engine) -> Sandbox:
    return make_sandbox(environment={"SANDBOX_ENGINE": engine})


@pytest.fixture(scope="module", params=ENGINES)
def steady(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A running stack for the tests that change nothing about it."""
    with Sandbox(tmp_path_factory.mktemp("steady"), environment={"SANDBOX_ENGINE": at_hand(request)}).running() as sandbox:
        yield sandbox


@pytest.fixture
def broken(make_sandbox, engine, project) -> Sandbox:
    return make_sandbox(project=project, environment={"SANDBOX_ENGINE": engine})


def test_up_proves_itself_and_down_leaves_nothing(stack: Sandbox):
    done = stack.up()
    assert "x-wasm-filter: hello from wasm" in done.stdout
    assert "x-auth: Bearer eyJ" in done.stdout
    assert f"http://127.0.0.1:{stack.ports['ingress']}" in done.stdout
    assert "signature verified" in done.stderr
    down = stack.down()
    assert "down, nothing left" in down.stderr
    assert stack.leftovers() == []


def test_up_as_json_is_one_document_with_the_proof(stack: Sandbox):
    ready = stack.json("up", *stack.port_flags)
    assert ready["already"] is False
    assert dict(ready["headers"])["x-wasm-filter"] == "hello from wasm"
    assert ready["ingress_url"] == f"http://127.0.0.1:{stack.ports['ingress']}"
    stack.down()


def test_a_second_up_reports_the_running_stack(steady: Sandbox):
    before = steady.pids()
    again = steady.run("up").expect(0)
    assert "already running" in again.stdout
    assert f"http://127.0.0.1:{steady.ports['ingress']}" in again.stdout
    assert steady.pids() == before


def test_a_second_up_with_another_port_says_that_the_port_stays(steady: Sandbox):
    [other] = free_ports(1)
    again = steady.run("up", "--ingress-port", str(other)).expect(0)
    assert f"the ingress stays on port {steady.ports['ingress']}" in again.stderr


def test_status_as_text_json_and_variables(steady: Sandbox):
    report = steady.heard()
    assert report["phase"] == "running"
    assert report["engine"] == steady.environment["SANDBOX_ENGINE"]
    assert [item["name"] for item in report["services"]] == SERVICES
    assert all(item["state"] == "running" and item["ready"] and item["restarts"] == 0 for item in report["services"])
    assert report["filter_live"] is True
    assert report["problem"] is None
    text = steady.run("status").expect(0).stdout
    assert all(name in text for name in SERVICES)
    assert "live in Envoy" in text
    variables = dict(line.split("=", 1) for line in steady.run("status", "-o", "env").expect(0).stdout.splitlines())
    assert variables == {f"SANDBOX_{name.upper()}_URL": f"http://127.0.0.1:{port}" for name, port in steady.ports.items()}


def test_status_without_a_stack_is_an_answer_with_exit_code_5(stack: Sandbox):
    assert "not running" in stack.run("status").expect(5).stdout
    assert stack.json("status", returncode=5)["phase"] == "stopped"
    assert not stack.state.exists()


def test_curl_shows_what_the_filter_did_and_bypass_what_it_did_not(steady: Sandbox):
    answer = steady.curl()
    assert answer["status"] == 200
    assert dict(answer["headers"])["x-wasm-filter"] == "hello from wasm"
    assert [change["name"] for change in answer["exchange"]["response"]["changes"]] == ["x-wasm-filter", "x-auth"]
    assert answer["timing"]["details"] == "via_upstream"
    plain = steady.json("curl", "--bypass", "/")
    assert plain["status"] == 200
    assert not {"x-wasm-filter", "x-auth"} & set(dict(plain["headers"]))


def test_watch_shows_the_requests_of_any_client(steady: Sandbox):
    watch = steady.start("watch", "-n", "1", "-o", "json", "--path", "/watched")

    def seen() -> bool:
        get(f"{steady.url('ingress')}/watched")
        return watch.poll() is not None

    until(seen, what="an exchange")
    [exchange] = [json.loads(line) for line in steady.finish(watch).expect(0).stdout.splitlines() if "duration_ms" in line]
    assert (exchange["path"], exchange["answered_by"]) == ("/watched", "upstream")


@pytest.mark.parametrize("words", [("curl", "/"), ("restart",), ("logs",), ("watch",)])
def test_what_needs_a_stack_says_so(stack: Sandbox, words: tuple[str, ...]):
    done = stack.run(*words).expect(5)
    assert "hint: sandbox up" in done.stderr


def test_logs_by_service_number_and_time(stack: Sandbox):
    stack.up()
    records = [json.loads(line) for line in stack.run("logs", "-o", "json").expect(0).stdout.splitlines()]
    assert {record["service"] for record in records} >= {"envoy", "jwt-api", "upstream", "console"}
    for service in SERVICES[1:]:  # each in the order in which it wrote; two of Envoy's threads may differ by a moment
        times = [record["time"] for record in records if record["service"] == service]
        assert times == sorted(times)
    only = [json.loads(line) for line in stack.run("logs", "jwt-api", "-n", "1", "-o", "json").expect(0).stdout.splitlines()]
    assert [record["service"] for record in only] == ["jwt-api"]
    own = stack.run("logs", "--filter", "-o", "json").expect(0).stdout.splitlines()
    assert own
    assert all(json.loads(line)["filter"] for line in own)
    assert stack.run("logs", "-n", "0").expect(0).stdout == ""
    assert stack.run("logs", "--since", "1h").expect(0).stdout
    assert stack.run("logs", "--since", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))).expect(0).stdout == ""
    stack.down()
    assert stack.run("logs", "-n", "3").expect(0).stdout.count("\n") == 3


def test_logs_of_the_filter_alone(steady: Sandbox):
    everything = [json.loads(line) for line in steady.run("logs", "-o", "json").expect(0).stdout.splitlines()]
    of_filter = [json.loads(line) for line in steady.run("logs", "--filter", "-o", "json").expect(0).stdout.splitlines()]
    assert of_filter == [line for line in everything if line["filter"]]
    [last] = steady.run("logs", "--filter", "-n", "1", "-o", "json").expect(0).stdout.splitlines()
    assert json.loads(last) == of_filter[-1]
    assert "the filter writes nothing into the log of upstream" in steady.run("logs", "--filter", "upstream").expect(2).error


def test_logs_follow_shows_what_comes_and_ends_with_the_stack(stack: Sandbox):
    stack.up()
    viewer = stack.start("logs", "-f", "-n", "0", "envoy")
    requests = 0

    def request_seen(line: str) -> bool:
        return "/followed" in line

    while requests < 100:
        get(f"http://127.0.0.1:{stack.ports['ingress']}/followed")
        requests += 1
        try:
            read_lines(viewer.stdout, request_seen, timeout_s=0.5)
            break
        except AssertionError:
            continue
    else:
        raise AssertionError("the viewer showed no request")
    stack.down()
    assert stack.finish(viewer).expect(0)


def test_restart_of_one_service_leaves_the_others(stack: Sandbox):
    stack.up()
    before = stack.pids()
    stack.run("restart", "jwt-api").expect(0)
    after = stack.pids()
    assert after.pop("jwt-api") != before.pop("jwt-api")
    assert after == before
    assert stack.curl()["status"] == 200
    stack.down()


def test_restart_runs_the_services_code_as_it_is_now(broken: Sandbox, project):
    broken.up()
    replace_text(project / "services" / "upstream" / "echo.py", '"method": scope', '"verb": scope')
    broken.run("restart", "upstream").expect(0)
    assert '"verb": "GET"' in broken.run("curl", "/").expect(0).stdout
    broken.down()


def test_what_has_changed_since_the_start_is_told(broken: Sandbox, project):
    broken.up()
    assert "! " not in broken.run("up").expect(0).stderr
    replace_text(project / "envoy" / "xds" / "filter.yaml", "hello from wasm", "changed")
    replace_text(project / "envoy" / "envoy.yaml", "connect_timeout: 2s", "connect_timeout: 3s")
    for words in (["up", "--workers", "3"], ["restart", "upstream"]):
        told = broken.run(*words).expect(0).stderr
        assert "filter.yaml or the filter's module has changed since this stack was started" in told
        assert "envoy.yaml has changed since this stack was started" in told
        assert ("Envoy stays at 2 workers" in told) == (words[0] == "up")
    broken.down()


def test_down_ends_a_restart_that_is_under_way(broken: Sandbox, project):
    broken.up()
    replace_service(project, "upstream", "import time\n\ndef serve(sock):\n    time.sleep(60)\n")
    restart = broken.start("restart", "upstream")
    until(lambda: broken.service("upstream").get("ready") is False, what="an upstream that is silent")
    broken.down()
    _, stderr = restart.communicate(timeout=30)
    assert restart.returncode == 5
    assert b"error: the stack " in stderr


def test_restart_with_broken_code_says_what_the_service_said(broken: Sandbox, project):
    broken.up()
    replace_service(project, "upstream", "def serve(sock):\n    raise RuntimeError('no upstream any more')\n")
    done = broken.run("restart", "upstream").expect(5)
    assert done.error.startswith("error: upstream ends as soon as it is started")
    assert "RuntimeError: no upstream any more" in done.stderr
    assert done.stderr.rstrip().endswith("hint: sandbox logs upstream")
    broken.down()


def test_restart_of_all_replaces_every_process_and_keeps_the_ports(stack: Sandbox):
    stack.up()
    before = stack.pids()
    done = stack.run("restart").expect(0)
    assert f"http://127.0.0.1:{stack.ports['ingress']}" in done.stdout
    after = stack.pids()
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())
    stack.down()


def test_restart_of_an_unknown_service_suggests_the_right_one(steady: Sandbox):
    done = steady.run("restart", "jwtapi").expect(2)
    assert "did you mean jwt-api?" in done.stderr


def test_down_twice(stack: Sandbox):
    stack.up()
    stack.down()
    assert "nothing was running" in stack.run("down").expect(0).stderr


def test_down_before_anything_ever_ran_makes_no_files(stack: Sandbox):
    assert "nothing was running" in stack.run("down").expect(0).stderr
    assert not stack.state.exists()


def test_down_with_volumes_forgets_everything(stack: Sandbox):
    stack.up()
    stack.run("down", "--volumes").expect(0)
    assert not stack.state.exists()


def test_keys_and_ports_outlive_a_down(stack: Sandbox):
    stack.run("up").expect(0)
    urls = stack.status()["urls"]
    keys = get(urls["console"] + "/api/jwks")[2]
    stack.down()
    stack.up()
    assert stack.status()["urls"]["ingress"] == f"http://127.0.0.1:{stack.ports['ingress']}"
    stack.down()
    stack.run("up").expect(0)
    assert stack.status()["urls"] == urls, "a port asked for by name is for that time only"
    assert get(urls["console"] + "/api/jwks")[2] == keys
    stack.down()


def test_settings_that_are_wrong_by_now_do_not_keep_a_stack_from_ending(broken: Sandbox, project):
    broken.up()
    (project / "sandbox.yaml").write_text("workers: many\n")
    assert "workers must be a number" in broken.run("status").expect(2).error
    broken.down()


def test_two_projects_run_side_by_side(make_sandbox, engine: str, tmp_path):
    first = make_sandbox(environment={"SANDBOX_ENGINE": engine})
    second = make_sandbox(project=copy_project(tmp_path / "other"), environment={"SANDBOX_ENGINE": engine})
    first.up()
    second.up()
    assert not set(first.pids().values()) & set(second.pids().values())
    before = first.pids()
    second.down()
    assert first.pids() == before
    assert first.curl()["status"] == 200
    first.down()


def test_a_busy_port_asked_for_by_name_is_an_error_that_names_the_holder(stack: Sandbox):
    with socket.create_server(("127.0.0.1", stack.ports["bypass"])):
        done = stack.run("up", *stack.port_flags).expect(3)
    assert str(stack.ports["bypass"]) in done.error
    assert f"(pid {os.getpid()})" in done.error
    assert stack.leftovers() == []


def test_a_broken_envoy_yaml_starts_nothing(broken: Sandbox, project):
    replace_text(project / "envoy" / "envoy.yaml", "connect_timeout: 2s", "connect_timeout: soon")
    done = broken.run("up", *broken.port_flags).expect(2)
    assert "connect_timeout" in done.error
    assert broken.leftovers() == []


def test_a_service_that_dies_while_starting_takes_the_others_along(broken: Sandbox, project):
    replace_service(project, "upstream", "def serve(sock):\n    raise RuntimeError('no upstream today')\n")
    done = broken.run("up", *broken.port_flags).expect(5)
    assert done.error.startswith("error: upstream ended while starting")
    assert "RuntimeError: no upstream today" in done.stderr
    broken.await_clean()


SAYS_THAT_IT_WAITS = """
import sys
from sandbox.cli.main import main
from sandbox.session import context

make = context.make_private_folder
context.make_private_folder = lambda folder: (make(folder), print("at the lock", file=sys.stderr, flush=True))
main()
"""


def test_an_up_that_waited_for_another_is_not_ended_with_it(broken: Sandbox, project):
    main = project / "services/upstream/__main__.py"
    good = main.read_text()
    replace_service(project, "upstream", "import time\n\ndef serve(sock):\n    time.sleep(600)\n")
    first = broken.start("up", *broken.port_flags)
    read_lines(first.stderr, lambda line: "upstream" in line and "started" in line)
    main.write_text(good)
    broken.program = ("-c", SAYS_THAT_IT_WAITS)
    second = broken.start("up", *broken.port_flags)
    read_lines(second.stderr, lambda line: line == "at the lock")
    broken.program = ("-m", "sandbox")
    interrupt(first)
    assert broken.finish(first).returncode == 130
    broken.finish(second).expect(0)
    assert broken.json("curl", "/")["status"] == 200
    broken.down()


def test_up_in_the_foreground_ends_well_when_another_command_ends_the_stack(stack: Sandbox):
    process = stack.start("up", "--foreground", *stack.port_flags)
    read_lines(process.stdout, lambda line: "ready in" in line)
    stack.down()
    stack.finish(process).expect(0)


def test_up_in_the_foreground_shows_the_log_and_ends_with_ctrl_c(stack: Sandbox):
    process = stack.start("up", "--foreground", *stack.port_flags)
    read_lines(process.stdout, lambda line: "ready in" in line)
    interrupt(process)
    assert stack.finish(process).returncode == 130
    assert stack.leftovers() == []
