"""Balancers on the walk: untried and allowed first, and what each strategy does with load."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshproxy.core.route import Endpoint
from meshproxy.core.verdict import Failure
from meshproxy.logic import balance
from meshproxy.policies.balancers import Balancer
from meshproxy.policies.load_balancer import STRATEGIES, LoadBalancerSpec

from .attempts import exchange_of, scope_of, settle

strategies = pytest.mark.parametrize("strategy", STRATEGIES)


def built(strategy: str, *names: str, seed: int = 1) -> tuple[Any, tuple[Endpoint, ...]]:
    scope = scope_of(*names, seed=seed)
    return LoadBalancerSpec.model_validate(strategy).build(scope), scope.cluster.endpoints


def anyone(endpoint: Endpoint, now: float) -> bool:
    return True


def picks(balancer: Balancer, count: int, now: float = 100.0) -> Counter[str]:
    chosen = (balancer.pick(exchange_of(), anyone, now) for _ in range(count))
    return Counter(endpoint.name for endpoint in chosen if endpoint is not None)


@strategies
def test_one_endpoint_is_picked_if_it_is_allowed(strategy: str) -> None:
    balancer, (only,) = built(strategy, "a")
    exchange = exchange_of()
    exchange.tried = [only]
    assert balancer.pick(exchange, anyone, 100.0) is only
    assert balancer.pick(exchange, lambda endpoint, now: False, 100.0) is None


@strategies
def test_a_cluster_without_endpoints_has_nothing_to_pick(strategy: str) -> None:
    balancer, _ = built(strategy)
    assert balancer.pick(exchange_of(), anyone, 100.0) is None


@strategies
def test_every_endpoint_gets_a_share(strategy: str) -> None:
    balancer, _ = built(strategy, "a", "b", "c")
    counts = picks(balancer, 3000)
    assert min(counts[name] for name in "abc") > 900


@strategies
@given(
    count=st.integers(2, 8),
    closed=st.sets(st.integers(0, 7)),
    tried=st.sets(st.integers(0, 7)),
    loads=st.lists(st.integers(0, 50), min_size=8, max_size=8),
    seed=st.integers(0, 1000),
)
def test_allowed_ones_only_and_untried_ones_first(
    strategy: str, count: int, closed: set[int], tried: set[int], loads: list[int], seed: int
) -> None:
    balancer, endpoints = built(strategy, *map(str, range(count)), seed=seed)
    for endpoint, load in zip(endpoints, loads, strict=False):
        endpoint.load = load
    exchange = exchange_of()
    exchange.tried = [endpoints[index] for index in tried if index < count]
    chosen = balancer.pick(exchange, lambda each, now: int(each.name) not in closed, 100.0)
    able = {index for index in range(count) if index not in closed}
    if able:
        assert int(chosen.name) in ((able - tried) or able)
    else:
        assert chosen is None


@strategies
def test_a_pick_among_a_thousand_asks_about_three_at_most(strategy: str) -> None:
    balancer, _ = built(strategy, *map(str, range(1000)))
    for refused in (0, 1):
        asked: list[Endpoint] = []

        def allowed(
            endpoint: Endpoint, now: float, asked: list[Endpoint] = asked, free: int = refused
        ) -> bool:
            asked.append(endpoint)
            return len(asked) > free

        assert balancer.pick(exchange_of(), allowed, 100.0) is not None
        # One draw, and no second one to fall back on: chance has to look at what is left.
        assert len(asked) <= (1001 if strategy == "random" and refused else 2 + refused)


@pytest.mark.parametrize("strategy", ["round_robin", "random", "least_request"])
def test_weights_are_followed(strategy: str) -> None:
    balancer, endpoints = built(strategy, "a", "b", "c")
    for endpoint, weight in zip(endpoints, (1, 2, 5), strict=True):
        endpoint.weight = weight
    counts = picks(balancer, 8000)
    if strategy == "round_robin":
        assert counts == {"a": 1000, "b": 2000, "c": 5000}
    elif strategy == "random":
        assert counts["a"] == pytest.approx(1000, abs=150)
        assert counts["c"] == pytest.approx(5000, abs=250)
    else:
        assert counts["a"] < counts["b"] < counts["c"]


@pytest.mark.parametrize("strategy", ["least_request", "peak_ewma"])
def test_load_is_levelled_by_weight(strategy: str) -> None:
    balancer, endpoints = built(strategy, "a", "b", "c")
    for endpoint, weight in zip(endpoints, (1, 2, 5), strict=True):
        endpoint.weight = weight
    for _ in range(800):
        balancer.pick(exchange_of(), anyone, 100.0).load += 1
    assert [endpoint.load for endpoint in endpoints] == pytest.approx([100, 200, 500], abs=15)


def test_when_most_are_barred_the_rest_share_the_load() -> None:
    balancer, _ = built("least_request", *map(str, range(100)))
    chosen = Counter(
        balancer.pick(exchange_of(), lambda each, now: int(each.name) < 10, 100.0).name
        for _ in range(5000)
    )
    assert len(chosen) == 10
    assert min(chosen.values()) > 350


def answering(
    balancer: Any, latency: dict[str, float], requests: int, now: float, gap: float = 0.05
) -> Counter[str]:
    """Requests one after the other, each answered after its endpoint's latency."""
    chosen: Counter[str] = Counter()
    for _ in range(requests):
        exchange = exchange_of()
        endpoint = balancer.pick(exchange, anyone, now)
        exchange.endpoint, exchange.sent_at = endpoint, now
        now += latency[endpoint.name]
        settle([balancer], exchange, 200, now)
        chosen[endpoint.name] += 1
        now += gap
    return chosen


