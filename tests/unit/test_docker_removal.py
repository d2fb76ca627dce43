"""When the removal of a project is over; what it removes is in the tests with a real engine."""

from types import SimpleNamespace

import pytest

from sandbox.engines.docker import removal
from sandbox.engines.docker.removal import remove_project
from sandbox.wait import Deadline


@pytest.fixture
def remove(monkeypatch):
    """Remove a project of which each look finds what is next in `looks`: how many containers, and whether a network."""
    now_s = [0.0]
    monkeypatch.setattr("sandbox.wait.time", SimpleNamespace(monotonic=lambda: now_s[0]))
    monkeypatch.setattr(removal.time, "sleep", lambda pause_s: now_s.__setitem__(0, now_s[0] + pause_s))
    service = SimpleNamespace(service="envoy")

    def run(*looks, settle_s, deadline_s):
        left = list(looks)
        now = [(0, False)]

        def read(*_):
            now[0] = left.pop(0) if left else (0, False)
            return [service] * now[0][0]

        def end(_, containers, *__):
            now_s[0] += 1.1 if containers else 0.0
            return iter(containers)

        client = SimpleNamespace(
            networks=lambda **_: [{"Id": "1", "Name": "net"}] if now[0][1] else [],
            volumes=lambda **_: {"Volumes": None},
            remove_network=lambda _: None,
            close=lambda: None,
        )
        monkeypatch.setattr(removal, "read_containers", read)
        monkeypatch.setattr(removal, "_remove_containers", end)
        ended = remove_project(lambda: client, "p", keep=(), settle_s=settle_s, deadline=Deadline(deadline_s))
        return len(list(ended)), now_s[0]

    return run


def test_nothing_is_waited_for_where_nothing_can_come(remove):
    count, took_s = remove((1, True), settle_s=0.0, deadline_s=10.0)
    assert (count, round(took_s, 1)) == (1, 1.1)


@pytest.mark.parametrize("late", [(0, True), (1, False)], ids=["network", "container"])
def test_what_comes_late_is_removed_too_and_waited_after(remove, late):
    count, took_s = remove((1, True), (0, False), late, settle_s=1.0, deadline_s=10.0)
    assert count == 1 + late[0]
    assert took_s > 2.1


def test_a_wait_that_is_cut_short_is_no_failure_when_nothing_is_left(remove):
    count, took_s = remove((1, True), settle_s=1.0, deadline_s=2.0)
    assert count == 1
    assert took_s < 2.2
