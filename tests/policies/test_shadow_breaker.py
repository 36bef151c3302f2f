"""A breaker in shadow changes nothing, and counts what one in force would do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from meshproxy.core.exchange import Exchange
from meshproxy.core.route import Endpoint
from meshproxy.core.verdict import Failure, Refusal
from meshproxy.logic.breaker import State
from meshproxy.policies.circuit_breaker import CircuitBreakerSpec
from meshproxy.policies.circuits import circuits_of
from meshproxy.policies.contract import Scope
from meshproxy.policies.load_balancer import LoadBalancerSpec
from meshproxy.policies.shadow_breaker import ShadowBreaker

from .attempts import Outcome, Told, Walk, depart, exchange_of, scope_of, settle


def flapping(endpoint: Endpoint, now: float) -> Outcome:
    """Down for 9 of every 20 seconds."""
    return 500 if now % 20.0 < 9.0 else 200


def drive(mode: str, upstream: Callable[[Endpoint, float], Outcome]) -> tuple[Scope, list[Any]]:
    scope = scope_of("a", seed=7)
    breaker = CircuitBreakerSpec.model_validate({"mode": mode}).build(scope)
    walk = Walk([LoadBalancerSpec.model_validate("round_robin").build(scope), breaker], upstream)
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
    assert shadow_count(scope) == 0
    (circuit,) = circuits_of(scope, shadow=True).values()
    assert circuit.state is State.OPEN
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
    now = circuit.until
    depart([breaker], exchange_of(), endpoint, now)
    assert circuit.state is State.HALF_OPEN
    for outcome in (200, 200, 200):
        beside = exchange_of()
        depart([breaker], beside, endpoint, now + 0.1)
        settle([breaker], beside, outcome, now + 0.2)
    assert circuit.state is State.HALF_OPEN, "only the probe's own outcome may close it"
    beside.failure = Failure.TRUNCATED
    breaker.broke(beside, now + 0.3)
    assert circuit.state is State.HALF_OPEN, "nor may it be opened by another"


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