def test_peak_ewma_keeps_to_the_faster_ones() -> None:
    balancer, _ = built("peak_ewma", "fast", "slow")
    chosen = answering(balancer, {"fast": 0.005, "slow": 0.100}, 2000, 100.0)
    assert chosen["fast"] > 1900
    assert chosen["slow"] >= 10, "it is asked now and then whether it got better"


def test_peak_ewma_lets_equals_share() -> None:
    balancer, _ = built("peak_ewma", "a", "b", "c")
    source = random.Random(5)
    latency = {"a": 0.005, "b": 0.005, "c": 0.005}
    chosen: Counter[str] = Counter()
    now = 100.0
    for _ in range(200):
        noisy = {name: seconds * source.uniform(0.8, 1.4) for name, seconds in latency.items()}
        chosen += answering(balancer, noisy, 10, now)
        now += 1.0
    assert min(chosen.values()) > 400, chosen


def test_before_anything_is_known_weights_count() -> None:
    scope = scope_of("light", "heavy")
    light, heavy = scope.cluster.endpoints
    heavy.weight = 3
    chosen = picks(LoadBalancerSpec.model_validate("peak_ewma").build(scope), 4000)
    assert 900 < chosen[light.name] < 1100


def test_peak_ewma_finds_out_when_a_slow_one_got_better() -> None:
    balancer, _ = built("peak_ewma", "a", "b")
    answering(balancer, {"a": 0.005, "b": 0.500}, 200, 100.0)
    chosen = answering(balancer, {"a": 0.005, "b": 0.001}, 2000, 200.0)
    assert chosen["b"] > 1500


@pytest.mark.parametrize(
    "outcome", [503, 500, 429, Failure.RESET, Failure.CONNECT, Failure.TRY_TIMEOUT]
)
def test_fast_errors_attract_no_traffic(outcome: Any) -> None:
    balancer, (bad, good) = built("peak_ewma", "bad", "good")
    for endpoint, came_to in ((bad, outcome), (good, 200)):
        exchange = exchange_of()
        exchange.endpoint, exchange.sent_at = endpoint, 100.0
        settle([balancer], exchange, came_to, 100.05 if endpoint is good else 100.001)
    assert bad.cost == 5.0
    assert picks(balancer, 1000, now=101.0)["good"] >= 998


