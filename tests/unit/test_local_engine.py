import contextlib
import re
import socket

import pytest
from filelock import FileLock

from sandbox.engines import ports
from sandbox.engines.base import WantedPort
from sandbox.engines.local.engine import LocalEngine
from sandbox.errors import PreconditionError
from sandbox.files import write_json
from sandbox.workspace import HOME, RUN_INSTANCE, State


@pytest.fixture
def state(tmp_path):
    return State(root=tmp_path / "state")


def test_what_another_command_is_laying_out_has_not_crashed(state):
    engine = LocalEngine(state, HOME)
    assert engine.find().phase == "stopped"
    state.run.mkdir(parents=True)
    assert engine.find().phase == "crashed"
    with FileLock(state.lock):
        assert engine.find().phase == "starting"
    assert engine.find().phase == "crashed"


@pytest.mark.parametrize("phase", ["starting", "running"])
def test_a_supervisor_that_has_no_time_to_answer_as_it_starts_has_not_crashed(state, phase):
    state.run.mkdir(parents=True)
    write_json(state.run / RUN_INSTANCE, {"phase": phase})
    engine = LocalEngine(state, HOME)
    with FileLock(state.lock):
        assert engine.find().phase == {"starting": "starting", "running": "crashed"}[phase]
    assert engine.find().phase == "crashed"


def test_sockets_of_services_are_held_and_envoys_are_not():
    with contextlib.closing(_Reserved([])) as reserved:
        inside = reserved.reservation.endpoints.inside
        assert set(inside) == {"ingress", "bypass", "jwt-api", "upstream", "console"}
        assert set(reserved.reservation.endpoints.host) == {"ingress", "bypass", "console"}
        assert len({address.port for address in inside.values()}) == 5
        for name in ("jwt-api", "upstream", "console"):
            assert ports.listen(inside[name].port) is None
        for name in ("ingress", "bypass"):
            with ports.listen(inside[name].port) as free:
                assert free is not None


def test_a_refused_reservation_holds_nothing():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with ports.listen(0) as other:
            free = ports.port_of(other)
        wanted = [
            WantedPort(name="console", number=free, exact=True),
            WantedPort(name="ingress", number=number, exact=True),
        ]
        with pytest.raises(PreconditionError, match=f"port {number} for the ingress is taken by"):
            ports.reserve(wanted)
        with ports.listen(free) as again:
            assert again is not None


def test_every_busy_port_is_named_with_one_that_is_free_and_that_nobody_wishes_for():
    with contextlib.ExitStack() as stack:
        first = next(
            number
            for number in range(20_000, 30_000, 7)
            if all((taken := ports.listen(number + offset)) and stack.enter_context(taken) for offset in (0, 1, 2))
        )
        wanted = [
            WantedPort(name=name, number=first + at, exact=True) for at, name in enumerate(("ingress", "bypass", "console"))
        ]
        with pytest.raises(PreconditionError) as caught:
            ports.reserve(wanted)
        told = re.findall(r"port (\d+) for the (\w+) is taken by", caught.value.message)
        assert sorted(told) == [(str(first), "ingress"), (str(first + 1), "bypass"), (str(first + 2), "console")]
        hinted = re.findall(r"--(\w+)-port (\d+)", caught.value.hint)
        assert {name for name, _ in hinted} == {"ingress", "bypass", "console"}
        assert len({number for _, number in hinted} - {str(first + at) for at in range(3)}) == 3
        for _, number in hinted:
            with ports.listen(int(number)) as listener:
                assert listener is not None


def test_a_wish_for_a_busy_port_is_told_and_not_granted():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with contextlib.closing(_Reserved([WantedPort(name="console", number=number, exact=False)])) as reserved:
            [notice] = reserved.reservation.notices
            real = reserved.reservation.endpoints.host["console"].port
            assert real != number
            assert notice.startswith(f"port {number} is taken by ")
            assert notice.endswith(f": the console is on {real}")


class _Reserved:
    def __init__(self, wanted):
        self.reservation = ports.reserve(wanted)

    def close(self):
        self.reservation.release()
