"""Ejection is capped, and who comes back is let in slowly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from meshproxy.core.route import Endpoint
from meshproxy.logic.breaker import State
from meshproxy.policies.circuit_breaker import CircuitBreakerSpec
from meshproxy.policies.circuits import circuits_of
from meshproxy.policies.contract import Scope
from meshproxy.policies.load_balancer import LoadBalancerSpec

from .attempts import Outcome, Told, Walk, scope_of


def walking(scope: Scope, upstream: Callable[[Endpoint, float], Outcome], **settings: Any) -> Walk:
    breaker = CircuitBreakerSpec.model_validate(settings).build(scope)
    return Walk([LoadBalancerSpec.model_validate("round_robin").build(scope), breaker], upstream)


def open_of(scope: Scope) -> int:
    return sum(each.state is State.OPEN for each in circuits_of(scope).values())


@pytest.mark.parametrize(
    ("endpoints", "share", "ejected"),
    [(1, "50%", 1), (2, "50%", 1), (3, "50%", 1), (4, "50%", 2), (10, "50%", 5), (10, "10%", 1),
     (3, "10%", 1), (4, "99%", 3), (2, "100%", 2), (4, "100%", 4), (10, "70%", 7)],
)  # fmt: skip
def test_of_several_only_a_share_is_left_out(endpoints: int, share: str, ejected: int) -> None:
    scope = scope_of(*(f"e{n}" for n in range(endpoints)))
    walk = walking(scope, lambda *_: 500, max_ejected=share, open_for="60s")
    most = 0
    for _ in range(40 * endpoints):
        walk.ask()
        most = max(most, open_of(scope))
    assert most == ejected


def test_the_last_one_goes_on_and_is_counted() -> None:
    scope = scope_of("a", "b")
    walk = walking(scope, lambda *_: 500, open_for="60s")
    outcomes = [walk.ask() for _ in range(60)]
    assert outcomes == [500] * 60
    capped = {each.endpoint: each.capped for each in circuits_of(scope).values()}
    assert sum(capped.values()) > 0
    assert min(capped.values()) == 0
    lines = [line for line in cast(Told, scope.tell) if line["event"] == "breaker_capped"]
    assert len(lines) == sum(capped.values())
    assert all(line["once_per"] == 10.0 for line in lines), "the log tells it now and then"


def test_who_was_kept_in_is_ejected_once_another_is_back() -> None:
    scope = scope_of("a", "b")
    broken = {"a", "b"}
    walk = walking(scope, lambda endpoint, now: 500 if endpoint.name in broken else 200)
    for _ in range(30):
        walk.ask()
    out = next(each.endpoint for each in circuits_of(scope).values() if each.opened)
    broken.discard(out)
    walk.now += 2.0
    for _ in range(30):
        walk.ask()
    states = {each.endpoint: each.state for each in circuits_of(scope).values()}
    assert states == {out: State.CLOSED, next(iter(broken)): State.OPEN}


def test_a_recovered_endpoint_starts_slowly() -> None:
    scope = scope_of("a", "b")
    failing = {"a"}
    walk = walking(scope, lambda endpoint, now: 500 if endpoint.name in failing else 200)
    for _ in range(20):
        walk.ask()
    failing.clear()
    walk.now += 2.0
    for _ in range(10):
        walk.ask()
    ramps = {endpoint.name: endpoint.ramp_since for endpoint in scope.cluster.endpoints}
    assert ramps == {"a": walk.now, "b": 0.0}


def test_off_is_the_same_as_none() -> None:
    assert CircuitBreakerSpec.model_validate({"mode": "off"}).build(scope_of("a")) is None
