"""The breaker on the walk: who is let through, what is learned, what people are told."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pydantic import ValidationError

from meshproxy.core.ledger import Ledger
from meshproxy.core.route import Endpoint
from meshproxy.core.verdict import Failure, Refusal
from meshproxy.policies.circuit_breaker import CircuitBreaker, CircuitBreakerSpec
from meshproxy.policies.contract import Scope
from meshproxy.policies.load_balancer import LoadBalancerSpec

from .attempts import Outcome, Told, Walk, depart, exchange_of, scope_of, settle


def built(scope: Scope, **settings: Any) -> CircuitBreaker:
    return CircuitBreakerSpec.model_validate(settings).build(scope)


def walking(*names: str, outcome: Any = 500, **settings: Any) -> tuple[Walk, Scope]:
    """In turn over these endpoints; `outcome` is one for all, or one per name."""
    scope = scope_of(*names)
    balancer = LoadBalancerSpec.model_validate("round_robin").build(scope)
    outcomes = outcome if isinstance(outcome, dict) else dict.fromkeys(names, outcome)
    return Walk(
        [balancer, built(scope, **settings)], lambda endpoint, now: outcomes[endpoint.name]
    ), scope


def state_of(scope: Scope, name: str) -> dict[str, Any]:
    cell = scope.draft.used["circuit", "payments", name]
    return dict(cell.report(1000.0))


def told_of(scope: Scope) -> list[tuple[str, str]]:
    return [(line["from"], line["to"]) for line in cast(Told, scope.tell)]


def test_defaults_are_those_of_the_contract() -> None:
    assert CircuitBreakerSpec().model_dump(mode="json") == {
        "consecutive_failures": 7, "failure_rate": "50%", "window": "10s", "min_requests": 20,
        "open_for": "1s", "max_open_for": "1m", "half_open_requests": 1, "close_after": 2,
        "max_ejected": "50%", "panic": "off", "mode": "enforce",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_open_for": "500ms"}, r"max_open_for \(500ms\) must not be below open_for \(1s\)"),
        ({"window": "100ms"}, "window must be 1s to 5m, got 100ms"),
        ({"window": "1h"}, "window must be 1s to 5m, got 1h"),
        ({"failure_rate": "0%"}, "greater than 0"),
        ({"consecutive_failures": 0}, "greater than or equal to 1"),
        ({"open_for": 1}, "add a unit"),
        ({"closes_after": 2}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CircuitBreakerSpec.model_validate(settings)


@pytest.mark.parametrize("outcome", [500, 503, *[f for f in Failure if f.upstream_fault]])
def test_seven_failures_in_a_row_open_the_circuit(outcome: Outcome) -> None:
    walk, scope = walking("a", outcome=outcome)
    assert [walk.ask() for _ in range(7)] == [outcome] * 7
    refusal = walk.ask()
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (503, "UO")
    assert len(walk.sent) == 7
    assert told_of(scope) == [("closed", "open")]


@pytest.mark.parametrize("outcome", [200, 301, 404, 429, Failure.CLIENT_GONE, Failure.STALE])
def test_what_is_not_the_upstreams_fault_opens_nothing(outcome: Outcome) -> None:
    walk, scope = walking("a", outcome=outcome)
    assert {walk.ask() for _ in range(50)} == {outcome}
    assert state_of(scope, "a")["state"] == "closed"


def test_what_counts_as_a_failure_is_up_to_the_route() -> None:
    scope = scope_of("a", failures=["429"])
    breaker = built(scope)
    walk = Walk([LoadBalancerSpec().build(scope), breaker], lambda endpoint, now: 429)
    assert [walk.ask() for _ in range(7)] == [429] * 7
    assert isinstance(walk.ask(), Refusal)


def test_a_rate_of_failures_opens_it_without_any_row() -> None:
    answers = iter([200, 500] * 20)
    scope = scope_of("a")
    walk = Walk([LoadBalancerSpec().build(scope), built(scope)], lambda *_: next(answers))
    assert [walk.ask() for _ in range(20)] == [200, 500] * 10
    assert isinstance(walk.ask(), Refusal)
    why = cast(Told, scope.tell)[0]["why"]
    assert why == "10 of 20 requests failed within 10s; the last: 500"


def test_failures_older_than_the_window_are_forgotten() -> None:
    walk, scope = walking("a", consecutive_failures=100)
    for _ in range(40):
        walk.ask()
        walk.now += 1.0
    assert state_of(scope, "a")["state"] == "closed"


def test_the_refusal_names_the_rule_and_when_to_come_back() -> None:
    walk, scope = walking("a", "b", max_ejected="100%")
    for _ in range(14):
        walk.ask()
    refusal = walk.ask()
    assert isinstance(refusal, Refusal)
    assert refusal.detail == "circuit breaker: all 2 endpoints of payments are open"
    assert refusal.rule == scope.rule
    assert 1.0 <= refusal.retry_after <= 1.5
    walk.now += refusal.retry_after
    assert walk.ask() == 500, "whoever waits as long as told gets through"


def test_a_broken_endpoint_is_passed_over() -> None:
    walk, _ = walking("good", "bad", outcome={"good": 200, "bad": 500}, open_for="60s")
    outcomes = [walk.ask() for _ in range(100)]
    assert outcomes.count(500) == 7
    assert outcomes[20:] == [200] * 80


def test_the_barrier_is_not_ours_while_some_circuit_is_closed() -> None:
    walk, scope = walking("good", "bad", outcome={"good": 200, "bad": 500}, open_for="60s")
    for _ in range(30):
        walk.ask()
    assert built(scope).barred(exchange_of(), walk.now) is None


def test_asking_changes_nothing() -> None:
    """Two are asked and one is chosen: a question must not claim the probe."""
    walk, scope = walking("a")
    for _ in range(7):
        walk.ask()
    breaker, endpoint = walk.policies[1], scope.cluster.endpoints[0]
    assert not breaker.eligible(endpoint, walk.now)
    assert all(breaker.eligible(endpoint, walk.now + 1.5) for _ in range(5))
    assert state_of(scope, "a")["state"] == "open"


def half_open(**settings: Any) -> tuple[CircuitBreaker, Scope, Endpoint, float]:
    """A circuit whose first probe has just departed, at the moment returned."""
    walk, scope = walking("a", **settings)
    for _ in range(7):
        walk.ask()
    now = walk.now + 1.5
    breaker, endpoint = walk.policies[1], scope.cluster.endpoints[0]
    depart([breaker], exchange_of(), endpoint, now)
    assert state_of(scope, "a")["state"] == "half_open"
    return breaker, scope, endpoint, now


def test_one_probe_goes_out_and_the_rest_are_refused() -> None:
    breaker, _, endpoint, now = half_open()
    assert not breaker.eligible(endpoint, now + 0.5)
    assert breaker.barred(exchange_of(), now + 0.5) is not None


def test_two_good_probes_close_it_and_clear_its_history() -> None:
    walk, scope = walking("a")
    for _ in range(7):
        walk.ask()
    walk.upstream = lambda endpoint, now: 200
    walk.now += 1.5
    assert [walk.ask() for _ in range(30)] == [200] * 30
    assert told_of(scope) == [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]
    walk.upstream = lambda endpoint, now: 500
    assert [walk.ask() for _ in range(6)] == [500] * 6, "old failures were held against it"
    assert walk.ask() == 500
    assert isinstance(walk.ask(), Refusal)


def test_a_client_that_leaves_hands_its_probe_back() -> None:
    breaker, scope, endpoint, now = half_open()
    exchange = exchange_of()
    depart([breaker], exchange, endpoint, now + 1.6)
    assert not breaker.eligible(endpoint, now + 1.7)
    settle([breaker], exchange, Failure.CLIENT_GONE, now + 1.7)
    assert breaker.eligible(endpoint, now + 1.7)
    assert state_of(scope, "a")["state"] == "half_open"


def test_a_probe_whose_outcome_never_comes_expires() -> None:
    breaker, _, endpoint, now = half_open()
    assert breaker.eligible(endpoint, now + 1.5)


def test_the_only_endpoint_is_probed_every_open_time_and_not_ever_more_rarely() -> None:
    walk, _ = walking("a")
    for _ in range(3600 * 4):
        walk.ask()
        walk.now += 0.25
    assert len(walk.sent) - 7 >= 3600 / 1.75


def test_one_of_several_is_probed_ever_more_rarely() -> None:
    walk, _ = walking("good", "bad", outcome={"good": 200, "bad": 500})
    for _ in range(600 * 4):
        walk.ask()
        walk.now += 0.25
    probes = sum(endpoint.name == "bad" for endpoint in walk.sent) - 7
    assert 10 <= probes <= 25


def test_the_last_closed_endpoint_is_probed_like_an_only_one() -> None:
    walk, scope = walking("a", "b", max_ejected="100%")
    for _ in range(400):
        walk.ask()
        walk.now += 0.25
    for name in ("a", "b"):
        assert state_of(scope, name)["opened"] > 100 / 3.5


def test_circuits_survive_a_reload_that_changes_their_rules() -> None:
    ledger = Ledger()
    draft = ledger.open()
    scope = scope_of("a", draft=draft)
    walk = Walk([LoadBalancerSpec().build(scope), built(scope)], lambda *_: 500)
    for _ in range(5):
        walk.ask()
    ledger.keep(draft)
    again = ledger.open()
    scope = scope_of("a", draft=again, owner="outbound.services.payments")
    walk.policies = [LoadBalancerSpec().build(scope), built(scope, consecutive_failures=6)]
    walk = Walk(walk.policies, lambda *_: 500, walk.now)
    assert walk.ask() == 500
    assert isinstance(walk.ask(), Refusal), "six in a row, five of them before the reload"


def test_routes_to_one_endpoint_share_its_circuit() -> None:
    draft = Ledger().open()
    scope = scope_of("a", draft=draft)
    walk = Walk([LoadBalancerSpec().build(scope), built(scope)], lambda *_: 500)
    for _ in range(7):
        walk.ask()
    other = built(scope_of("a", draft=draft, owner="outbound.services.payments.routes.GET /x"))
    assert not other.eligible(scope.cluster.endpoints[0], walk.now)


def test_clusters_do_not_share_the_circuit_of_an_address() -> None:
    scope = scope_of("a")
    built(scope)
    keys = [key for key in scope.draft.used if isinstance(key, tuple) and key[0] == "circuit"]
    assert keys == [("circuit", "payments", "a")]


def test_metrics_show_each_state_and_count_each_transition() -> None:
    walk, scope = walking("a")
    cell = scope.draft.used["circuit", "payments", "a"]

    def samples() -> dict[tuple[str, ...], float]:
        return {
            (
                each.family.removeprefix("meshproxy_breaker_"),
                *dict(each.labels).values(),
            ): each.value
            for each in cell.samples()
        }

    assert samples() == {("state", "payments", "a"): 0.0}
    for _ in range(8):
        walk.ask()
    assert samples() == {
        ("state", "payments", "a"): 1.0,
        ("transitions_total", "payments", "a", "closed", "open"): 1.0,
    }
    walk.now += 1.5
    walk.ask()
    assert samples() == {
        ("state", "payments", "a"): 1.0,
        ("transitions_total", "payments", "a", "closed", "open"): 1.0,
        ("transitions_total", "payments", "a", "open", "half_open"): 1.0,
        ("transitions_total", "payments", "a", "half_open", "open"): 1.0,
    }


def test_the_report_says_what_an_operator_asks() -> None:
    walk, scope = walking("a", outcome=Failure.CONNECT)
    for _ in range(7):
        walk.ask()
    cell = scope.draft.used["circuit", "payments", "a"]
    report = dict(cell.report(walk.now + 0.5))
    wait = report.pop("next_try_in_seconds")
    assert 0.5 <= wait <= 1.0
    assert report == {
        "upstream": "payments", "endpoint": "a", "state": "open", "for_seconds": 0.5,
        "failures_in_a_row": 0, "last_10s": {"requests": 7, "failures": 7}, "opened": 1,
        "kept_in": 0, "last_failure": "connect-failure",
    }  # fmt: skip
    assert cell.section == "breakers"


def test_a_clock_that_jumps_a_day_only_ends_open_times() -> None:
    walk, scope = walking("a")
    for _ in range(7):
        walk.ask()
    walk.now += 86400.0
    walk.upstream = lambda endpoint, now: 200
    assert [walk.ask(), walk.ask()] == [200, 200]
    assert state_of(scope, "a")["state"] == "closed"


def held(scope: Scope, name: str, order: str, now: float = 100.0) -> None:
    scope.draft.used["circuit", "payments", name].steer(order, now)


def test_one_that_is_held_open_gets_nothing_and_the_refusal_says_who_did_it() -> None:
    walk, scope = walking("a", outcome=200)
    held(scope, "a", "open")
    refusal = walk.ask()
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason, refusal.retry_after) == (503, "UO", 0.0)
    assert refusal.detail == (
        "circuit breaker: the only endpoint of payments is open, forced by an operator"
    )
    walk.now += 1e6
    assert isinstance(walk.ask(), Refusal)
    assert walk.sent == []


def test_the_others_take_over_for_one_that_is_held_open() -> None:
    walk, scope = walking("a", "b", outcome=200)
    held(scope, "a", "open")
    assert [walk.ask() for _ in range(6)] == [200] * 6
    assert {endpoint.name for endpoint in walk.sent} == {"b"}


def test_the_refusal_counts_those_that_are_held() -> None:
    walk, scope = walking("a", "b", max_ejected="100%", consecutive_failures=1)
    walk.ask()
    walk.ask()
    held(scope, "a", "open")
    refusal = walk.ask()
    assert isinstance(refusal, Refusal)
    assert refusal.detail.endswith(
        "all 2 endpoints of payments are open, 1 of them forced by an operator"
    )
    assert refusal.retry_after > 0.0


def test_panic_does_not_overrule_an_operator() -> None:
    walk, scope = walking("a", "b", outcome=200, panic="100%")
    held(scope, "a", "open")
    assert [walk.ask() for _ in range(4)] == [200] * 4
    assert {endpoint.name for endpoint in walk.sent} == {"b"}


def test_a_check_that_went_well_does_not_overrule_an_operator() -> None:
    walk, scope = walking("a", outcome=200)
    held(scope, "a", "open")
    next(iter(scope.cluster.endpoints)).passed_at = 1e9
    assert isinstance(walk.ask(), Refusal)


def test_one_that_is_held_closed_never_opens_and_still_learns() -> None:
    walk, scope = walking("a")
    held(scope, "a", "closed")
    assert [walk.ask() for _ in range(50)] == [500] * 50
    told = state_of(scope, "a")
    assert (told["state"], told["failures_in_a_row"], told["last_failure"]) == ("closed", 50, "500")
    held(scope, "a", "")
    assert walk.ask() == 500
    assert isinstance(walk.ask(), Refusal)


def test_one_that_is_let_go_comes_back_step_by_step() -> None:
    walk, scope = walking("a", outcome=200)
    held(scope, "a", "open")
    held(scope, "a", "", walk.now)
    assert [walk.ask(), walk.ask()] == [200, 200]
    assert state_of(scope, "a")["state"] == "closed"
    assert told_of(scope) == [("open", "half_open"), ("half_open", "closed")]


def test_explain_tells_that_an_operator_holds_it() -> None:
    scope = scope_of("a")
    breaker = built(scope)
    (endpoint,) = scope.cluster.endpoints
    held(scope, "a", "open")
    regard = breaker.regard(endpoint, 101.0)
    assert (regard.may, regard.says) == (False, "circuit open, forced by an operator")
    held(scope, "a", "closed")
    assert breaker.regard(endpoint, 101.0).may
