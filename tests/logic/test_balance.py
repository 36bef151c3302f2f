"""Who gets the next request: properties of each choice, and statistics of many."""

from __future__ import annotations

import math
import random
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from types import FrameType

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from meshproxy.logic.balance import (
    BELIEVED,
    PENALTY,
    START,
    TAU,
    Draws,
    Pairs,
    certain_until,
    expected_wait,
    how_likely_less_crowded,
    how_likely_sooner,
    less_crowded,
    meetings,
    observe,
    penalty,
    ramp,
    sooner,
)


@dataclass
class Server:
    load: int = 0
    weight: int = 1
    cost: float = 0.0
    cost_at: float = 0.0


def weighing(*weights: int) -> list[Server]:
    return [Server(weight=weight) for weight in weights]


draws = st.floats(0.0, 1.0, exclude_max=True)
weights = st.lists(st.integers(1, 1000), min_size=2, max_size=50)
servers = st.builds(
    Server, st.integers(0, 1000), st.integers(1, 1000), st.floats(0.0, 300.0), st.floats(0.0, 100.0)
)


@given(weights, draws)
def test_two_draws_are_two_different_ones(weights: list[int], draw: float) -> None:
    one, other, left = Draws(weighing(*weights)).two(draw)
    assert one != other
    assert 0.0 <= left < 1.0
    assert {one, other} <= set(range(len(weights)))


@given(weights, draws)
def test_one_draw_is_one_of_them(weights: list[int], draw: float) -> None:
    assert 0 <= Draws(weighing(*weights)).one(draw) < len(weights)


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 5)])
def test_draws_follow_the_weights(weights: tuple[int, ...]) -> None:
    source, several = random.Random(7), Draws(weighing(*weights))
    singles = Counter(several.one(source.random()) for _ in range(30_000))
    firsts = Counter(several.two(source.random())[0] for _ in range(30_000))
    for index, weight in enumerate(weights):
        share = weight / sum(weights)
        assert singles[index] / 30_000 == pytest.approx(share, abs=0.015)
        assert firsts[index] / 30_000 == pytest.approx(share, abs=0.015)


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 5)])
def test_the_second_draw_follows_the_weights_that_the_first_left(weights: tuple[int, ...]) -> None:
    source, several = random.Random(8), Draws(weighing(*weights))
    seconds = Counter(
        other for one, other, _ in (several.two(source.random()) for _ in range(60_000)) if one == 0
    )
    rest = sum(weights[1:])
    for index in (1, 2):
        share = seconds[index] / seconds.total()
        assert share == pytest.approx(weights[index] / rest, abs=0.03)


def test_weights_are_read_at_the_first_draw() -> None:
    several = weighing(1, 1)
    lazy = Draws(several)
    several[1].weight = 999
    assert lazy.one(0.5) == 1


@given(servers, servers, draws)
def test_least_request_never_prefers_the_busier_of_two(
    one: Server, other: Server, draw: float
) -> None:
    if less_crowded(one, other, 0.0, draw):
        assert other.load / other.weight < one.load / one.weight
    else:
        assert one.load / one.weight <= other.load / other.weight


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 9), st.floats(0.001, 4.0), draws)
def test_peak_ewma_never_prefers_the_busier_of_two_as_fast(
    load: int, more: int, weight: int, cost: float, draw: float
) -> None:
    assume(more)
    calm, busy = Server(load, weight, cost, 50.0), Server(load + more, weight, cost, 50.0)
    assert not sooner(calm, busy, 51.0, draw)
    assert sooner(busy, calm, 51.0, draw)


@given(st.integers(0, 99), st.floats(0.001, 2.0), st.floats(1.01, 50.0))
def test_of_two_equally_crowded_the_slower_gets_a_share_by_the_square(
    load: int, cost: float, times: float
) -> None:
    fast, slow = Server(load, 1, cost, 50.0), Server(load, 1, cost * times, 50.0)
    share = 1.0 / (1.0 + times * times)
    assert not sooner(fast, slow, 50.0, 0.0), "whose turn it is stays where it is as good"
    # Each is the first in half of all turns, in which the slower one has to give these away.
    given = 1.0 - 2.0 * share
    assert sooner(slow, fast, 50.0, given * 0.99)
    assert not sooner(slow, fast, 50.0, given * 1.01)


def test_a_faster_server_may_be_busier_as_long_as_it_still_answers_sooner() -> None:
    slow = Server(load=0, cost=0.1, cost_at=50.0)
    for load, chosen in ((8, True), (10, False)):
        fast = Server(load=load, cost=0.01, cost_at=50.0)
        assert sooner(slow, fast, 50.0, 0.0) is chosen


