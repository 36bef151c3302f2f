"""Which attempts may be repeated, how long to wait, and how much an upstream has to bear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.logic.retry import (
    LOOK_BACK,
    Allowance,
    Backoff,
    Reserve,
    directed_pause,
    may_repeat,
    pause,
    spend,
    would_spend,
)

draws = st.floats(0.0, 1.0, exclude_max=True)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"])
def test_idempotent_methods_may_be_repeated(method: bytes) -> None:
    assert may_repeat(method, sent=True, key=None)


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"CONNECT", b"get", b"PURGE", b""])
def test_any_other_method_only_when_nothing_was_sent_or_a_key_is_there(method: bytes) -> None:
    assert not may_repeat(method, sent=True, key=None)
    assert may_repeat(method, sent=False, key=None)
    assert may_repeat(method, sent=True, key=b"8e03978e")


def test_exponential_waits_grow_to_the_longest() -> None:
    plain = Backoff(0.025, 0.25, jitter=0.0)
    waits = [pause(plain, retry, 0.7) for retry in range(1, 7)]
    assert waits == pytest.approx([0.025, 0.075, 0.175, 0.25, 0.25, 0.25])


def test_fixed_waits_are_all_the_same() -> None:
    fixed = Backoff(0.1, 1.0, jitter=0.0, doubles=False)
    assert {pause(fixed, retry, 0.3) for retry in range(1, 9)} == {0.1}


@given(retry=st.integers(1, 5000), jitter=st.floats(0.0, 1.0), draw=draws)
def test_jitter_only_shortens_a_wait_and_by_its_share_at_most(
    retry: int, jitter: float, draw: float
) -> None:
    most = pause(Backoff(jitter=0.0), retry, draw)
    wait = pause(Backoff(jitter=jitter), retry, draw)
    assert most * (1.0 - jitter) <= wait * (1 + 1e-9)
    assert 0.0 <= wait <= most <= 0.25


@given(seconds=st.floats(0.001, 300.0), draw=draws)
def test_what_the_answer_asks_for_is_waited_and_up_to_half_more(
    seconds: float, draw: float
) -> None:
    wait = directed_pause(seconds, draw)
    assert wait is not None
    assert seconds <= wait <= 1.5 * seconds


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 300.1, 1e9, float("nan")])
def test_silence_and_the_unbelievable_direct_nothing(seconds: float) -> None:
    assert directed_pause(seconds, 0.5) is None


def outage(allowance: Allowance, per_second: int, seconds: int) -> tuple[int, int]:
    """(requests, retries) where everything fails and is retried as often as it may be."""
    reserve = Reserve(allowance, 0.0)
    asked: list[float] = []
    repeated: list[float] = []
    for i in range(per_second * seconds):
        now = i / per_second
        asked.append(now)
        recent = sum(at > now - LOOK_BACK for at in asked[-int(LOOK_BACK * per_second) :])
        again = sum(at > now - LOOK_BACK for at in repeated[-int(LOOK_BACK * per_second) :])
        if spend(allowance, reserve, (recent, again), now):
            repeated.append(now)
    return len(asked), len(repeated)


@pytest.mark.parametrize("per_second", [60, 100, 300])
def test_a_total_outage_costs_a_fifth_more_and_not_one_attempt_beyond(per_second: int) -> None:
    requests, retries = outage(Allowance(0.2, 10.0), per_second, 6)
    assert retries <= 0.2 * requests
    assert retries >= 0.19 * requests, "the budget was not used"


def test_few_requests_may_be_retried_as_often_as_the_reserve_allows() -> None:
    requests, retries = outage(Allowance(0.2, 10.0), 5, 20)
    assert (requests, retries) == (100, 100)


def test_the_reserve_is_a_rate_and_not_a_stock() -> None:
    _, retries = outage(Allowance(0.0, 2.0), 100, 10)
    assert 18 <= retries <= 2 * 10 + 2


def test_without_a_reserve_only_requests_earn_retries() -> None:
    allowance = Allowance(0.2, 0.0)
    reserve = Reserve(allowance, 0.0)
    assert [spend(allowance, reserve, (n, 0), 1.0) for n in (1, 4, 5)] == [False, False, True]


def test_a_ratio_of_one_half_at_its_edge_is_not_lost_to_rounding() -> None:
    for hundredth in range(1, 100):
        allowance = Allowance(hundredth / 100.0, 0.0)
        assert spend(allowance, Reserve(allowance, 0.0), (100, hundredth - 1), 0.0)
        assert not spend(allowance, Reserve(allowance, 0.0), (100, hundredth), 0.0)


def test_a_day_asleep_fills_the_reserve_and_no_more() -> None:
    allowance = Allowance(0.0, 10.0)
    reserve = Reserve(allowance, 0.0)
    granted = [spend(allowance, reserve, (0, 0), 86400.0) for _ in range(30)]
    assert sum(granted) == 10


@given(
    steps=st.lists(st.tuples(st.floats(0.0, 2.0), st.integers(0, 30)), max_size=80),
    ratio=st.sampled_from([0.0, 0.1, 0.2, 1.0]),
    least=st.sampled_from([0.0, 0.5, 10.0]),
)
def test_no_history_grants_more_than_share_and_reserve_together(
    steps: list[tuple[float, int]], ratio: float, least: float
) -> None:
    allowance, now = Allowance(ratio, least), 0.0
    reserve, requests, retries = Reserve(allowance, 0.0), 0, 0
    for gap, burst in steps:
        now += gap
        for _ in range(burst):
            requests += 1
            retries += spend(allowance, reserve, (requests, retries), now)
    burst_size = max(1.0, least) if least else 0.0
    assert retries <= ratio * requests + burst_size + least * now + 1e-6
    if not least:
        assert retries <= ratio * requests + 1e-6


@given(
    st.floats(0.0, 1.0), st.floats(0.0, 3.0),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.floats(0.0, 2.0)), max_size=20),
)  # fmt: skip
def test_whether_one_would_be_granted_is_told_before(
    ratio: float, per_second: float, asks: list[tuple[int, int, float]]
) -> None:
    allowance = Allowance(ratio, per_second)
    reserve, now = Reserve(allowance, 0.0), 0.0
    for requests, retries, pause_ in asks:
        now += pause_
        before = (reserve.tokens, reserve.stamp)
        foreseen = would_spend(allowance, reserve, (requests, retries), now)
        assert (reserve.tokens, reserve.stamp) == before
        assert spend(allowance, reserve, (requests, retries), now) == foreseen
