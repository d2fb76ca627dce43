"""A signal at the moments when Python itself would lose it, or tell of it in its own way."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import signal, time
from sandbox.__main__ import main
from sandbox.cli.app import app

def interrupt():
    signal.raise_signal({number})

class Lost:
    def __del__(self):
        interrupt()

@app.command()
def verb():
    {verb}

main()
"""
AT = {
    "in the verb": "interrupt()",
    "in a string of code": 'exec("interrupt()", globals())',
    "where none can be raised": """
    Lost()
    while True:
        time.sleep(0.01)
""",
    "at the root of another error": """
    try:
        interrupt()
    except KeyboardInterrupt as error:
        raise RuntimeError from error
""",
}
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(folder, verb, number):
    (folder / "program.py").write_text(PROGRAM.format(verb=verb, number=int(number)))
    command = [sys.executable, "-m", "program", "verb"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
@pytest.mark.parametrize("verb", AT.values(), ids=AT)
def test_an_interrupt_is_told_in_one_line(tmp_path, verb, number):
    done = run(tmp_path, verb, number)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_one_that_comes_when_all_is_done_ends_it_without_a_word(tmp_path, number):
    done = run(tmp_path, 'import atexit; atexit.register(interrupt); print("done")', number)
    assert (done.returncode, done.stderr) == (-number, "")


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_a_second_one_while_the_first_is_told_ends_it(tmp_path, number):
    done = run(tmp_path, "import typer; typer.echo = lambda *_, **__: interrupt(); interrupt()", number)
    assert (done.returncode, done.stderr) == (-number, "")


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_what_is_ignored_stays_so(tmp_path, number):
    (tmp_path / "program.py").write_text(PROGRAM.format(verb='interrupt(); print("done")', number=int(number)))
    program = f"import os, signal, sys; signal.signal({int(number)}, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
    command = [sys.executable, "-c", program, sys.executable, "-m", "program", "verb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
