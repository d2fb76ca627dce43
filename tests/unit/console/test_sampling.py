"""Which share of the requests is looked at."""

from sandbox.console.sampling import BURST, CALM_S, FLOOD_CALM_S, MAX_BEHIND, RATE, Sampling

LOOK_S = 0.1
LOAD = int(RATE * 10 * LOOK_S)


class Clock:
    """Looks at Envoy's counts, one after the other."""

    def __init__(self) -> None:
        self.sampling = Sampling()
        self.now_s = 1000.0

    def choose(self, came: int) -> int:
        self.sampling.choose(came, passed_s=LOOK_S, now_s=self.now_s)
        return self.sampling.share

    def is_wrong(self, came: int, behind: float = 0) -> bool:
        self.now_s += LOOK_S
        return self.sampling.is_wrong(came, behind, passed_s=LOOK_S, now_s=self.now_s)

    def await_calm(self) -> float:
        """Seconds without requests after which the share is chosen anew."""
        looks = 1
        while not self.is_wrong(0):
            looks += 1
            assert looks < 1000
        return looks * LOOK_S


def test_few_requests_are_all_looked_at() -> None:
    clock = Clock()
    assert clock.choose(int(RATE * LOOK_S)) == 1
    assert clock.sampling.id_suffix == ""
    assert not any(clock.is_wrong(int(RATE * LOOK_S)) for _ in range(1000))


def test_a_load_that_runs_already() -> None:
    clock = Clock()
    assert (clock.choose(LOAD), clock.sampling.id_suffix) == (16, "0")
    assert (clock.choose(LOAD * 10), clock.sampling.id_suffix) == (256, "00")


def test_a_burst_does_no_harm_and_a_load_does() -> None:
    clock = Clock()
    assert not clock.is_wrong(500, 500)
    assert not clock.is_wrong(500, 1000)
    assert not clock.is_wrong(int(BURST) - 1000)
    assert clock.is_wrong(int(RATE))


def test_after_a_burst_whoever_comes_is_shown_all() -> None:
    clock = Clock()
    assert not clock.is_wrong(int(BURST))
    assert clock.choose(0) == 1


def test_too_far_behind() -> None:
    clock = Clock()
    assert not clock.is_wrong(0, MAX_BEHIND)
    assert clock.is_wrong(0, MAX_BEHIND + 1)


def test_all_again_when_it_is_calm() -> None:
    clock = Clock()
    clock.choose(LOAD)
    assert not clock.is_wrong(LOAD)
    assert CALM_S <= clock.await_calm() < CALM_S + 1
    assert clock.choose(0) == 1


def test_after_a_flood_it_has_to_be_calm_for_longer_whoever_looks() -> None:
    clock = Clock()
    assert clock.is_wrong(2000, MAX_BEHIND * 10)
    assert clock.choose(0) == 16
    assert FLOOD_CALM_S <= clock.await_calm() < FLOOD_CALM_S + CALM_S + 1
    assert clock.choose(0) == 1
    clock.is_wrong(2000)
    clock.now_s += FLOOD_CALM_S / 2
    assert clock.choose(0) == 16
    clock.now_s += FLOOD_CALM_S
    assert clock.choose(0) == 1
