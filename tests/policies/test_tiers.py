"""Tiers: the first is asked as long as anyone of it may be tried."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshproxy.core.route import Allowed, Cluster, Endpoint
from meshproxy.core.verdict import Refusal
from meshproxy.policies.circuit_breaker import CircuitBreakerSpec
from meshproxy.policies.load_balancer import STRATEGIES, LoadBalancerSpec

from .attempts import Walk, exchange_of, scope_of

near, far = ("a", "b"), ("c", "d")


def scene(strategy: Any = "round_robin") -> tuple[Any, Any]:
    """Two near endpoints, two far ones, and last a single one."""
    scope = scope_of(*near, *far, "e")
    ends = tuple(scope.cluster.endpoints)
    tiers = (ends[:2], ends[2:4], ends[4:])
    scope = replace(scope, cluster=Cluster("payments", ends, scope.cluster.series, tiers))
    return LoadBalancerSpec.model_validate(strategy).build(scope), scope


def only(names: str) -> Allowed:
    return lambda endpoint, now: endpoint.name in names


def picked(balancer: Any, allowed: str, tried: tuple[Endpoint, ...] = ()) -> set[str | None]:
    found = set()
    for _ in range(40):
        exchange = exchange_of()
        exchange.tried = tried
        endpoint = balancer.pick(exchange, only(allowed), 100.0)
        found.add(endpoint.name if endpoint else None)
    return found


@pytest.mark.parametrize("strategy", [*STRATEGIES, {"strategy": "ring_hash", "hash": "header:x"}])
def test_the_first_tier_with_someone_to_try_gets_all(strategy: Any) -> None:
    balancer, _ = scene(strategy)
    assert picked(balancer, "abcde") == {"a", "b"}
    assert picked(balancer, "bcde") == {"b"}, "one of two is left: nobody is sent away"
    assert picked(balancer, "cde") == {"c", "d"}
    assert picked(balancer, "e") == {"e"}
    assert picked(balancer, "") == {None}
    assert picked(balancer, "abcde") == {"a", "b"}


def test_a_retry_goes_to_the_next_tier_before_it_goes_back() -> None:
    balancer, scope = scene()
    a, b, c, d, e = scope.cluster.endpoints
    assert picked(balancer, "abcde", tried=(a,)) == {"b"}
    assert picked(balancer, "abcde", tried=(a, b)) == {"c", "d"}
    assert picked(balancer, "ab", tried=(a, b)) <= {"a", "b"}
    assert picked(balancer, "acde", tried=(a, c, d, e)) == {"a"}


def test_a_tier_that_fails_is_left_and_asked_again_when_it_is_back() -> None:
    balancer, scope = scene()
    well = set("cde")

    def upstream(endpoint: Endpoint, now: float) -> int:
        return 200 if endpoint.name in well else 503

    breaker = CircuitBreakerSpec(consecutive_failures=3, close_after=1).build(scope)
    walk = Walk([balancer, breaker], upstream)
    for _ in range(6):
        walk.ask()
    walk.sent.clear()
    assert {walk.ask() for _ in range(10)} == {200}
    assert {each.name for each in walk.sent} == {"c", "d"}
    well |= {"a", "b"}
    walk.now += 60.0
    walk.sent.clear()
    assert not [answer for answer in (walk.ask() for _ in range(10)) if isinstance(answer, Refusal)]
    assert {each.name for each in walk.sent} == {"a", "b"}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("allowed", "names"), [("abcde", "ab"), ("bcde", "b"), ("cde", "cd"), ("e", "e"), ("", "")]
)
def test_those_who_are_told_are_of_the_first_tier_that_has_one(
    strategy: str, allowed: str, names: str
) -> None:
    balancer, _ = scene(strategy)
    choice = balancer.choose(exchange_of(), only(allowed), 100.0)
    candidates = [] if choice is None else [endpoint.name for endpoint, _ in choice.candidates]
    assert sorted(candidates) == sorted(names)
