"""What commands that start and end a stack do about each other; what they do to it is in the contract tests."""

import contextlib
import shutil
import threading
from types import SimpleNamespace

from sandbox.engines.base import StackState
from sandbox.session import context as sandbox_context
from sandbox.session import lifecycle
from sandbox.session.context import stack_lock
from sandbox.wait import Deadline
from sandbox.workspace import State, remove_state


def test_a_down_that_had_to_wait_has_all_its_time_to_end_the_stack(monkeypatch, tmp_path):
    now_s = [0.0]
    monkeypatch.setattr("sandbox.wait.time", SimpleNamespace(monotonic=lambda: now_s[0]))

    @contextlib.contextmanager
    def lock_after_a_while(*_):
        now_s[0] += 100.0
        yield

    monkeypatch.setattr(lifecycle, "stack_lock", lock_after_a_while)
    left_s = []

    def stop(*, deadline):
        left_s.append(deadline.remaining_s)
        return iter(())

    engine = SimpleNamespace(find=lambda: StackState(phase="starting"), stop=stop)
    context = SimpleNamespace(engine=engine, state=State(root=tmp_path), settings=SimpleNamespace(timeout_s=600.0))
    [ended] = lifecycle.down(context, volumes=False)
    assert left_s == [lifecycle.STOP_TIMEOUT_S]
    assert ended.elapsed_s == 100.0


def test_what_is_being_ended_has_not_crashed():
    phases = iter(("crashed", "crashed", "stopped"))
    engine = SimpleNamespace(find=lambda: StackState(phase=next(phases)))
    assert not lifecycle._has_crashed(SimpleNamespace(engine=engine))


def test_what_stays_as_it_is_has_crashed(monkeypatch):
    monkeypatch.setattr(lifecycle, "ENDING_S", 0.0)
    assert lifecycle._has_crashed(SimpleNamespace(engine=SimpleNamespace(find=lambda: StackState(phase="crashed"))))


def test_who_waits_for_the_lock_gets_it_though_the_folder_is_removed(monkeypatch, tmp_path):
    state = State(root=tmp_path / "state")
    waiting, got_it = threading.Event(), threading.Event()
    make = sandbox_context.make_private_folder

    def wait_for_it() -> None:
        with stack_lock(state, Deadline(60.0)):
            got_it.set()

    with stack_lock(state, Deadline(60.0)):
        monkeypatch.setattr(sandbox_context, "make_private_folder", lambda root: (make(root), waiting.set()))
        other = threading.Thread(target=wait_for_it)
        other.start()
        assert waiting.wait(60)
        shutil.rmtree(state.root)
    other.join(60)
    assert got_it.is_set()


def test_the_lock_goes_last_when_all_is_forgotten(monkeypatch, tmp_path):
    state = State(root=tmp_path / "state")
    for folder in (state.keys, state.logs):
        folder.mkdir(parents=True)
    state.ports.touch()
    state.lock.touch()
    there = []
    remove = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", lambda path, **options: (there.append(state.lock.exists()), remove(path, **options)))
    remove_state(state)
    assert there == [True, True]
    assert not state.root.exists()
