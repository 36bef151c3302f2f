"""A sliding window admits no more than its limit in any stretch, and little less under load."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from random import Random

import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers, lists, randoms

from meshproxy.logic.window import SLICES, Quota, Window

LIMITS = integers(1, 40)
PERIODS = floats(0.01, 100.0)
DAY = 86_400.0


def admitted(quota: Quota, window: Window, times: list[float]) -> list[float]:
    return [now for now in times if quota.take(window, now) == 0.0]


def paced(begin: float, per_second: float, seconds: float) -> list[float]:
    return [begin + n / per_second for n in range(int(per_second * seconds))]


def test_the_limit_is_admitted_at_once_and_then_nothing_for_a_period() -> None:
    quota = Quota(3, 60.0)
    window = quota.fresh(100.0)
    assert admitted(quota, window, [100.0] * 10) == [100.0] * 3
    assert admitted(quota, window, [130.0, 159.9]) == []
    assert admitted(quota, window, [161.0] * 10) == [161.0] * 3


def test_room_comes_back_as_the_old_requests_leave() -> None:
    quota = Quota(2, 10.0)
    window = quota.fresh(0.0)
    assert admitted(quota, window, [0.0, 6.0]) == [0.0, 6.0]
    assert admitted(quota, window, [9.8, 10.1, 10.2, 15.8, 16.1, 16.2]) == [10.1, 16.1]


def test_a_refusal_counts_for_nothing() -> None:
    quota = Quota(1, 1.0)
    window = quota.fresh(0.0)
    admitted(quota, window, paced(0.0, 1000.0, 0.9))
    assert quota.take(window, 1.01) == 0.0


def test_what_is_given_back_is_there_again() -> None:
    quota = Quota(1, 60.0)
    window = quota.fresh(3.0)
    assert quota.take(window, 3.0) == 0.0
    quota.give_back(window)
    assert (quota.left(window, 3.0), quota.take(window, 3.0)) == (1.0, 0.0)


def test_asking_what_is_left_changes_nothing() -> None:
    quota = Quota(5, 10.0)
    window = quota.fresh(0.0)
    admitted(quota, window, [0.0, 0.0, 4.0])
    before = (window.head, window.total, bytes(window.counts))
    assert [quota.left(window, now) for now in (4.0, 10.1, 14.2, DAY)] == [2.0, 4.0, 5.0, 5.0]
    assert (window.head, window.total, bytes(window.counts)) == before


def test_a_lowered_limit_refuses_until_enough_has_left() -> None:
    window = Quota(10, 10.0).fresh(0.0)
    assert len(admitted(Quota(10, 10.0), window, [float(n) for n in range(10)])) == 10
    lower = Quota(3, 10.0)
    wait = lower.take(window, 9.0)
    # Seven of ten have to go, and one more for there to be room.
    assert 7.8 <= wait <= 8.2
    assert lower.take(window, 9.0 + wait) == 0.0


def test_a_limit_that_changes_between_two_refusals_tells_its_own_wait() -> None:
    window = Quota(4, 10.0).fresh(0.0)
    assert len(admitted(Quota(4, 10.0), window, [0.0, 2.0, 4.0, 6.0])) == 4
    waits = [Quota(limit, 10.0).take(window, 7.0) for limit in (4, 2, 1, 4)]
    assert waits == pytest.approx([3.0, 7.0, 9.0, 3.0], abs=0.11)


def test_what_is_given_back_shortens_the_wait() -> None:
    quota = Quota(2, 10.0)
    window = quota.fresh(0.0)
    assert len(admitted(quota, window, [0.0, 5.0, 5.0])) == 2
    quota.give_back(window)
    assert quota.take(window, 5.0) == 0.0
    assert quota.take(window, 5.0) == pytest.approx(5.0, abs=0.06)


def test_another_period_forgives_nothing() -> None:
    window = Quota(5, 10.0).fresh(0.0)
    assert len(admitted(Quota(5, 10.0), window, [0.0] * 5)) == 5
    longer = Quota(5, 60.0)
    assert longer.left(window, 1.0) == 0.0
    assert longer.take(window, 1.0) >= 59.0
    assert len(admitted(longer, window, [62.0] * 9)) == 5


def test_another_period_forgets_what_is_long_past() -> None:
    window = Quota(5, 10.0).fresh(0.0)
    admitted(Quota(5, 10.0), window, [0.0] * 5)
    assert len(admitted(Quota(5, 20.0), window, [100.0] * 9)) == 5


@given(
    limit=LIMITS,
    seconds=PERIODS,
    begin=floats(0.0, 1e6),
    gaps=lists(floats(0.0, 0.5), min_size=1, max_size=60),
)
def test_no_stretch_holds_more_than_is_promised(
    limit: int, seconds: float, begin: float, gaps: list[float]
) -> None:
    quota, times, now = Quota(limit, seconds), [], begin
    for gap in gaps:
        now += gap * seconds
        times.extend([now] * 5)
    admitted_at = admitted(quota, quota.fresh(begin), times)
    for more, stretch in ((limit, seconds * 98 / 100), (limit + ceil(limit / 50), seconds)):
        for first, later in zip(admitted_at, admitted_at[more:], strict=False):
            assert later - first >= stretch * (1.0 - 1e-6)


@pytest.mark.parametrize("limit", [20, 50, 200])
def test_a_late_request_now_and_then_costs_no_more_than_itself(limit: int) -> None:
    """A caller at the limit whose requests are at times so late that the next are refused."""
    quota, draw = Quota(limit, 1.0), Random(7)
    times = [n / limit + draw.random() * 0.01 for n in range(10 * limit)]
    times = sorted(t + 0.05 if n % limit == 0 else t for n, t in enumerate(times))
    assert len(admitted(quota, quota.fresh(0.0), times)) >= 0.98 * len(times)


@given(limit=LIMITS, begin=floats(0.0, 1e6), load=floats(2.0, 20.0))
def test_whoever_asks_too_often_never_gets_more_than_the_limit(
    limit: int, begin: float, load: float
) -> None:
    quota = Quota(limit, 1.0)
    admitted_at = admitted(quota, quota.fresh(begin), paced(begin, limit * load, 5.0))
    for first, later in zip(admitted_at, admitted_at[limit:], strict=False):
        assert later - first >= 1.0 - 1e-6


@given(limit=integers(1, 300), seconds=PERIODS, begin=floats(0.0, 1e6), draw=randoms())
def test_a_caller_that_keeps_to_the_limit_is_never_refused(
    limit: int, seconds: float, begin: float, draw: Random
) -> None:
    """Not even if its requests come by up to 1.5 % of a period too early or too late."""
    quota = Quota(limit, seconds)
    early = 0.99 * 0.015 * seconds
    times = [begin + n * seconds / limit + draw.random() * early for n in range(3 * limit)]
    assert len(admitted(quota, quota.fresh(begin), sorted(times))) == len(times)


@given(limit=LIMITS, seconds=PERIODS, now=floats(0.0, 1e6), gaps=lists(floats(0.0, 0.3)))
def test_whoever_waits_as_long_as_told_is_admitted(
    limit: int, seconds: float, now: float, gaps: list[float]
) -> None:
    quota = Quota(limit, seconds)
    window = quota.fresh(now)
    wait = 0.0
    for gap in [*gaps, *[0.0] * (limit + 1)]:
        now += gap * seconds
        wait = quota.take(window, now)
    assert 0.0 < wait <= seconds * (1.0 + 1.0 / SLICES) + 1e-6
    assert quota.take(window, now + wait) == 0.0


@given(limit=LIMITS, seconds=PERIODS, jumps=lists(floats(-DAY, DAY), min_size=1, max_size=20))
def test_a_clock_that_leaps_or_steps_back_never_frees_more_than_the_limit(
    limit: int, seconds: float, jumps: list[float]
) -> None:
    quota, now = Quota(limit, seconds), 1e6
    window = quota.fresh(now)
    for jump in jumps:
        now += jump
        assert len(admitted(quota, window, [now] * 60)) <= limit
        assert window.total == sum(window.counts) <= limit + ceil(limit / 50)


@pytest.mark.parametrize("load", [1, 2, 10])
@pytest.mark.parametrize("limit", [20, 50, 100, 1000])
@pytest.mark.parametrize("begin", [0.0, 1234.567])
def test_admits_within_two_percent_of_the_limit_over_ten_seconds(
    load: int, limit: int, begin: float
) -> None:
    quota = Quota(limit, 1.0)
    count = len(admitted(quota, quota.fresh(begin), paced(begin, float(limit * load), 10.0)))
    assert count == pytest.approx(10 * limit, rel=0.02)


@given(limit=LIMITS, seconds=PERIODS, spent=integers(0, 40), later=floats(0.0, 300.0))
def test_a_window_counts_as_fresh_only_when_all_of_it_is_free(
    limit: int, seconds: float, spent: int, later: float
) -> None:
    quota = Quota(limit, seconds)
    window = quota.fresh(0.0)
    admitted(quota, window, [0.0] * spent)
    if quota.is_fresh(window, later):
        assert quota.left(window, later) == limit
    else:
        assert spent > 0
        assert later <= seconds * (1.0 + 2.0 / SLICES)


@given(LIMITS, PERIODS, lists(floats(0.0, 100.0), max_size=40))
def test_a_peek_says_what_a_take_then_does_and_changes_nothing(
    limit: int, seconds: float, times: list[float]
) -> None:
    quota = Quota(limit, seconds)
    window = Quota(limit, 2.0 * seconds).fresh(0.0)  # as if a reload had changed the period
    for now in sorted(times):
        before = replace(window, counts=window.counts[:])
        foreseen = quota.peek(window, now)
        assert window == before
        assert quota.take(window, now) == foreseen
