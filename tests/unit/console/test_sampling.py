"""Which share of the requests is looked at."""

from sandbox.console.sampling import BURST, CALM_S, FLOOD_CALM_S, MAX_BEHIND, RATE, Sampling

LOOK_S = 0.1


def test_few_requests_are_all_looked_at() -> None:
    sampling = Sampling()
    sampling.choose(came=int(RATE * LOOK_S), passed_s=LOOK_S)
    assert (sampling.share, sampling.id_suffix) == (1, "")
    assert not any(sampling.is_wrong(int(RATE * LOOK_S), 0, LOOK_S) for _ in range(1000))


def test_a_load_that_runs_already() -> None:
    sampling = Sampling()
    sampling.choose(came=int(RATE * 10 * LOOK_S), passed_s=LOOK_S)
    assert (sampling.share, sampling.id_suffix) == (16, "0")
    sampling.choose(came=int(RATE * 100 * LOOK_S), passed_s=LOOK_S)
    assert (sampling.share, sampling.id_suffix) == (256, "00")


def test_a_burst_does_no_harm_and_a_load_does() -> None:
    sampling = Sampling()
    assert not sampling.is_wrong(1000, 1000, LOOK_S)
    assert not sampling.is_wrong(0, 0, LOOK_S)
    assert not sampling.is_wrong(int(BURST) - 1000, 0, LOOK_S)
    assert sampling.is_wrong(int(RATE), 0, LOOK_S)


def test_too_far_behind() -> None:
    assert not Sampling().is_wrong(0, MAX_BEHIND, LOOK_S)
    assert Sampling().is_wrong(0, MAX_BEHIND + 1, LOOK_S)


def await_calm(sampling: Sampling) -> float:
    """Seconds without requests after which the share is chosen anew."""
    looks = 1
    while not sampling.is_wrong(0, 0, LOOK_S):
        looks += 1
        assert looks < 1000
    return looks * LOOK_S


def test_all_again_when_it_is_calm() -> None:
    sampling = Sampling()
    sampling.choose(came=int(RATE * 10 * LOOK_S), passed_s=LOOK_S)
    assert not sampling.is_wrong(int(RATE * 10 * LOOK_S), 0, LOOK_S)
    assert CALM_S <= await_calm(sampling) < CALM_S + 1
    sampling.choose(0, LOOK_S)
    assert sampling.share == 1


def test_after_a_flood_it_has_to_be_calm_for_longer() -> None:
    sampling = Sampling()
    assert sampling.is_wrong(20_000, MAX_BEHIND * 10, 1.0)
    sampling.choose(0, LOOK_S)
    assert sampling.share == 16
    assert FLOOD_CALM_S <= await_calm(sampling) < FLOOD_CALM_S + 1
    sampling.choose(0, LOOK_S)
    assert sampling.share == 1