def test_a_heavier_server_waits_less_for_as_many_requests() -> None:
    light, heavy = Server(4, 1, 0.1, 50.0), Server(4, 4, 0.1, 50.0)
    assert expected_wait(light, 50.0) == pytest.approx(0.5)
    assert expected_wait(heavy, 50.0) == pytest.approx(0.2)


def test_a_server_never_measured_gets_one_request_to_find_out() -> None:
    known = Server(load=0, cost=0.001, cost_at=49.0)
    new = Server()
    assert sooner(known, new, 50.0, 0.0)
    new.load = 1
    assert expected_wait(new, 50.0) == START * 2
    assert not sooner(known, new, 50.0, 0.999)


def test_a_latency_that_nothing_confirmed_is_doubted_after_a_while() -> None:
    punished = Server(cost=PENALTY, cost_at=100.0)
    assert expected_wait(punished, 100.0 + BELIEVED) == PENALTY
    assert expected_wait(punished, 100.1 + BELIEVED) == 0.0
    punished.load = 1
    assert expected_wait(punished, 100.1 + BELIEVED) == 2 * PENALTY, "one request, not a herd"


def test_a_server_that_asked_for_a_minute_is_left_alone_for_it() -> None:
    server = Server()
    observe(server, penalty(60.0), 100.0)
    assert expected_wait(server, 159.0) == 60.0
    assert expected_wait(server, 161.0) == 0.0


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [(-1.0, 5.0), (2.0, 5.0), (60.0, 60.0), (301.0, 5.0)]
)
def test_a_failure_counts_as_five_seconds_or_what_it_asked_for(
    retry_after: float, seconds: float
) -> None:
    assert penalty(retry_after) == seconds


def test_a_peak_counts_at_once_and_better_news_bit_by_bit() -> None:
    server = Server()
    observe(server, 0.010, 100.0)
    observe(server, 0.500, 101.0)
    assert server.cost == 0.500
    observe(server, 0.010, 103.0)
    keep = math.exp(-2.0 / TAU)
    assert server.cost == pytest.approx(0.5 * keep + 0.01 * (1 - keep))


def test_after_a_silence_the_next_answer_is_believed_outright() -> None:
    server = Server(cost=PENALTY, cost_at=100.0)
    observe(server, 0.002, 100.0 + BELIEVED + 1.0)
    assert server.cost == 0.002


@given(st.lists(st.tuples(st.floats(0.0, 20.0), st.floats(0.0, 10.0)), min_size=1, max_size=50))
def test_an_average_stays_within_what_was_measured(samples: list[tuple[float, float]]) -> None:
    server, now = Server(), 100.0
    for gap, seconds in samples:
        now += gap
        observe(server, seconds, now)
    measured = [seconds for _, seconds in samples]
    assert samples[-1][1] <= server.cost + 1e-12
    assert min(measured) - 1e-12 <= server.cost <= max(measured)


@pytest.mark.parametrize(
    ("after", "share"), [(0.0, 0.1), (2.9, 0.1), (6.0, 0.2), (15.0, 0.5), (30.0, 1.0), (99.0, 1.0)]
)
def test_a_share_grows_from_a_tenth_to_the_whole(after: float, share: float) -> None:
    assert ramp(100.0, 30.0, 100.0 + after) == pytest.approx(share)


def test_two_choices_level_the_load() -> None:
    """Mitzenmacher: with two choices the fullest is close to the average, by chance it is not."""
    source, several = random.Random(9), [Server() for _ in range(100)]
    drawn = Draws(several)
    for _ in range(10_000):
        one, other = (several[index] for index in drawn.two(source.random())[:2])
        (other if less_crowded(one, other, 0.0, 0.0) else one).load += 1
    assert max(server.load for server in several) <= 104


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("drawing", ["two", "turn"])
def test_a_choice_costs_the_same_for_three_and_for_a_thousand(even: bool, drawing: str) -> None:
    def steps(count: int) -> int:
        drawn = getattr(Draws(weighing(*([1] * count if even else range(1, count + 1)))), drawing)
        drawn(0.5)
        counted = 0

        def trace(frame: FrameType, event: str, _argument: object) -> object:
            nonlocal counted
            frame.f_trace = trace  # which Python 3.13 wants to have before the next
            frame.f_trace_opcodes = True
            counted += event == "opcode"
            return trace

        before = sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # Python 3.12 and later look for it at `settrace`
        sys.settrace(trace)
        try:
            drawn(0.99)
        finally:
            sys.settrace(before)
        return counted

    assert 0 < steps(1000) <= steps(3) + 4


