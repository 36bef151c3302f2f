"""A limit is judged by what it gives: too much, too little, no burst; in virtual time."""

from __future__ import annotations

import pytest

from loadtests.allowance import Allowance
from meshproxy.logic.bucket import Rate

LATENCY = 0.004  # seconds; half of it before the limiter decides


def judged(limit: Rate, offered: float, pauses: tuple[float, ...] = ()) -> list[str]:
    """What is said of this limiter where 50/s and a burst of 50 are owed, over ten seconds."""
    allowance, level = Allowance(50, 50), limit.fresh(0.0)
    for number in range(int(offered * 10)):
        now = number / offered
        if any(pause <= now < pause + 2.0 for pause in pauses):
            continue
        allowance.asked(now)
        given = limit.take(level, now + LATENCY / 2) == 0.0
        allowance.told(now + LATENCY, given)
    return allowance.problems()


@pytest.mark.parametrize("offered", [1.0, 49.0, 51.0, 400.0, 10_000.0])
def test_a_sound_limit_has_no_problem(offered: float) -> None:
    assert judged(Rate(50, 50), offered) == []


def test_a_client_that_pauses_is_owed_less() -> None:
    assert judged(Rate(50, 50), 400.0, pauses=(2.0, 5.0)) == []


@pytest.mark.parametrize(
    ("limit", "complaint"),
    [
        (Rate(500, 500), "the limit gave 4000, at most 579 is allowed"),
        (Rate(60, 50), "the limit gave 649, at most 579 is allowed"),
        (Rate(50, 100), "the limit gave 599, at most 579 is allowed"),
        (Rate(40, 50), "the limit gave 449, at least 472 is owed"),
        (Rate(50, 20), "the limit refused one of the first 23, within its burst"),
    ],
)
def test_another_limit_is_told(limit: Rate, complaint: str) -> None:
    assert judged(limit, 400.0) == [complaint]
