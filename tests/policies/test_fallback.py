"""What stands in for a failure, when, and how it is marked and counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from meshproxy.core.exchange import Exchange
from meshproxy.core.ledger import Draft, Ledger
from meshproxy.core.route import Route
from meshproxy.core.verdict import Failure, Refusal, Served
from meshproxy.policies.fallback import CAUSES, Detour, FallbackSpec, Stand
from tests.fakes import Stage

from .attempts import exchange_of, scope_of

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
BAD = b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STATIC = {"static": {"headers": {"content-type": "application/json"}, "body": "[]"}}


def problem(raw: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        FallbackSpec.model_validate(raw)
    return str(caught.value)


def standing_in(raw: dict[str, Any], draft: Draft | None = None, other: Route | None = None) -> Any:
    scope = scope_of("a", draft=draft)
    return FallbackSpec.model_validate(raw).build(replace(scope, route_of=lambda name: other))


def refusal_of(failure: Failure) -> Refusal:
    return Refusal(failure.status, failure.reason, failure.detail)


OPEN = Refusal(503, "UO", "circuit breaker: the only endpoint is open")
NOBODY = Refusal(503, "UH", "no endpoint of this service can be used")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({}, "write static, service or stale"),
        ({"stale": "0s"}, "greater than 0"),
        ({"static": {}, "service": "b"}, "write either static or service"),
        ({"static": {}, "on": []}, "at least 1"),
        ({"static": {}, "on": ["4xx"]}, "write one of breaker-open, no-endpoint, connect-failure"),
        ({"static": {}, "on": [404]}, "a status from 500 to 599"),
        ({"static": {"status": 100}}, "greater than or equal to 200"),
        ({"static": {"status": 204, "body": "x"}}, "has no body"),
        ({"static": {"body": "x" * 65537}}, "larger than 64 KiB"),
        ({"static": {"body": "\u20ac" * 21846}}, "larger than 64 KiB"),
        ({"static": {"headers": {"Content-Length": "1"}}}, "not a field to write here"),
        ({"static": {"headers": {"x-fallback": "no"}}}, "not a field to write here"),
        ({"static": {"headers": {"a b": "1"}}}, "not a field to write here"),
        ({"static": {"headers": {"x": "1\r\ny: 2"}}}, "printable ASCII in one line"),
        ({"static": {"headers": {"x": " 1"}}}, "printable ASCII in one line"),
        ({"static": {"bdoy": ""}}, "Extra inputs"),
    ],
)
def test_what_makes_no_sense_is_refused(raw: dict[str, Any], said: str) -> None:
    assert said in problem(raw)


def test_a_written_answer_is_marked() -> None:
    served = standing_in(STATIC).rescue(exchange_of(), OPEN, 0.0)
    assert served == Served(
        200, b"content-type: application/json\r\nx-fallback: static\r\n", b"[]"
    )  # fmt: skip


def test_a_body_without_a_type_is_text() -> None:
    served = standing_in({"static": {"status": 503, "body": "later"}}).rescue(
        exchange_of(), OPEN, 0.0
    )
    assert served.status == 503
    assert b"content-type: text/plain; charset=utf-8\r\n" in served.fields


@pytest.mark.parametrize(
    ("refusal", "cause"),
    [
        (OPEN, "breaker-open"),
        (NOBODY, "no-endpoint"),
        (refusal_of(Failure.CONNECT), "connect-failure"),
        (refusal_of(Failure.CONNECT_TIMEOUT), "connect-failure"),
        (refusal_of(Failure.RESET), "reset"),
        (refusal_of(Failure.TRUNCATED), "reset"),
        (refusal_of(Failure.TRY_TIMEOUT), "timeout"),
        (refusal_of(Failure.TIMEOUT), "timeout"),
        (refusal_of(Failure.IDLE), "timeout"),
        (refusal_of(Failure.GARBAGE), "bad-response"),
    ],
)
def test_each_failure_of_the_upstream_is_a_cause(refusal: Refusal, cause: str) -> None:
    assert standing_in(STATIC).rescue(exchange_of(), refusal, 0.0) is not None
    assert standing_in({**STATIC, "on": [cause]}).rescue(exchange_of(), refusal, 0.0) is not None
    others = sorted(set(CAUSES.values()) - {cause})
    assert standing_in({**STATIC, "on": others}).rescue(exchange_of(), refusal, 0.0) is None


@pytest.mark.parametrize("failure", [Failure.CLIENT_STALLED, Failure.FORBIDDEN])
def test_what_is_not_the_upstreams_fault_is_none(failure: Failure) -> None:
    assert standing_in(STATIC).rescue(exchange_of(), refusal_of(failure), 0.0) is None


@pytest.mark.parametrize(
    ("on", "statuses"),
    [
        (None, {502, 503, 504}),
        (["gateway-error"], {502, 503, 504}),
        (["5xx"], {500, 501, 502, 503, 504, 599}),
        ([500, "503"], {500, 503}),
        (["reset"], set()),
    ],
)
def test_of_the_upstreams_own_answers_those_that_are_named(
    on: list[object] | None, statuses: set[int]
) -> None:
    policy = standing_in({**STATIC, "on": on} if on else STATIC)
    exchange = exchange_of()
    found = set()
    for exchange.status in (200, 404, 429, 500, 501, 502, 503, 504, 599):
        if policy.rescue(exchange, None, 0.0):
            found.add(exchange.status)
    assert found == statuses


def test_who_asked_for_a_tunnel_gets_the_failure() -> None:
    exchange = exchange_of(b"CONNECT")
    exchange.tunnel = True
    assert standing_in(STATIC).rescue(exchange, OPEN, 0.0) is None


def test_each_is_counted_by_route_kind_and_cause_across_a_reload() -> None:
    ledger = Ledger()
    for _ in range(2):
        draft = ledger.open()
        policy = standing_in(STATIC, draft)
        policy.rescue(exchange_of(), OPEN, 0.0)
        failing = exchange_of()
        failing.status = 503
        policy.rescue(failing, None, 0.0)
        ledger.keep(draft)
    cells = [cell for _, cell in ledger.cells() if hasattr(cell, "samples")]
    samples = {tuple(v for _, v in one.labels): one.value for one in cells[0].samples()}
    where = ("outbound", "default", "payments", "static")
    assert samples == {(*where, "breaker-open"): 2.0, (*where, "503"): 2.0}
    assert {one.family for one in cells[0].samples()} == {"meshproxy_fallbacks_total"}


class Two:
    """A service and another that stands in for it."""

    def __init__(self, **route: Any) -> None:
        self.other = Stage()
        self.policy = standing_in({"service": "other"}, other=self.other.route)
        assert isinstance(self.policy, Detour)
        self.stage = Stage([self.policy], timeout=1.0, **route)
        self.client = self.stage.client()

    def answers(self) -> bytes:
        """What the other service was asked, after it has answered."""
        up = self.stage.connect()
        asked = up.take()
        self.stage.answer(up, OK)
        return asked

    def at_rest(self) -> bool:
        stages = (self.stage, self.other)
        return not any(one.counts.in_flight or one.endpoints[0].load for one in stages)


def test_another_service_answers_and_is_marked() -> None:
    two = Two()
    two.client.says(GET)
    two.stage.refuse(Failure.CONNECT)
    assert two.answers().startswith(b"GET /x HTTP/1.1\r\n")
    told = two.client.hears()
    assert told.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"x-fallback: service\r\n" in told
    assert two.stage.logged[0].flags == "UF"
    assert two.at_rest()


def test_an_upstreams_own_failing_answer_is_replaced_by_another_service() -> None:
    two = Two()
    two.client.says(GET)
    two.stage.answer(two.stage.connect(), BAD)
    two.answers()
    assert two.client.hears().startswith(b"HTTP/1.1 200 OK\r\n")
    assert two.at_rest()


def test_if_the_other_fails_too_that_is_the_answer() -> None:
    two = Two()
    two.client.says(GET)
    two.stage.refuse(Failure.CONNECT)
    two.stage.refuse(Failure.CONNECT)
    assert two.client.hears().startswith(b"HTTP/1.1 503 ")
    assert two.stage.dials == []
    assert two.at_rest()


def test_a_post_that_went_nowhere_goes_to_the_other_whole() -> None:
    two = Two()
    two.client.says(POST)
    two.stage.refuse(Failure.CONNECT)
    assert two.answers().endswith(b"\r\n\r\nhi")


def test_a_post_that_was_sent_is_not_done_twice() -> None:
    two = Two()
    two.client.says(POST)
    two.stage.answer(two.stage.connect(), BAD)
    assert two.client.hears().startswith(b"HTTP/1.1 503 No\r\n")
    assert two.stage.dials == []


def test_a_post_with_an_idempotency_key_may_be() -> None:
    two = Two()
    two.client.says(POST.replace(b"\r\n\r\n", b"\r\nIdempotency-Key: k\r\n\r\n"))
    two.stage.answer(two.stage.connect(), BAD)
    assert two.answers().endswith(b"\r\n\r\nhi")


def test_a_request_whose_body_is_gone_gets_the_failure() -> None:
    two = Two(replay_bytes=4)
    two.client.says(b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
    up = two.stage.connect()
    two.client.says(b"123456789")
    two.stage.answer(up, BAD)
    assert two.client.hears().startswith(b"HTTP/1.1 503 No\r\n")
    assert two.stage.dials == []


def test_when_the_callers_time_is_up_the_other_is_not_asked() -> None:
    other = Stage().route
    policy = standing_in({"service": "other"}, other=other)
    exchange: Exchange = exchange_of()
    exchange.route = other
    assert policy.rescue(exchange, refusal_of(Failure.TIMEOUT), 5.0) is not None
    exchange.limit_deadline(5.0)
    assert policy.rescue(exchange, refusal_of(Failure.TIMEOUT), 5.0) is None


def test_a_prefix_that_one_service_strips_is_stripped_for_the_other() -> None:
    two = Two(strip=2)
    two.client.says(GET.replace(b"/x", b"/p/x"))
    two.stage.refuse(Failure.CONNECT)
    assert two.answers().startswith(b"GET /x HTTP/1.1\r\n")


def test_a_written_answer_needs_no_body_that_is_held() -> None:
    policy = standing_in(STATIC)
    assert isinstance(policy, Stand)
    stage = Stage([policy], replay_bytes=4)
    client = stage.client()
    client.says(POST)
    stage.answer(stage.connect(), BAD)
    assert client.hears().endswith(b"[]")
