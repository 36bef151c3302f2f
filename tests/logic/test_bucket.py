"""A token bucket admits its burst and its rate, and says truly when to come again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers, lists

from meshproxy.logic.bucket import Level, Rate

RATES = floats(0.01, 1000.0)
BURSTS = integers(1, 50).map(float)
DAY = 86_400.0


def admitted(rate: Rate, level: Level, times: list[float]) -> list[float]:
    return [now for now in times if rate.take(level, now) == 0.0]


def paced(begin: float, per_second: float, seconds: float) -> list[float]:
    return [begin + n / per_second for n in range(int(per_second * seconds))]


def test_a_fresh_bucket_holds_its_burst_and_no_more() -> None:
    rate = Rate(per_second=1.0, burst=3.0)
    assert [rate.take(level, 7.0) for level in [rate.fresh(7.0)] for _ in range(4)] == [
        0.0, 0.0, 0.0, 1.0,
    ]  # fmt: skip


def test_a_refusal_spends_nothing() -> None:
    rate, level = Rate(1.0, 1.0), Level(0.5, 0.0)
    waits = [rate.take(level, 0.0) for _ in range(5)]
    assert waits == [0.5] * 5


def test_a_raised_rate_keeps_the_tokens_already_spent() -> None:
    level = Level(tokens=0.0, stamp=10.0)
    assert Rate(per_second=2.0, burst=5.0).take(level, 10.25) == pytest.approx(0.25)


def test_a_lowered_burst_cuts_the_level_even_when_time_stands_still() -> None:
    level = Rate(100.0, 100.0).fresh(5.0)
    lower = Rate(1.0, 2.0)
    assert [lower.take(level, 5.0) for _ in range(3)] == [0.0, 0.0, 1.0]


def test_a_lowered_rate_refills_nothing() -> None:
    level = Rate(100.0, 10.0).fresh(0.0)
    spent = admitted(Rate(100.0, 10.0), level, [0.0] * 10)
    assert len(spent) == 10
    assert Rate(1.0, 10.0).take(level, 0.0) == pytest.approx(1.0)


def test_what_is_given_back_is_there_again() -> None:
    rate = Rate(1.0, 1.0)
    level = rate.fresh(0.0)
    assert rate.take(level, 0.0) == 0.0
    rate.give_back(level)
    assert (rate.left(level, 0.0), rate.take(level, 0.0)) == (1.0, 0.0)


def test_asking_what_is_left_changes_nothing() -> None:
    rate, level = Rate(2.0, 10.0), Level(1.0, 0.0)
    assert (rate.left(level, 2.0), rate.left(level, 60.0)) == (5.0, 10.0)
    assert (level.tokens, level.stamp) == (1.0, 0.0)


@given(rate=RATES, burst=BURSTS, gaps=lists(floats(0.0, 3.0), min_size=1, max_size=200))
def test_no_stretch_admits_more_than_burst_plus_rate_times_its_length(
    rate: float, burst: float, gaps: list[float]
) -> None:
    bucket, times, now = Rate(rate, burst), [], 1000.0
    for gap in gaps:
        now += gap
        times.extend([now, now])
    admitted_at = admitted(bucket, bucket.fresh(1000.0), times)
    for first, begin in enumerate(admitted_at):
        for last in range(first, len(admitted_at)):
            allowed = burst + rate * (admitted_at[last] - begin)
            assert last - first + 1 <= allowed + 1e-3


@given(rate=RATES, burst=BURSTS, now=floats(0.0, 1e6), spend=integers(0, 60))
def test_whoever_waits_as_long_as_told_is_admitted(
    rate: float, burst: float, now: float, spend: int
) -> None:
    bucket = Rate(rate, burst)
    level = bucket.fresh(now)
    waits = [bucket.take(level, now) for _ in range(spend)]
    wait = waits[-1] if waits else 0.0
    assert bucket.take(level, now + wait) == 0.0 or (wait == 0.0 and spend >= burst)


@given(
    rate=RATES,
    burst=BURSTS,
    jumps=lists(floats(-DAY, DAY), min_size=1, max_size=20),
)
def test_a_clock_that_leaps_or_steps_back_never_frees_more_than_a_burst(
    rate: float, burst: float, jumps: list[float]
) -> None:
    bucket, now = Rate(rate, burst), 1e6
    level = bucket.fresh(now)
    for jump in jumps:
        now += jump
        assert len(admitted(bucket, level, [now] * 60)) <= burst
        assert -1e-6 <= bucket.left(level, now) <= burst


@pytest.mark.parametrize("load", [1, 2, 10])
def test_admits_within_two_percent_of_the_limit_over_ten_seconds(load: int) -> None:
    rate = Rate(per_second=100.0, burst=1.0)
    count = len(admitted(rate, rate.fresh(50.0), paced(50.0, 100.0 * load, 10.0)))
    assert count == pytest.approx(1000, rel=0.02)


@given(rate=RATES, burst=BURSTS, spent=integers(0, 50), later=floats(0.0, 1e4))
def test_a_level_counts_as_fresh_only_when_a_fresh_one_would_grant_no_more(
    rate: float, burst: float, spent: int, later: float
) -> None:
    bucket = Rate(rate, burst)
    level = bucket.fresh(0.0)
    for _ in range(spent):
        bucket.take(level, 0.0)
    if bucket.is_fresh(level, later):
        assert bucket.left(level, later) == burst
    else:
        assert bucket.left(level, later) < burst


@given(RATES, BURSTS, lists(floats(0.0, 100.0), max_size=30))
def test_a_peek_says_what_a_take_then_does_and_changes_nothing(
    per_second: float, burst: float, times: list[float]
) -> None:
    rate, level = Rate(per_second, burst), Level(burst, 0.0)
    for now in times:
        before = (level.tokens, level.stamp)
        foreseen = rate.peek(level, now)
        assert (level.tokens, level.stamp) == before
        assert rate.take(level, now) == foreseen
