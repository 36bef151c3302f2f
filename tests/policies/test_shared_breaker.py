"""A circuit in several workers: it opens, is probed and closes everywhere as if there were one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from meshproxy.core.route import Endpoint
from meshproxy.core.sharing import Sharing
from meshproxy.policies.circuit_breaker import CircuitBreakerSpec
from meshproxy.policies.circuits import circuits_of
from meshproxy.policies.contract import Scope

from .attempts import depart, exchange_of, scope_of, settle
from .several import Several

RULES = {
    "consecutive_failures": 3, "open_for": "1s", "max_open_for": "1s", "close_after": 2,
    "max_ejected": "100%",
}  # fmt: skip


class Worker:
    """A breaker over one endpoint, in one worker."""

    def __init__(self, sharing: Sharing, **rules: Any) -> None:
        self.scope: Scope = replace(scope_of("a"), sharing=sharing)
        spec = CircuitBreakerSpec.model_validate({**RULES, **rules})
        self.breaker: Any = spec.build(self.scope)
        self.endpoint: Endpoint = next(iter(self.scope.cluster.endpoints))
        self.each = circuits_of(self.scope)[self.endpoint]

    @property
    def state(self) -> str:
        return self.each.state.word

    def lets(self, now: float) -> bool:
        return bool(self.breaker.eligible(self.endpoint, now))

    def begin(self, now: float) -> Any:
        exchange = exchange_of()
        depart([self.breaker], exchange, self.endpoint, now)
        return exchange

    def end(self, exchange: Any, outcome: int, now: float) -> None:
        settle([self.breaker], exchange, outcome, now)

    def call(self, outcome: int, now: float) -> None:
        self.end(self.begin(now), outcome, now)


def workers(count: int = 2, **rules: Any) -> tuple[Several, list[Worker]]:
    several = Several(count)
    made = several.build(lambda sharing: Worker(sharing, **rules))
    several.turn(0.0)
    return several, made


def opened(several: Several, one: Worker, now: float = 1.0) -> None:
    for _ in range(3):
        one.call(500, now)
    several.turn(now + 0.02)


def test_what_opens_in_one_is_open_in_all_at_the_next_turn() -> None:
    several, (one, other) = workers()
    opened(several, one)
    assert (one.state, other.state) == ("open", "open")
    assert not other.lets(1.5)
    assert other.each.until == one.each.until


def test_a_transition_is_counted_once() -> None:
    several, (one, other) = workers()
    opened(several, one)
    assert (one.each.opened, other.each.opened) == (1, 0)


def test_one_probe_is_out_for_all_of_them() -> None:
    several, (one, other) = workers()
    opened(several, one)
    assert one.lets(3.0)
    assert not other.lets(3.0), "both asked before either probes"
    one.begin(3.0)
    assert not one.lets(3.1)
    several.turn(3.1)
    assert (other.state, other.lets(3.1)) == ("half_open", False)


def test_who_asked_and_did_not_probe_leaves_it_to_the_others() -> None:
    several, (one, other) = workers()
    opened(several, one)
    assert one.lets(3.0)
    several.turn(3.02)
    assert other.lets(3.03)


def test_successes_of_all_close_it_everywhere() -> None:
    several, (one, other) = workers()
    opened(several, one)
    assert one.lets(3.0)
    one.call(200, 3.0)
    several.turn(3.02)
    assert other.lets(3.1)
    other.call(200, 3.1)
    several.turn(3.12)
    assert (one.state, other.state) == ("closed", "closed")
    assert one.lets(3.2)


def test_a_failed_probe_opens_it_everywhere_again() -> None:
    several, (one, other) = workers()
    opened(several, one)
    assert other.lets(3.0)
    other.call(503, 3.0)
    several.turn(3.02)
    assert (one.state, other.state) == ("open", "open")
    assert not one.lets(3.5)


def test_who_joins_while_it_is_open_knows() -> None:
    several, (one, _) = workers()
    opened(several, one)
    fresh = several.replace(1, Worker)
    several.turn(1.1)
    several.turn(1.2)
    assert fresh.state == "open"
    assert fresh.each.until == one.each.until


def test_one_that_is_killed_with_a_probe_out_holds_nobody_up() -> None:
    several, (one, other) = workers()
    opened(several, one)
    assert one.lets(3.0)
    one.begin(3.0)
    several.turn(3.02)
    several.replace(0, Worker)
    assert other.lets(3.0 + 1.5), "the claim has expired, and the lease is free"
