"""Ejection is capped, and a breaker in shadow changes nothing and counts what it would do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from meshproxy.core.exchange import Exchange
from meshproxy.core.route import Endpoint
from meshproxy.core.verdict import Failure, Refusal
from meshproxy.logic.breaker import State
from meshproxy.policies.circuit_breaker import CircuitBreakerSpec, ShadowBreaker
from meshproxy.policies.circuits import circuits_of
from meshproxy.policies.contract import Scope
from meshproxy.policies.load_balancer import LoadBalancerSpec

from .attempts import Outcome, Told, Walk, depart, exchange_of, scope_of, settle


def walking(scope: Scope, upstream: Callable[[Endpoint, float], Outcome], **settings: Any) -> Walk:
    breaker = CircuitBreakerSpec.model_validate(settings).build(scope)
    return Walk([LoadBalancerSpec.model_validate("round_robin").build(scope), breaker], upstream)


def open_of(scope: Scope, shadow: bool = False) -> int:
    circuits = circuits_of(scope, shadow).values()
    return sum(each.circuit.state is State.OPEN for each in circuits)


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
    states = {each.endpoint: each.circuit.state for each in circuits_of(scope).values()}
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


# Shadow


def flapping(endpoint: Endpoint, now: float) -> Outcome:
    """Down for 9 of every 20 seconds."""
    return 500 if now % 20.0 < 9.0 else 200


def drive(mode: str, upstream: Callable[[Endpoint, float], Outcome]) -> tuple[Scope, list[Any]]:
    scope = scope_of("a", seed=7)
    walk = walking(scope, upstream, mode=mode)
    outcomes = []
    for _ in range(4000):
        outcomes.append(walk.ask(exchange_of()))
        walk.now += 0.05
    return scope, outcomes


def turns(scope: Scope) -> list[tuple[str, str, str]]:
    return [(line["from"], line["to"], line["why"]) for line in cast(Told, scope.tell)]


def shadow_count(scope: Scope) -> float:
    return sum(each.value for each in scope.draft.used["shadow",].samples())


def test_shadow_counts_exactly_what_enforce_refuses_on_the_same_traffic() -> None:
    enforced, outcomes = drive("enforce", flapping)
    refused = sum(isinstance(each, Refusal) for each in outcomes)
    shadowed, all_answered = drive("shadow", flapping)
    assert refused > 100
    assert shadow_count(shadowed) == refused
    assert turns(shadowed) == turns(enforced)
    assert not any(isinstance(each, Refusal) for each in all_answered)
    assert len(all_answered) == 4000


def test_shadow_answers_as_if_there_were_no_breaker() -> None:
    _, outcomes = drive("shadow", flapping)
    scope = scope_of("a", seed=7)
    walk = Walk([LoadBalancerSpec().build(scope)], flapping)
    plain = []
    for _ in range(4000):
        plain.append(walk.ask())
        walk.now += 0.05
    assert outcomes == plain


def test_shadow_leaves_other_routes_and_slow_start_alone() -> None:
    scope, _ = drive("shadow", flapping)
    (endpoint,) = scope.cluster.endpoints
    assert endpoint.ramp_since == 0.0
    in_force = CircuitBreakerSpec().build(scope)
    assert in_force is not None
    assert cast(Any, in_force).eligible(endpoint, 100.0)


def test_a_retry_that_enforce_would_not_have_made_is_no_refusal() -> None:
    scope = scope_of("a")
    breaker = CircuitBreakerSpec.model_validate({"mode": "shadow"}).build(scope)
    assert isinstance(breaker, ShadowBreaker)
    (endpoint,) = scope.cluster.endpoints
    for _ in range(6):
        exchange = exchange_of()
        depart([breaker], exchange, endpoint, 1.0)
        settle([breaker], exchange, 500, 1.0)
    twice = exchange_of()
    for _ in range(2):
        depart([breaker], twice, endpoint, 1.0)
        settle([breaker], twice, 500, 1.0)
    assert open_of(scope, shadow=True) == 1
    assert shadow_count(scope) == 0
    (circuit,) = circuits_of(scope, shadow=True).values()
    assert circuit.report(1.0)["attempts_not_stopped"] == 1


def test_what_enforce_would_not_have_sent_teaches_a_circuit_in_shadow_nothing() -> None:
    scope = scope_of("a")
    breaker = CircuitBreakerSpec.model_validate({"mode": "shadow"}).build(scope)
    assert isinstance(breaker, ShadowBreaker)
    (endpoint,) = scope.cluster.endpoints
    (circuit,) = circuits_of(scope, shadow=True).values()
    for _ in range(7):
        exchange = exchange_of()
        depart([breaker], exchange, endpoint, 1.0)
        settle([breaker], exchange, 500, 1.0)
    now = circuit.circuit.until
    depart([breaker], exchange_of(), endpoint, now)
    assert circuit.circuit.state is State.HALF_OPEN
    for outcome in (200, 200, 200):
        beside = exchange_of()
        depart([breaker], beside, endpoint, now + 0.1)
        settle([breaker], beside, outcome, now + 0.2)
    assert circuit.circuit.state is State.HALF_OPEN, "only the probe's own outcome may close it"
    beside.failure = Failure.TRUNCATED
    breaker.broke(beside, now + 0.3)
    assert circuit.circuit.state is State.HALF_OPEN, "nor may it be opened by another"


def test_nothing_is_remembered_of_an_exchange_that_has_ended() -> None:
    scope = scope_of("a")
    breaker = CircuitBreakerSpec.model_validate({"mode": "shadow"}).build(scope)
    assert isinstance(breaker, ShadowBreaker)
    (endpoint,) = scope.cluster.endpoints
    exchanges: list[Exchange] = []
    for _ in range(9):
        exchanges.append(exchange_of())
        depart([breaker], exchanges[-1], endpoint, 1.0)
        settle([breaker], exchanges[-1], Failure.RESET, 1.0)
    assert breaker._stray == set(exchanges[7:])
    for exchange in exchanges:
        for release in exchange.deferred:
            release(2.0)
    assert breaker._stray == set()


def test_off_is_the_same_as_none() -> None:
    assert CircuitBreakerSpec.model_validate({"mode": "off"}).build(scope_of("a")) is None
