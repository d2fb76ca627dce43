"""How things are printed: plain where nobody looks, coloured in a terminal, and the ways to start the program."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest
from stacks import Sandbox, get

from sandbox import __version__

PROGRAM = Path(sys.executable).parent / "sandbox"
ESCAPE = "\x1b"


def in_terminal(sandbox: Sandbox, *words: str, **variables: str) -> str:
    """What a terminal gets to see."""
    terminal = sandbox.spawn(*words, **variables)
    terminal.expect(pexpect.EOF)
    terminal.close()
    return terminal.before


@pytest.mark.parametrize(
    "words", [("status",), ("curl", "/"), ("logs",), ("version",), ("up",), ("--help",), ("doctor",)], ids=" ".join
)
def test_no_escape_codes_without_a_terminal(shared: Sandbox, words: tuple[str, ...]):
    done = shared.run(*words)
    assert done.stdout
    assert ESCAPE not in done.stdout + done.stderr


def test_errors_without_a_terminal_have_no_escape_codes(sandbox: Sandbox):
    done = sandbox.run("restart").expect(5)
    assert ESCAPE not in done.stderr
    assert done.stderr.splitlines() == ["error: the stack is not running", "hint: sandbox up"]


@pytest.mark.parametrize("words", [("status",), ("curl", "/"), ("logs", "-n", "5")], ids=" ".join)
def test_colours_in_a_terminal_and_none_with_no_color(shared: Sandbox, words: tuple[str, ...]):
    assert re.search(r"\x1b\[[0-9;]*3[0-9]m", in_terminal(shared, *words))
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", in_terminal(shared, *words, NO_COLOR="1"))


def test_terminal_escapes_in_a_request_do_not_reach_the_terminal(shared: Sandbox):
    get(f"http://127.0.0.1:{shared.ports['ingress']}/%1b%5b31mred%07")
    shown = in_terminal(shared, "curl", "/%1b%5b31mred%07", NO_COLOR="1") + in_terminal(shared, "logs", NO_COLOR="1")
    assert "\x07" not in shown
    assert "\x1b[31m" not in shown


def test_long_lines_are_not_folded_for_a_pipe(shared: Sandbox):
    done = shared.run("curl", "/" + "x" * 400).expect(0)
    assert f'  "path": "/{"x" * 400}",' in done.stdout


def test_data_goes_to_stdout_and_talk_to_stderr(sandbox: Sandbox):
    done = sandbox.run("up", *sandbox.port_flags, "-o", "json").expect(0)
    assert json.loads(done.stdout)["engine"] == "local"
    assert "started, pid" in done.stderr
    assert sandbox.run("down").expect(0).stdout == ""


def test_logs_as_json_are_one_document_a_line(shared: Sandbox):
    for line in shared.run("logs", "-o", "json").expect(0).stdout.splitlines():
        record = json.loads(line)
        assert set(record) == {"time", "service", "filter", "level", "component", "text"}


@pytest.mark.parametrize("words", [["--help"], ["-h"], []], ids=" ".join)
def test_help_lists_every_verb(sandbox: Sandbox, words: list[str]):
    done = sandbox.run(*words)
    assert done.returncode == (0 if words else 2)
    text = done.stdout + done.stderr
    for verb in ("up", "down", "restart", "status", "curl", "watch", "logs", "doctor", "version"):
        assert re.search(rf"^\W*{verb}\b", text, re.MULTILINE), verb


@pytest.mark.parametrize("verb", ["up", "down", "restart", "status", "curl", "watch", "logs", "version"])
def test_every_verb_has_help(sandbox: Sandbox, verb: str):
    assert f"sandbox {verb}" in sandbox.run(verb, "-h").expect(0).stdout


@pytest.mark.parametrize("command", [[str(PROGRAM)], [sys.executable, "-m", "sandbox"]], ids=["sandbox", "python -m sandbox"])
def test_both_ways_to_start_it(sandbox: Sandbox, command: list[str]):
    done = subprocess.run(
        [*command, "version", "-o", "json"],
        env=sandbox.environment,
        cwd=sandbox.folder,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert {"sandbox", "envoy"} <= set(json.loads(done.stdout))
    wrong = subprocess.run([*command, "frobnicate"], env=sandbox.environment, capture_output=True, timeout=60, check=False)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith(b"Usage: sandbox ")


@pytest.mark.parametrize(("shell", "word"), [("bash", "complete "), ("zsh", "#compdef sandbox"), ("fish", "complete ")])
def test_completion_scripts_come_out(sandbox: Sandbox, shell: str, word: str):
    environment = {**sandbox.environment, "_SANDBOX_COMPLETE": f"source_{shell}", "SHELL": f"/bin/{shell}"}
    done = subprocess.run(
        [str(PROGRAM)], env=environment, cwd=sandbox.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done
    assert word in done.stdout
    assert "sandbox" in done.stdout


def test_show_completion_for_the_current_shell(sandbox: Sandbox):
    environment = {**sandbox.environment, "SHELL": "/bin/bash"}
    done = subprocess.run(
        ["bash", "-c", f"{PROGRAM} --show-completion; exit $?"],
        env=environment,
        cwd=sandbox.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done
    assert "complete " in done.stdout


def test_completion_offers_the_verbs(sandbox: Sandbox):
    environment = {**sandbox.environment, "_SANDBOX_COMPLETE": "complete_bash", "COMP_WORDS": "sandbox sta", "COMP_CWORD": "1"}
    done = subprocess.run(
        [str(PROGRAM)], env=environment, cwd=sandbox.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["status"]


BUG = """
import sandbox.session.status as module

def read_report(_):
    raise ZeroDivisionError("made up")

module.read_report = read_report
from sandbox.cli.main import main
main()
"""


def test_a_bug_of_ours_is_exit_code_70_with_a_file(sandbox: Sandbox):
    sandbox.program = ("-c", BUG)
    done = sandbox.run("status").expect(70)
    assert done.error == "error: ZeroDivisionError: made up"
    assert "Traceback" not in done.stderr
    [path] = (sandbox.state / "crashes").glob("bug-*.txt")
    assert str(path) in done.stderr
    assert "ZeroDivisionError: made up" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_as_a_flag(sandbox: Sandbox, flag: str):
    assert sandbox.run(flag).expect(0).stdout == f"sandbox {__version__}\n"
