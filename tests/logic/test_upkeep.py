"""When a worker is started again, in virtual time."""

from __future__ import annotations

import pytest

from meshproxy.logic.upkeep import GIVEN_UP, MOST, QUIET, SETTLED, Health, Starts, health


@pytest.mark.parametrize(
    ("age", "found"),
    [(0.0, Health.WELL), (QUIET - 0.01, Health.WELL), (QUIET, Health.STUCK),
     (GIVEN_UP - 0.01, Health.STUCK), (GIVEN_UP, Health.LOST)],
)  # fmt: skip
def test_a_beat_s_age_says_how_it_is(age: float, found: Health) -> None:
    assert health(age) is found


def test_the_first_replacement_is_at_once() -> None:
    starts = Starts()
    starts.start(100.0)
    assert starts.ended(100.1) == 0.0
    assert starts.due == 100.1


def test_one_that_crashes_at_its_start_comes_back_ever_more_slowly() -> None:
    starts, now, pauses = Starts(), 0.0, []
    for _ in range(10):
        starts.start(now)
        pauses.append(starts.ended(now + 0.1))
        now = starts.due
    assert pauses[:5] == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert pauses[-1] == MOST


def test_one_that_ran_for_a_while_starts_over() -> None:
    starts = Starts()
    for _ in range(5):
        starts.start(0.0)
        starts.ended(0.1)
    starts.start(10.0)
    assert starts.ended(10.0 + SETTLED) == 0.0
