"""Panic: from which share on it reigns, what it makes of circuits and checks, and who is told."""

from __future__ import annotations

from typing import cast

import pytest

from meshproxy.core.ledger import Draft, Ledger
from meshproxy.logic.breaker import State
from meshproxy.policies.circuit_breaker import CircuitBreakerSpec
from meshproxy.policies.circuits import circuits_of, shifts_of
from meshproxy.policies.contract import Scope
from meshproxy.policies.load_balancer import LoadBalancerSpec
from meshproxy.policies.panic import Panic, panic_of

from .attempts import Told, Walk, scope_of


def panicking(scope: Scope, share: float = 0.5) -> Panic:
    panic = panic_of(scope, share)
    assert panic is not None
    return panic


def lose(scope: Scope, name: str) -> None:
    """One of the cluster fails its checks."""
    next(each for each in scope.cluster.endpoints if each.name == name).healthy = False
    shifts_of(scope).count += 1


def test_it_is_off_unless_a_share_is_given() -> None:
    assert panic_of(scope_of("a", "b"), 0.0) is None


@pytest.mark.parametrize(("lost", "reigns"), [("", False), ("ab", False), ("abc", True)])
def test_it_reigns_below_its_share_and_not_at_it(lost: str, reigns: bool) -> None:
    scope = scope_of(*"abcd")
    panic = panicking(scope)
    for name in lost:
        lose(scope, name)
    assert panic.reigns() is reigns


def test_open_circuits_and_failing_checks_count_together() -> None:
    scope = scope_of(*"abcd")
    panic = panicking(scope)
    for each in list(circuits_of(scope).values())[:2]:
        each.state = State.OPEN
        each.turned(State.CLOSED)
    assert not panic.reigns()
    lose(scope, "c")
    assert panic.reigns()


def test_it_ends_as_soon_as_enough_are_back() -> None:
    scope = scope_of("a", "b")
    panic = panicking(scope, 0.6)
    lose(scope, "a")
    assert panic.reigns()
    next(iter(scope.cluster.endpoints)).healthy = True
    shifts_of(scope).count += 1
    assert not panic.reigns()
    told = [(line["event"], line["on"]) for line in cast(Told, scope.tell)]
    assert told == [("panic", True), ("panic", False)]


def test_metrics_and_report_say_whether_and_how_often() -> None:
    scope = scope_of("a", "b")
    panic = panicking(scope, 0.6)
    lose(scope, "a")
    assert [(each.family, each.value) for each in panic.samples()] == [
        ("meshproxy_upstream_panic", 1.0), ("meshproxy_upstream_panics_total", 1.0),
    ]  # fmt: skip
    assert dict(panic.report(0.0)) == {
        "upstream": "payments", "on": True, "below": 0.6, "usable": 1, "endpoints": 2, "times": 1,
    }  # fmt: skip


def test_in_panic_open_circuits_are_used_and_can_still_close() -> None:
    scope = scope_of("good", "bad")
    spec = CircuitBreakerSpec.model_validate({"panic": "60%", "open_for": "60s"})
    breaker = spec.build(scope)
    balancer = LoadBalancerSpec.model_validate("round_robin").build(scope)
    outcomes = {"good": 200, "bad": 500}
    walk = Walk([balancer, breaker], lambda endpoint, now: outcomes[endpoint.name])
    for _ in range(100):
        walk.ask()
    sent = [endpoint.name for endpoint in walk.sent]
    assert sent.count("bad") == 50, "everyone is used"
    outcomes["bad"] = 200
    walk.now += 90.0
    for _ in range(10):
        walk.ask()
    bad = next(each for each in scope.cluster.endpoints if each.name == "bad")
    assert circuits_of(scope)[bad].state is State.CLOSED


def test_a_reload_that_adds_endpoints_counts_them() -> None:
    ledger = Ledger()
    draft: Draft = ledger.open()
    scope = scope_of("a", "b", draft=draft)
    panic = panicking(scope, 0.6)
    lose(scope, "a")
    assert panic.reigns()
    ledger.keep(draft)
    assert not panicking(scope_of("a", "b", "c", draft=ledger.open()), 0.6).reigns()
