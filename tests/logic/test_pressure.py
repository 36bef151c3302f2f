"""The level climbs under pressure and falls slower; shares of the less important are shed first."""

from __future__ import annotations

import pytest

from meshproxy.logic.pressure import Most, Pressure

MOST = Most(loop_lag=0.1, memory=0.9)


def pressed(seconds: float, lag: float = 0.2, memory: float = 0.0) -> Pressure:
    pressure = Pressure()
    for _ in range(round(seconds / 0.025)):
        pressure.look(MOST, lag, memory, 0.025)
    return pressure


@pytest.mark.parametrize(
    ("most", "memory", "over"),
    [
        (Most(memory=0.9), 0.9, -0.05),
        (Most(memory=0.9), 0.97, 0.02),
        (Most(memory=0.5), 0.8, 0.05),
        (Most(memory=1.0), 1.02, 0.02),
        (Most(memory=0.0), 2.0, -1.0),
        (Most(memory=0.5, enforced=False), 2.0, -1.0),
    ],
)
def test_the_last_stop_is_half_way_from_the_bound_to_the_end(
    most: Most, memory: float, over: float
) -> None:
    assert most.over(memory) == pytest.approx(over)


def test_at_the_last_stop_all_but_the_important_are_shed_at_once() -> None:
    pressure = Pressure()
    pressure.stop()
    assert [shed(pressure, rank) for rank in (0, 1, 2)] == [0, 1000, 1000]
    assert pressure.why == "memory"


def shed(pressure: Pressure, rank: int, of: int = 1000) -> int:
    return sum(pressure.sheds(rank) for _ in range(of))


@pytest.mark.parametrize(
    ("seconds", "closes", "low", "normal"),
    [
        (0.05, False, 0, 0),
        (0.15, True, 0, 0),
        (0.3, True, 500, 0),
        (0.4, True, 1000, 0),
        (0.5, True, 1000, 500),
        (0.6, True, 1000, 1000),
        (9.0, True, 1000, 1000),
    ],
)
def test_the_ladder_is_climbed_step_by_step(
    seconds: float, closes: bool, low: int, normal: int
) -> None:
    pressure = pressed(seconds)
    assert pressure.closes() is closes
    assert shed(pressure, 2) == pytest.approx(low, abs=2)
    assert shed(pressure, 1) == pytest.approx(normal, abs=2)
    assert shed(pressure, 0) == 0


def test_one_pause_however_long_refuses_nobody() -> None:
    pressure = Pressure()
    pressure.look(MOST, 30.0, 0.0, 30.0)
    assert shed(pressure, 2) == 0


def test_between_calm_and_pressed_it_stays() -> None:
    pressure = pressed(0.4)
    level = pressure.level
    for _ in range(100):
        pressure.look(MOST, 0.09, 0.8, 0.025)
    assert pressure.level == level


def test_it_falls_more_slowly_than_it_climbs_and_ends_at_nothing() -> None:
    pressure = pressed(0.6)
    for _ in range(40):
        pressure.look(MOST, 0.0, 0.0, 0.025)
    assert pressure.level == pytest.approx(2.0)
    for _ in range(100):
        pressure.look(MOST, 0.0, 0.0, 0.025)
    assert (pressure.level, pressure.closes()) == (0.0, False)


def test_it_says_what_presses() -> None:
    assert pressed(0.1).why == "loop_lag"
    assert pressed(0.1, lag=0.0, memory=0.95).why == "memory"
    assert pressed(0.1, lag=0.05, memory=0.95).why == "memory"


def test_no_bound_never_presses() -> None:
    pressure = Pressure()
    for _ in range(100):
        pressure.look(Most(0.0, 0.0), 10.0, 1.0, 0.1)
    assert pressure.level == 0.0


def test_a_share_is_shed_in_turn() -> None:
    pressure = Pressure()
    pressure.level = 1.25
    assert [pressure.sheds(2) for _ in range(8)] == [False, False, False, True] * 2


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_who_would_be_shed_is_who_then_is(rank: int) -> None:
    pressure = pressed(0.45)
    for _ in range(50):
        foreseen = [pressure.would_shed(rank) for _ in range(3)]
        next_but_one = pressure.would_shed(rank, asked=1)
        assert foreseen == [pressure.sheds(rank), *foreseen[1:]]
        assert pressure.would_shed(rank) == next_but_one
        assert len(set(foreseen)) == 1
