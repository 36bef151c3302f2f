"""An endpoint that came back gets more and more, and all at once only if nobody else is left."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from meshproxy.core.exchange import Exchange
from meshproxy.core.route import Allowed, Endpoint
from meshproxy.policies.load_balancer import STRATEGIES, LoadBalancerSpec
from meshproxy.policies.slow_start import SlowStart

from .attempts import exchange_of, scope_of

strategies = pytest.mark.parametrize("strategy", STRATEGIES)


def scene(strategy: str, *names: str) -> tuple[Any, list[Endpoint]]:
    scope = scope_of(*names)
    spec = LoadBalancerSpec.model_validate({"strategy": strategy, "slow_start": "30s"})
    ends = list(scope.cluster.endpoints)
    for end in ends:
        end.cost, end.cost_at = 0.01, 1000.0  # all are known to be as fast
    return spec.build(scope), ends


def anyone(endpoint: Endpoint, now: float) -> bool:
    return True


def share(balancer: Any, name: str, now: float) -> float:
    chosen = Counter(balancer.pick(exchange_of(), anyone, now).name for _ in range(4000))
    return chosen[name] / 4000


@strategies
def test_its_share_grows_with_time(strategy: str) -> None:
    balancer, ends = scene(strategy, "a", "b", "c", "back")
    ends[3].ramp_since = 1000.0
    shares = [share(balancer, "back", 1000.0 + after) for after in (0.0, 3.0, 15.0, 30.0)]
    assert shares[0] == pytest.approx(0.025, abs=0.012), "a tenth of its share"
    assert shares[1] == pytest.approx(shares[0], abs=0.015), "and not less in the beginning"
    assert 0.07 < shares[2] < 0.19
    assert shares[3] == pytest.approx(0.25, abs=0.04)


@strategies
def test_without_a_recovery_nothing_changes(strategy: str) -> None:
    plain: Any = LoadBalancerSpec.model_validate(strategy).build(scope_of("a", "b", "c"))
    slow, ends = scene(strategy, "a", "b", "c")
    for end in ends:
        end.cost, end.cost_at = 0.0, 0.0
    for _ in range(200):
        names = [each.pick(exchange_of(), anyone, 500.0).name for each in (plain, slow)]
        assert names[0] == names[1]


@strategies
def test_it_gets_all_when_nobody_else_is_left(strategy: str) -> None:
    balancer, (back, other) = scene(strategy, "back", "other")
    back.ramp_since = 1000.0
    for _ in range(100):
        assert balancer.pick(exchange_of(), lambda each, now: each is back, 1000.0) is back
        assert balancer.pick(exchange_of(), lambda each, now: False, 1000.0) is None
    assert other.ramp_since == 0.0


@strategies
def test_when_all_came_back_together_they_share_as_ever(strategy: str) -> None:
    balancer, ends = scene(strategy, "a", "b", "c", "d")
    for end in ends:
        end.ramp_since = 1000.0
    assert share(balancer, "a", 1000.0) == pytest.approx(0.25, abs=0.05)


@strategies
def test_those_that_came_back_do_not_get_what_one_of_them_was_spared(strategy: str) -> None:
    balancer, ends = scene(strategy, "a", "b", "back", "also")
    for end in ends[2:]:
        end.ramp_since = 1000.0
    assert share(balancer, "back", 1000.0) + share(balancer, "also", 1000.0) < 0.12


def test_whoever_was_passed_over_is_not_asked_a_second_time() -> None:
    class First:
        def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:
            return next((end for end in (back, other) if allowed(end, now)), None)

    class Draws:
        def random(self) -> float:
            return next(draws)

        def getrandbits(self, k: int) -> int:
            return 0

    draws = iter([0.5, 0.0])
    back, other = Endpoint("back", "back", 80, since=1000.0), Endpoint("other", "other", 80)
    assert SlowStart(First(), 30.0, Draws()).pick(exchange_of(), anyone, 1000.0) is other


@strategies
def test_a_retry_rather_tries_it_than_the_same_one_again(strategy: str) -> None:
    balancer, (back, failed) = scene(strategy, "back", "failed")
    back.ramp_since = 1000.0
    exchange = exchange_of()
    exchange.tried = (failed,)
    assert {balancer.pick(exchange, anyone, 1000.0) for _ in range(50)} == {back}


@strategies
def test_while_one_is_on_the_way_back_nobody_is_told_as_certain(strategy: str) -> None:
    balancer, ends = scene(strategy, "a", "b", "back")
    ends[2].ramp_since = 1000.0
    before = balancer.pick(exchange_of(), lambda end, now: end is not ends[2], 1001.0)
    assert before is not None
    told = set()
    for _ in range(300):
        choice = balancer.choose(exchange_of(), anyone, 1001.0)
        candidates = {endpoint for endpoint, _ in choice.candidates}
        endpoint = balancer.pick(exchange_of(), anyone, 1001.0)
        assert endpoint in candidates
        told.add(choice.says)
    assert any("back 10%" in says for says in told)
    later = balancer.choose(exchange_of(), anyone, 1031.0)
    assert "back lately" not in later.says


def test_whoever_is_left_alone_is_certain_though_on_the_way_back() -> None:
    balancer, ends = scene("random", "a", "back")
    ends[1].ramp_since = 1000.0
    choice = balancer.choose(exchange_of(), lambda end, now: end is ends[1], 1001.0)
    assert choice.candidates == ((ends[1], 1.0),)
    assert balancer.choose(exchange_of(), lambda end, now: False, 1001.0) is None