@given(st.integers(2, 50), draws, st.lists(draws, min_size=1, max_size=60))
def test_those_that_weigh_the_same_are_the_first_in_turn(
    count: int, first: float, later: list[float]
) -> None:
    several = Draws(weighing(*[7] * count))
    begins = several.turn(first)[0]
    for number, draw in enumerate(later, 1):
        one, other, left = several.turn(draw)
        assert one == (begins + number) % count
        assert other != one
        assert 0 <= other < count
        assert 0.0 <= left < 1.0


def test_the_second_of_a_turn_is_anyone_else() -> None:
    source, several = random.Random(3), Draws(weighing(1, 1, 1, 1))
    found = Counter(several.turn(source.random())[:2] for _ in range(24_000))
    assert len(found) == 12
    assert all(count / 2000 == pytest.approx(1.0, abs=0.12) for count in found.values())


@given(weights, draws)
def test_those_that_do_not_are_both_drawn(weights: list[int], draw: float) -> None:
    assume(len(set(weights)) > 1)
    assert Draws(weighing(*weights)).turn(draw) == Draws(weighing(*weights)).two(draw)


@given(weights, st.integers(0, 2**20))
def test_what_is_left_of_a_draw_is_a_draw_of_its_own(weights: list[int], seed: int) -> None:
    source, several = random.Random(seed), Draws(weighing(*weights))
    lefts = [several.two(source.random())[2] for _ in range(400)]
    assert sum(lefts) / 400 == pytest.approx(0.5, abs=0.1)
    assert sum(left < 0.25 for left in lefts) / 400 == pytest.approx(0.25, abs=0.15)


@given(
    st.tuples(st.integers(0, 3), st.integers(1, 3), st.floats(0.0, 1.0)),
    st.tuples(st.integers(0, 3), st.integers(1, 3), st.floats(0.0, 1.0)),
)
def test_how_likely_the_other_is_sooner(
    one: tuple[int, int, float], other: tuple[int, int, float]
) -> None:
    """Counted over draws that lie evenly."""
    first, second = (
        Server(load=load, weight=weight, cost=cost, cost_at=99.0)
        for load, weight, cost in (one, other)
    )
    draws = [(at + 0.5) / 400 for at in range(400)]
    share = sum(sooner(first, second, 100.0, draw) for draw in draws) / 400
    assert how_likely_sooner(first, second, 100.0) == pytest.approx(share, abs=0.003)
    fewer = less_crowded(first, second, 100.0, 0.5)
    assert how_likely_less_crowded(first, second, 100.0) == float(fewer)


@given(st.lists(servers, min_size=1, max_size=6), st.floats(0.0, 110.0))
def test_until_it_is_certain_no_latency_is_doubted_and_all_weigh_the_same(
    several: list[Server], now: float
) -> None:
    sure = now <= certain_until(several)
    if len({server.weight for server in several}) > 1:
        assert not sure
    elif sure:
        assert all(server.cost and server.cost_at >= now - BELIEVED - 1e-9 for server in several)
    else:
        assert not all(server.cost and server.cost_at > now - BELIEVED for server in several)


@given(st.integers(2, 40), st.lists(draws, min_size=3, max_size=3))
def test_in_a_round_of_meetings_each_is_the_first_once_and_the_other_once(
    count: int, several: list[float]
) -> None:
    """Below FEW and above it."""
    numbers, drawn = tuple(range(count)), iter(several)
    endless = meetings(numbers, lambda: next(drawn))
    for draw in several:
        met = list(islice(endless, count))
        assert [one for one, _ in met] == list(numbers)
        apart = {(other - one) % count for one, other in met}
        assert apart == {1 + int(draw * (count - 1))}


@given(st.integers(2, 40), st.integers(0, 2**32))
def test_over_many_rounds_each_meets_all_others(count: int, seed: int) -> None:
    endless = meetings(tuple(range(count)), random.Random(seed).random)
    met = set(islice(endless, count * count * 20))
    assert met == {(one, other) for one in range(count) for other in range(count) if one != other}


@given(weights, st.lists(draws, max_size=20), st.integers(0, 2**32))
def test_the_first_of_a_pair_is_never_the_worse_one(
    weights: list[int], picks: list[float], seed: int
) -> None:
    source, several = random.Random(seed), weighing(*weights)
    pairs = Pairs(several, less_crowded)
    for draw in picks:
        for drawing in (pairs.pair, pairs.by_chance):
            one, other = drawing(draw, 0.0)
            assert one is not other
            assert one.load * other.weight <= other.load * one.weight
            one.load += source.randrange(3)