def test_one_that_is_barred_sends_little_to_the_worst_one() -> None:
    """The partner of a barred one in a draw has beaten nobody."""
    balancer, ends = built("peak_ewma", "bad", "barred", *map(str, range(8)))
    for end in ends:
        end.cost, end.cost_at = 0.01, 100.0
    ends[0].cost = 5.0
    ends[1].cost = 0.001
    chosen = Counter(
        balancer.pick(exchange_of(), lambda each, now: each.name != "barred", 101.0).name
        for _ in range(50_000)
    )
    assert chosen["bad"] < 0.007 * 50_000, "and not one in forty-five"


def test_an_answer_s_retry_after_is_how_long_it_stays_away() -> None:
    balancer, (a, b) = built("peak_ewma", "a", "b")
    exchange = exchange_of()
    exchange.endpoint, exchange.sent_at, exchange.retry_after = a, 100.0, 60.0
    settle([balancer], exchange, 503, 100.0)
    assert a.cost == 60.0
    assert b.cost == 0.0


@pytest.mark.parametrize("failure", [Failure.CLIENT_GONE, Failure.CLIENT_STALLED, Failure.STALE])
def test_what_is_not_the_upstream_s_fault_teaches_nothing(failure: Failure) -> None:
    balancer, (a, _) = built("peak_ewma", "a", "b")
    a.cost, a.cost_at = 0.01, 99.0
    exchange = exchange_of()
    exchange.endpoint, exchange.sent_at = a, 100.0
    settle([balancer], exchange, failure, 130.0)
    assert (a.cost, a.cost_at) == (0.01, 99.0)


@pytest.mark.parametrize(("known", "learned"), [(0.01, 0.2), (5.0, 5.0)])
def test_one_that_was_outrun_took_at_least_so_long(known: float, learned: float) -> None:
    balancer, (a, _) = built("peak_ewma", "a", "b")
    a.cost, a.cost_at = known, 99.0
    exchange = exchange_of()
    exchange.endpoint, exchange.sent_at = a, 100.0
    settle([balancer], exchange, Failure.OUTRUN, 100.2)
    assert a.cost == pytest.approx(learned)


def test_what_was_learned_survives_a_reload() -> None:
    """It is kept on the endpoint, so a new balancer over the same endpoints knows it."""
    scope = scope_of("a", "b")
    first: Any = LoadBalancerSpec().build(scope)
    a, b = scope.cluster.endpoints
    for endpoint, seconds in ((a, 0.200), (b, 0.005)):
        exchange = exchange_of()
        exchange.endpoint, exchange.sent_at = endpoint, 100.0
        settle([first], exchange, 200, 100.0 + seconds)
    assert picks(LoadBalancerSpec().build(scope), 1000, now=101.0)["b"] > 980


@strategies
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2), st.sampled_from([0.0, 0.01, 0.2]),
                       st.booleans()), min_size=2, max_size=4),
)  # fmt: skip
@settings(max_examples=15, deadline=None)
def test_the_chances_told_are_those_of_many_picks(
    strategy: str, ends: list[tuple[int, int, float, bool]]
) -> None:
    """Nothing is drawn to tell them."""
    scope = scope_of(*(f"e{number}" for number in range(len(ends))))
    able = set()
    for endpoint, (weight, load, cost, may) in zip(scope.cluster.endpoints, ends, strict=True):
        endpoint.weight, endpoint.load, endpoint.cost, endpoint.cost_at = weight, load, cost, 99.0
        able |= {endpoint} if may else set()
    balancer: Any = LoadBalancerSpec.model_validate(strategy).build(scope)
    if strategy == "round_robin":
        balancer.pick(exchange_of(), anyone, 100.0)
    drawn: Any = scope.random
    before = drawn.getstate()
    choice = balancer.choose(exchange_of(), lambda end, now: end in able, 100.0)
    assert drawn.getstate() == before
    if choice is None:
        assert not able
        return
    chances = dict(choice.candidates)
    assert sum(chances.values()) == pytest.approx(1.0)
    count = 1 if strategy == "round_robin" else 1500
    chosen = [
        balancer.pick(exchange_of(), lambda end, now: end in able, 100.0) for _ in range(count)
    ]
    for endpoint, share in Counter(chosen).items():
        assert share / count == pytest.approx(chances[endpoint], abs=0.07)


