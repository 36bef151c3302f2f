"""Retries on the walk: when there is one more try, after how long, and why not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from meshproxy.core.exchange import Exchange
from meshproxy.core.ledger import Ledger
from meshproxy.core.verdict import Failure
from meshproxy.policies.circuit_breaker import CircuitBreakerSpec
from meshproxy.policies.contract import Scope
from meshproxy.policies.load_balancer import LoadBalancerSpec
from meshproxy.policies.retries import Retries, RetrySpec

from .attempts import Outcome, Walk, depart, exchange_of, scope_of, settle

CONTRACT = {
    "attempts": 2,
    "when": ["connect-failure", "reset", 502, 503, 504],
    "per_try_timeout": "800ms",
    "backoff": {"strategy": "exponential", "base": "25ms", "max": "250ms", "jitter": "full"},
    "budget": {"ratio": "20%", "min_per_second": 10},
}


def built(scope: Scope, **settings: Any) -> Retries:
    policy = RetrySpec.model_validate(settings).build(scope)
    assert policy is not None
    return policy


def walking(*outcomes: Outcome, **settings: Any) -> tuple[Walk, Scope]:
    """One endpoint that answers like this, and goes on with the last of it."""
    scope, answers = scope_of("a", "b", "c"), list(outcomes)
    balancer = LoadBalancerSpec.model_validate("round_robin").build(scope)
    return Walk(
        [balancer, built(scope, **settings)],
        lambda endpoint, now: answers.pop(0) if len(answers) > 1 else answers[0],
    ), scope


def outcomes_of(scope: Scope) -> dict[str, float]:
    samples = list(scope.draft.used["retry", "payments"].samples())
    assert {each.family for each in samples} == {"meshproxy_retries_total"}
    assert {dict(each.labels)["upstream"] for each in samples} == {"payments"}
    return {dict(each.labels)["outcome"]: each.value for each in samples}


def waited(retries: Retries, outcome: Outcome, *, retry_after: float = -1.0) -> float | None:
    """What `retry` says after a first attempt that came to this."""
    scope, exchange = scope_of("a"), exchange_of()
    depart([retries], exchange, scope.cluster.endpoints[0], 100.0)
    settle([retries], exchange, outcome, 100.0)
    exchange.retry_after = retry_after
    return retries.retry(exchange, 100.0)


def test_the_contract_s_example_is_read_and_written_as_it_stands() -> None:
    spec = RetrySpec.model_validate(CONTRACT)
    written = spec.model_dump(mode="json")
    assert written == {**CONTRACT, "when": ["connect-failure", "reset", "502", "503", "504"]}
    assert RetrySpec.model_validate(written) == spec


def test_defaults_are_one_more_try_for_what_is_safe() -> None:
    spec = RetrySpec()
    assert (spec.attempts, spec.per_try_timeout) == (1, 0.0)
    assert spec.when == ("connect-failure", "reset", "502", "503", "504")
    assert spec.backoff.compiled().longest == 0.25


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attempts": 11}, "less than or equal to 10"),
        ({"attempts": -1}, "greater than or equal to 0"),
        ({"when": ["4xx"]}, "4xx is the caller's own mistake"),
        ({"when": ["conect-failure"]}, "write one of connect-failure, reset, timeout"),
        ({"when": [200]}, "gateway-error, or a status from 400 to 599"),
        ({"backoff": {"base": "1s", "max": "250ms"}}, r"max \(250ms\) must not be below base"),
        ({"backoff": {"base": 25}}, "add a unit"),
        ({"backoff": {"jitter": "some"}}, "write full, none or a percentage such as 20%"),
        ({"backoff": {"jitter": 0.2}}, "write full, none or a percentage such as 20%"),
        ({"backoff": {"strategy": "linear"}}, "'exponential' or 'fixed'"),
        ({"budget": {"ratio": 0.2}}, "write a percentage: 20%"),
        ({"budget": {"min_per_second": -1}}, "greater than or equal to 0"),
        ({"retries": 3}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RetrySpec.model_validate(settings)


@pytest.mark.parametrize("settings", [{"attempts": 0}, {"when": []}])
def test_nothing_to_try_again_is_no_policy(settings: Any) -> None:
    assert RetrySpec.model_validate(settings).build(scope_of("a")) is None


@pytest.mark.parametrize(
    "outcome", [502, 503, 504, Failure.CONNECT, Failure.CONNECT_TIMEOUT, Failure.RESET]
)
def test_by_default_these_are_tried_again(outcome: Outcome) -> None:
    walk, scope = walking(outcome, 200)
    assert walk.ask() == 200
    assert outcomes_of(scope) == {"granted": 1.0, "success": 1.0}


@pytest.mark.parametrize(
    "outcome", [200, 404, 429, 500, Failure.TRY_TIMEOUT, Failure.GARBAGE, Failure.CLIENT_GONE]
)
def test_by_default_these_are_not(outcome: Outcome) -> None:
    walk, scope = walking(outcome)
    assert walk.ask() == outcome
    assert len(walk.sent) == 1
    assert outcomes_of_nothing(scope)


def outcomes_of_nothing(scope: Scope) -> bool:
    return list(scope.draft.used["retry", "payments"].samples()) == []


@pytest.mark.parametrize(
    ("when", "outcome"),
    [("429", 429), ("timeout", Failure.TRY_TIMEOUT), ("bad-response", Failure.GARBAGE),
     ("5xx", 500), ("gateway-error", 502), (409, 409)],
)  # fmt: skip
def test_anything_else_can_be_asked_for(when: object, outcome: Outcome) -> None:
    walk, _ = walking(outcome, 200, when=[when])
    assert walk.ask() == 200


def test_the_end_of_the_call_s_time_is_final() -> None:
    walk, _ = walking(Failure.TIMEOUT, 200, when=["timeout"])
    assert walk.ask() == Failure.TIMEOUT


def test_a_refused_connection_is_not_a_503_of_the_upstream() -> None:
    walk, _ = walking(Failure.CONNECT, 200, when=["503"])
    assert walk.ask() == Failure.CONNECT


@pytest.mark.parametrize("method", [b"POST", b"PATCH"])
@pytest.mark.parametrize("outcome", [503, Failure.RESET])
def test_what_may_have_had_an_effect_is_not_repeated(method: bytes, outcome: Outcome) -> None:
    walk, scope = walking(outcome, 200)
    assert walk.ask(exchange_of(method)) == outcome
    assert outcomes_of(scope) == {"unsafe_method": 1.0}


@pytest.mark.parametrize("outcome", [503, Failure.RESET])
def test_a_key_makes_it_safe(outcome: Outcome) -> None:
    walk, _ = walking(outcome, 200)
    assert walk.ask(exchange_of(b"POST", idempotency_key="k1")) == 200
    assert b"idempotency-key" in Retries.reads


def test_any_method_is_repeated_when_nothing_reached_the_upstream() -> None:
    walk, _ = walking(Failure.CONNECT, 200)
    assert walk.ask(exchange_of(b"POST")) == 200


def test_a_body_too_large_to_repeat_is_sent_once_and_counted() -> None:
    walk, scope = walking(503, 200)
    exchange = exchange_of(b"PUT")
    exchange.replayable = False
    assert walk.ask(exchange) == 503
    assert outcomes_of(scope) == {"body_too_large": 1.0}


def test_used_up_tries_are_flagged_and_the_last_answer_stands() -> None:
    walk, scope = walking(503, 502, 504, attempts=2)
    exchange = exchange_of()
    assert walk.ask(exchange) == 504
    assert exchange.flags == "URX"
    assert exchange.attempts == 3
    assert outcomes_of(scope) == {"granted": 2.0, "exhausted": 1.0}


def test_each_try_goes_to_another_endpoint() -> None:
    walk, _ = walking(503, attempts=2, budget={"min_per_second": 1000})
    for _ in range(20):
        walk.ask()
    for first in range(0, 60, 3):
        assert len(set(walk.sent[first : first + 3])) == 3


def test_waits_grow_as_the_file_says() -> None:
    walk, _ = walking(503, attempts=4, backoff={"base": "100ms", "jitter": "none"})
    began = walk.now
    walk.ask()
    assert walk.now - began == pytest.approx(0.1 + 0.3 + 0.7 + 1.0)


@pytest.mark.parametrize(("jitter", "least"), [("none", 0.1), ("20%", 0.08), ("full", 0.0)])
def test_jitter_shortens_waits_by_its_share(jitter: str, least: float) -> None:
    backoff = {"strategy": "fixed", "base": "100ms", "jitter": jitter}
    scope = scope_of("a")
    waits = [waited(built(scope, backoff=backoff), 503) or 0.0 for _ in range(10)]
    assert all(least <= wait <= 0.1 for wait in waits)
    assert (len(set(waits)) == 1) is (jitter == "none")


def test_the_upstream_s_retry_after_is_waited_for() -> None:
    retries = built(scope_of("a"))
    wait = waited(retries, 503, retry_after=3.0)
    assert wait is not None
    assert 3.0 <= wait <= 4.5


def test_a_retry_after_beyond_belief_is_as_if_not_said() -> None:
    wait = waited(built(scope_of("a")), 503, retry_after=3600.0)
    assert wait is not None
    assert wait <= 0.025


def test_a_try_that_cannot_be_in_time_is_not_taken_from_the_budget() -> None:
    walk, scope = walking(503, 200, backoff={"base": "2s", "jitter": "none"})
    assert walk.ask(exchange_of(deadline=walk.now + 1.0)) == 503
    assert outcomes_of(scope) == {"out_of_time": 1.0}
    assert scope.draft.used["retry", "payments"].report(walk.now)["last_10s"]["retries"] == 0


def outage(per_second: int, seconds: int, **settings: Any) -> tuple[Walk, Scope, int]:
    scope = scope_of("a", "b", "c")
    balancer = LoadBalancerSpec().build(scope)
    retries = built(scope, attempts=3, backoff={"base": "0ms"}, **settings)
    walk = Walk([balancer, retries], lambda *_: 503)
    for i in range(per_second * seconds):
        walk.now = 100.0 + i / per_second
        walk.ask()
    return walk, scope, per_second * seconds


def test_a_total_outage_costs_at_most_a_fifth_more() -> None:
    walk, scope, requests = outage(per_second=1000, seconds=12)
    assert 1.19 * requests <= len(walk.sent) <= 1.2 * requests
    outcomes = outcomes_of(scope)
    assert outcomes["granted"] == len(walk.sent) - requests
    assert outcomes["no_budget"] > outcomes["granted"]


def test_two_proxies_in_a_row_multiply_to_less_than_one_and_a_half() -> None:
    """The outer one's upstream is the inner one, so each try of the first is a request there."""
    inner, _, _ = outage(per_second=0, seconds=0)
    scope = scope_of("a", "b", "c")

    def upstream(_: object, now: float) -> Outcome:
        inner.now = now
        assert inner.ask() == 503
        return 503

    retries = built(scope, attempts=3, backoff={"base": "0ms"})
    outer = Walk([LoadBalancerSpec().build(scope), retries], upstream)
    for i in range(5000):
        outer.now = 100.0 + i / 500
        outer.ask()
    assert len(outer.sent) <= 1.2 * 5000
    assert len(inner.sent) <= 1.44 * 5000


