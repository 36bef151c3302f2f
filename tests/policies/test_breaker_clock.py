"""Breaker transitions on a virtual clock, to the moment; and failures that others have had."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import pytest

from meshproxy.core.verdict import Failure, Refusal
from meshproxy.policies.circuit_breaker import CircuitBreaker, CircuitBreakerSpec
from meshproxy.policies.circuits import EndpointCircuit, circuits_of
from meshproxy.policies.contract import Scope
from meshproxy.policies.load_balancer import LoadBalancerSpec

from .attempts import Outcome, Told, Walk, depart, exchange_of, scope_of, settle

OPEN_FOR = 1.0


class Draw:
    """Chance that always falls the same way: no jitter."""

    def random(self) -> float:
        return 0.0

    def getrandbits(self, k: int, /) -> int:  # of the Protocol
        return 0


class Scene:
    """One endpoint (or two), a breaker, and an upstream that does what `outcome` says."""

    def __init__(self, *names: str, **settings: Any) -> None:
        scope = scope_of(*(names or ("a",)))
        values = {name: getattr(scope, name) for name in scope.__slots__}
        self.scope = Scope(**values | {"random": Draw()})
        self.breaker = cast(
            CircuitBreaker, CircuitBreakerSpec.model_validate(settings).build(self.scope)
        )
        self.outcome: Outcome = 500
        balancer = LoadBalancerSpec.model_validate("round_robin").build(self.scope)
        self.walk = Walk([balancer, self.breaker], lambda *_: self.outcome, now=0.0)

    @property
    def circuit(self) -> EndpointCircuit:
        return next(iter(circuits_of(self.scope).values()))

    def at(self, now: float, outcome: Outcome) -> Outcome | Refusal:
        self.walk.now, self.outcome = now, outcome
        return self.walk.ask()

    def opens(self, now: float) -> None:
        for _ in range(7):
            self.at(now, 500)

    @property
    def turns(self) -> list[tuple[str, str]]:
        return [(line["from"], line["to"]) for line in cast(Told, self.scope.tell)]


def test_f49_seven_failures_open_a_probe_recovers_each_at_its_moment() -> None:
    scene = Scene()
    for n in range(6):
        scene.at(n * 0.1, 500)
    assert scene.turns == []
    scene.at(0.6, 500)
    assert scene.turns == [("closed", "open")]
    assert isinstance(scene.at(0.6 + OPEN_FOR - 1e-9, 200), Refusal)
    assert scene.at(0.6 + OPEN_FOR, 200) == 200
    assert scene.turns[1:] == [("open", "half_open")]
    assert scene.at(1.7, 200) == 200
    assert scene.turns[2:] == [("half_open", "closed")]


def test_f49_one_probe_at_a_time() -> None:
    scene = Scene()
    scene.opens(0.0)
    (endpoint,) = scene.scope.cluster.endpoints
    probe = exchange_of()
    depart([scene.breaker], probe, endpoint, 1.0)
    assert [scene.breaker.eligible(endpoint, 1.0 + n / 100) for n in range(50)] == [False] * 50
    settle([scene.breaker], probe, 200, 1.5)
    assert scene.breaker.eligible(endpoint, 1.5)


def test_f49_open_times_double_up_to_the_cap_for_one_of_several() -> None:
    scene = Scene("a", "b", max_open_for="8s")
    a = scene.circuit
    endpoint = next(iter(scene.scope.cluster.endpoints))
    now, spells = 0.0, []
    for _ in range(7):
        depart([scene.breaker], exchange := exchange_of(), endpoint, now)
        settle([scene.breaker], exchange, 500, now)
    for _ in range(6):
        spells.append(a.until - now)
        now = a.until
        depart([scene.breaker], exchange := exchange_of(), endpoint, now)
        settle([scene.breaker], exchange, 500, now)
    assert spells[:3] == [1.0, 2.0, 4.0]
    assert max(spells) <= 8.0


def test_f49_an_upstream_that_flaps_half_the_time_opens_it_at_most_once_per_open_time() -> None:
    scene = Scene(consecutive_failures=5)
    opened: list[float] = []
    for n in range(4000):
        scene.at(n * 0.05, 500 if n % 2 else 200)
        if len(opened) < scene.circuit.opened:
            opened.append(n * 0.05)
    assert len(opened) == scene.circuit.opened > 5
    assert all(later - earlier >= OPEN_FOR for earlier, later in pairwise(opened))
    legal = {("closed", "open"), ("open", "half_open"), ("half_open", "open"),
             ("half_open", "closed")}  # fmt: skip
    assert set(scene.turns) <= legal


OURS = [Failure.BUG, Failure.CLIENT_GONE, Failure.CLIENT_STALLED, Failure.DEADLINE,
        Failure.FORBIDDEN, Failure.OUTRUN, Failure.STALE]  # fmt: skip


@pytest.mark.parametrize("failure", OURS)
def test_envoy_25487_what_the_proxy_itself_ends_ejects_nobody(failure: Failure) -> None:
    scene = Scene("a", "b")
    for n in range(500):
        scene.at(n * 0.001, failure)
    assert scene.turns == []
    assert [each.totals(10.0, 0.5) for each in circuits_of(scene.scope).values()] == [
        (0, 0), (0, 0),
    ]  # fmt: skip


def test_envoy_25487_no_other_failure_is_the_proxys_own() -> None:
    assert [failure for failure in Failure if not failure.upstream_fault] == sorted(
        OURS, key=list(Failure).index
    )


def probe(scene: Scene, now: float, outcome: Outcome) -> None:
    """Straight to the first endpoint, whose turn it may not be."""
    exchange = exchange_of()
    depart([scene.breaker], exchange, next(iter(scene.scope.cluster.endpoints)), now)
    settle([scene.breaker], exchange, outcome, now)


def opened_again(scene: Scene, now: float) -> float:
    """For how long it opens when it fails at `now`."""
    for _ in range(7):
        probe(scene, now, 500)
    assert scene.circuit.state.word == "open"
    return scene.circuit.until - now


def doubled() -> tuple[Scene, float]:
    scene = Scene("a", "b")
    for _ in range(7):
        probe(scene, 0.0, 500)
    for _ in range(2):
        probe(scene, scene.circuit.until, 500)
    now = scene.circuit.until
    probe(scene, now, 200)
    probe(scene, now, 200)
    return scene, now


def test_envoy_21142_time_alone_does_not_shorten_the_next_open_time() -> None:
    scene, now = doubled()
    assert opened_again(scene, now + 3600.0) == 8.0


def test_envoy_21142_a_success_after_a_whole_window_does() -> None:
    scene, now = doubled()
    probe(scene, now + 60.0, 200)
    assert opened_again(scene, now + 61.0) == 1.0


def test_envoy_21142_a_success_within_the_window_does_not() -> None:
    scene, now = doubled()
    probe(scene, now + 1.0, 200)
    assert opened_again(scene, now + 2.0) == 8.0


def test_dapr_10113_the_gauge_follows_each_transition_and_is_never_stuck_half_open() -> None:
    scene = Scene()

    def shown() -> tuple[float, str]:
        gauge = next(iter(scene.circuit.samples()))
        assert gauge.family == "meshproxy_breaker_state"
        return gauge.value, scene.circuit.report(scene.walk.now)["state"]

    seen = [shown()]
    scene.opens(0.0)
    seen.append(shown())
    scene.at(1.0, 200)
    seen.append(shown())
    scene.at(1.1, 500)
    seen.append(shown())
    scene.at(scene.circuit.until, 200)
    seen.append(shown())
    scene.at(scene.circuit.until + 9.0, 200)
    seen.append(shown())
    assert seen == [
        (0.0, "closed"), (1.0, "open"), (2.0, "half_open"), (1.0, "open"), (2.0, "half_open"),
        (0.0, "closed"),
    ]  # fmt: skip


def test_answers_that_break_off_open_it_like_any_failure() -> None:
    scene = Scene()
    (endpoint,) = scene.scope.cluster.endpoints
    for n in range(7):
        exchange = exchange_of()
        depart([scene.breaker], exchange, endpoint, n * 0.1)
        settle([scene.breaker], exchange, 200, n * 0.1)
        exchange.failure = Failure.TRUNCATED
        scene.breaker.broke(exchange, n * 0.1)
    assert scene.turns == [("closed", "open")]
    assert scene.circuit.totals(10.0, 0.6) == (0, 7)


def test_two_whole_answers_end_a_row_of_broken_ones() -> None:
    scene = Scene()
    (endpoint,) = scene.scope.cluster.endpoints
    for n in range(40):
        exchange = exchange_of()
        depart([scene.breaker], exchange, endpoint, n * 1.0)
        settle([scene.breaker], exchange, 200, n * 1.0)
        if n % 5 == 0:
            exchange.failure = Failure.TRUNCATED
            scene.breaker.broke(exchange, n * 1.0)
    assert scene.turns == []


@pytest.mark.parametrize("failure", [Failure.CLIENT_GONE, Failure.OUTRUN])
def test_an_answer_that_its_client_breaks_off_is_nobodys_failure(failure: Failure) -> None:
    scene = Scene()
    (endpoint,) = scene.scope.cluster.endpoints
    for _ in range(50):
        exchange = exchange_of()
        depart([scene.breaker], exchange, endpoint, 0.0)
        settle([scene.breaker], exchange, 200, 0.0)
        exchange.failure = failure
        scene.breaker.broke(exchange, 0.0)
    assert scene.turns == []
