"""Ports, the stack and its state folder. Sockets, folders and users are real."""

import os
import shutil
import socket
import subprocess

import pytest
from doctors import as_somebody_else, facts

from sandbox.engines.base import ServiceState, StackState
from sandbox.session.doctor.base import FAILED, OK, WARNING
from sandbox.session.doctor.facts import read_facts
from sandbox.session.doctor.stack import check_ingress_port, check_stack, check_state_folder
from sandbox.stack import INGRESS, Address, Endpoints
from sandbox.workspace import Project, State, state_of

pytestmark = pytest.mark.usefixtures("clean")


def settings(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(f"SANDBOX_{name.upper()}", str(value))
    return read_facts()


def test_a_port_that_the_settings_ask_for_and_somebody_holds_is_failed(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        number = busy.getsockname()[1]
        found = check_ingress_port(settings(monkeypatch, ingress_port=number))
    assert found.state == FAILED
    assert f"{number} is taken by" in found.detail
    assert f"(pid {os.getpid()})" in found.detail
    assert found.fix.startswith("sandbox up --ingress-port ")
    assert check_ingress_port(read_facts()).detail == f"{number} is free"


def test_a_default_port_that_somebody_holds_is_a_warning(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        number = busy.getsockname()[1]
        monkeypatch.setattr("sandbox.session.doctor.stack.INGRESS", type(INGRESS)(name="ingress", number=number, published=True))
        found = check_ingress_port(facts())
    assert found.state == WARNING
    assert f"(pid {os.getpid()})" in found.detail


def test_a_port_of_our_own_stack_is_fine():
    with socket.create_server(("127.0.0.1", 0)) as busy:
        mine = Address(host="127.0.0.1", port=busy.getsockname()[1])
        stack = StackState(phase="running", endpoints=Endpoints(inside={}, host={"ingress": mine}))
        found = check_ingress_port(facts(stack=stack))
    assert (found.state, found.detail) == (OK, f"{mine.port} is held by the running stack")


def service(name, state):
    return ServiceState(name=name, state=state, pid=1, uptime_s=1.0, restarts=0)


@pytest.mark.parametrize(
    ("stack", "state", "detail"),
    [
        (StackState(phase="stopped"), OK, "not running"),
        (StackState(phase="starting"), OK, "starting"),
        (StackState(phase="crashed", crashed_at=1.0), WARNING, "crashed"),
        (StackState(phase="running", services=(service("envoy", "running"),)), OK, "running, 1 services"),
        (
            StackState(phase="running", services=(service("envoy", "crash-looping"),)),
            WARNING,
            "running, but envoy is crash-looping",
        ),
    ],
)
def test_the_phase_of_the_stack(stack, state, detail):
    found = check_stack(facts(stack=stack))
    assert (found.state, found.detail) == (state, detail)


def test_a_state_folder_is_not_made_by_looking(tmp_path):
    folder = tmp_path / "state"
    found = check_state_folder(facts(state=State(root=folder)))
    assert found.state == OK
    assert "can be made" in found.detail
    assert not folder.exists()


def test_a_private_state_folder_is_fine_and_an_open_one_is_not(tmp_path, monkeypatch):
    (tmp_path / "state").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "state")  # as /tmp is on macOS
    monkeypatch.setenv("SANDBOX_STATE_DIR", str(tmp_path / "link"))
    folder = state_of(Project(root=tmp_path / "it's mine")).root
    folder.mkdir(mode=0o700)
    state = facts(state=State(root=folder))
    assert check_state_folder(state).detail.startswith(f"$SANDBOX_STATE_DIR/{folder.name}: yours, mode 0700, ")
    folder.chmod(0o755)
    found = check_state_folder(state)
    assert found.state == WARNING
    subprocess.run(["/bin/sh", "-c", found.fix], check=True)
    assert check_state_folder(state).state == OK


def test_the_fix_for_a_folder_in_a_home_with_spaces_works(tmp_path, monkeypatch):
    folder = tmp_path / "Application Support" / "x"
    folder.mkdir(parents=True)
    folder.chmod(0o750)
    monkeypatch.delenv("SANDBOX_STATE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = check_state_folder(facts(state=State(root=folder)))
    assert found.fix == "chmod 700 ~/'Application Support/x'"
    subprocess.run(["/bin/sh", "-c", found.fix], check=True)
    assert check_state_folder(facts(state=State(root=folder))).state == OK


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        found = check_state_folder(facts(state=State(root=folder)))
        assert found.state == FAILED
        assert "a file is in the way" in found.detail


@pytest.mark.parametrize(("free", "state"), [(10_000_000, FAILED), (100_000_000, WARNING), (10_000_000_000, OK)])
def test_room_on_the_disk(tmp_path, monkeypatch, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(free, 0, free))
    found = check_state_folder(facts(state=State(root=tmp_path)))
    assert found.state == state


def test_a_state_folder_where_this_user_may_not_write(short):
    (short / "closed").mkdir()
    (short / "closed").chmod(0o500)
    short.chmod(0o755)
    code = """
import sys
from pathlib import Path
from sandbox.session.doctor.facts import Facts
from sandbox.session.doctor.stack import check_state_folder
from sandbox.workspace import HOME, Project, State
for name in ("closed", "closed/below"):
    state = State(root=Path(sys.argv[1]) / name)
    facts = Facts(project=Project(root=HOME), settings=None, state=state, stack=None, problems={})
    check_state_folder(facts)
    drop()
    print(check_state_folder(facts).state)
"""
    assert as_somebody_else(code, str(short)).split() == [FAILED, FAILED]