def test_of_very_many_only_who_may_be_picked_is_told() -> None:
    balancer, endpoints = built("least_request", *(f"e{number}" for number in range(100)))
    choice = balancer.choose(
        exchange_of(), lambda endpoint, now: endpoint is not endpoints[7], 100.0
    )
    assert len(choice.candidates) == 99
    assert {chance for _, chance in choice.candidates} == {None}


def test_who_begins_the_turns_is_not_told_as_certain() -> None:
    balancer, _ = built("round_robin", "a", "b")
    assert not balancer.choose(exchange_of(), anyone, 100.0).is_certain


class Draw:
    """Randomness that says what it is told to."""

    draw = 0.5

    def random(self) -> float:
        return self.draw


PICKS = st.lists(
    st.tuples(
        st.floats(0.0, 1.0, exclude_max=True),  # what is drawn
        st.floats(0.0, 0.1),  # seconds since the pick before
        st.integers(0, 3),  # requests in flight from then on
        st.floats(0.001, 2.0),  # seconds that its answer took
    ),
    max_size=30,
)


@given(weight=st.integers(1, 9), costs=st.lists(st.floats(0.001, 2.0), min_size=2), picks=PICKS)
def test_the_short_way_of_peak_ewma_comes_to_what_the_long_way_does(
    weight: int, costs: list[float], picks: list[tuple[float, float, int, float]]
) -> None:
    source = Draw()
    scope = replace(scope_of(*map(str, range(len(costs)))), random=source)
    endpoints, now = tuple(scope.cluster.endpoints), 100.0
    for endpoint, cost in zip(endpoints, costs, strict=True):
        endpoint.weight, endpoint.cost, endpoint.cost_at = weight, cost, now
    balancer = LoadBalancerSpec.model_validate("peak_ewma").build(scope)
    balancer.pick(exchange_of(), anyone, now)  # which finds out that the short way may be taken
    meetings = balance.meetings(endpoints, source.random)
    for draw, passed, load, seconds in picks:
        source.draw = draw
        now += passed
        one, other = next(meetings)
        picked = balancer.pick(exchange_of(), anyone, now)
        better = other if balance.sooner(one, other, now, draw) else one
        waits = [balance.expected_wait(each, now) for each in (one, other)]
        # Two may be as good but for the last bit of a float.
        assert picked is better or waits[0] == pytest.approx(waits[1], rel=1e-9)
        picked.load = load
        exchange = exchange_of()
        exchange.endpoint, exchange.sent_at = picked, now - seconds
        known = SimpleNamespace(cost=picked.cost, cost_at=picked.cost_at)
        settle([balancer], exchange, 200, now)
        balance.observe(known, now - exchange.sent_at, now)
        assert (picked.cost, picked.cost_at) == (known.cost, known.cost_at)


def test_peak_ewma_doubts_a_latency_that_nothing_confirmed_between_two_rounds_as_well() -> None:
    balancer, (slow, *others) = built("peak_ewma", *"abcdefgh")
    for endpoint in (slow, *others):
        balance.observe(endpoint, 5.0 if endpoint is slow else 0.01, 100.0)

    def asked(seconds: float) -> int:
        """How often the slow one is, with an answer of somebody else each 10 ms."""
        found, now = 0, seconds
        while now < seconds + 2.0:
            endpoint = balancer.pick(exchange_of(), anyone, now)
            found += endpoint is slow
            if endpoint is not slow:
                balance.observe(endpoint, 0.01, now)
            now += 0.01
        return found

    assert asked(101.0) == 0
    assert asked(103.0) == 0
    assert asked(105.1) > 0