def test_the_budget_comes_back_after_an_outage() -> None:
    walk, _, _ = outage(per_second=200, seconds=5, budget={"min_per_second": 0})
    answers = [503, 200]
    walk.upstream = lambda *_: answers[len(walk.sent) % 2]
    before = len(walk.sent)
    for _ in range(5):
        walk.ask()
    assert len(walk.sent) >= before + 5


def test_routes_to_one_upstream_share_its_budget() -> None:
    draft = Ledger().open()
    budget = {"budget": {"ratio": "0%", "min_per_second": 3}}
    one = built(scope_of("a", draft=draft), **budget)
    other = built(scope_of("a", draft=draft, owner="outbound.services.payments"), **budget)
    assert [waited(one, 503) is None for _ in range(4)] == [False, False, False, True]
    assert waited(other, 503) is None


def test_a_breaker_that_opens_in_between_ends_the_retries() -> None:
    scope = scope_of("a")
    breaker = CircuitBreakerSpec.model_validate({"consecutive_failures": 2}).build(scope)
    retries = built(scope, attempts=5)
    walk = Walk([LoadBalancerSpec().build(scope), breaker, retries], lambda *_: 503)
    refusal = walk.ask()
    assert getattr(refusal, "reason", None) == "UO"
    assert len(walk.sent) == 2


def test_a_replayed_request_earns_no_second_share_of_a_retry() -> None:
    """A stale connection is not an attempt: the same request departs again."""
    scope = scope_of("a")
    retries, exchange = built(scope), exchange_of()
    depart([retries], exchange, scope.cluster.endpoints[0], 100.0)
    settle([retries], exchange, Failure.STALE, 100.0)
    exchange.attempts, exchange.fresh = 0, True
    depart([retries], exchange, scope.cluster.endpoints[0], 100.0)
    assert scope.draft.used["retry", "payments"].report(100.0)["last_10s"]["requests"] == 1


def test_the_report_shows_what_was_asked_and_repeated() -> None:
    walk, scope = walking(503, 200)
    walk.ask()
    account = scope.draft.used["retry", "payments"]
    assert account.section == "retries"
    assert account.report(walk.now) == {
        "upstream": "payments",
        "last_10s": {"requests": 1, "retries": 1},
        "outcomes": {"granted": 1, "success": 1},
    }


def test_an_exchange_that_went_well_is_not_touched() -> None:
    walk, _ = walking(200)
    exchange: Exchange = exchange_of()
    assert walk.ask(exchange) == 200
    assert (exchange.attempts, exchange.flags, exchange.tried) == (1, "", ())
