"""The events of a server span: what followed what, and by which rule."""

from __future__ import annotations

from typing import Any

import pytest

from meshproxy.core.spans import Record
from meshproxy.core.verdict import Failure, Refusal
from meshproxy.telemetry.story import events
from tests.telemetry.spans_scene import attempt_of, record_of, route_of


def told(record: Record) -> list[tuple[float, str]]:
    return [(at, name) for at, name, _ in events(record)]


def said(record: Record) -> dict[str, Any]:
    ((_, _, more),) = events(record)
    return dict(more)


def test_a_plain_request_has_no_events() -> None:
    record = record_of(answered=True)
    attempt_of(record, 200)
    assert events(record) == []


@pytest.mark.parametrize(
    ("status", "failure", "why"),
    [(503, None, "503"), (0, Failure.CONNECT, "connect-failure"), (0, Failure.RESET, "reset")],
)
def test_a_retry_says_what_was_wrong_before(status: int, failure: Failure | None, why: str) -> None:
    record = record_of(answered=True)
    attempt_of(record, status, failure)
    attempt_of(record, 200, host="10.0.0.2", began=10.8)
    assert told(record) == [(10.8, "meshproxy.retry")]
    assert said(record) == {
        "meshproxy.upstream": "app",
        "meshproxy.endpoint": "10.0.0.2:80",
        "http.request.resend_count": 1,
        "meshproxy.why": why,
    }


def test_a_connection_that_was_stale_is_replayed_and_not_retried() -> None:
    record = record_of(answered=True)
    attempt_of(record, 0, Failure.STALE)
    attempt_of(record, 200)
    assert [name for _, name in told(record)] == ["meshproxy.replay"]


def test_an_attempt_beside_another_is_a_hedge() -> None:
    record = record_of(answered=True)
    attempt_of(record, 0, Failure.OUTRUN)
    attempt_of(record, 200, beside=True)
    assert [name for _, name in told(record)] == ["meshproxy.hedge"]


@pytest.mark.parametrize(("before", "why"), [(503, "503"), (None, "")])
def test_another_service_that_stands_in_is_a_fallback(before: int | None, why: str) -> None:
    """Also where a breaker let nothing out before."""
    record = record_of(answered=True, rescued=True)
    if before:
        attempt_of(record, before)
    attempt_of(record, 200, route=route_of(upstream="spare"))
    assert told(record) == [(10.25, "meshproxy.fallback")]
    assert said(record)["meshproxy.kind"] == "service"
    assert said(record)["meshproxy.upstream"] == "spare"
    assert said(record)["meshproxy.why"] == why


def test_a_written_answer_that_stands_in_is_a_fallback() -> None:
    record = record_of(rescued=True)
    attempt_of(record, 0, Failure.CONNECT)
    assert told(record) == [(11.0, "meshproxy.fallback")]
    assert said(record) == {"meshproxy.kind": "static", "meshproxy.why": "connect-failure"}
    assert said(record_of(rescued=True, flags="UO"))["meshproxy.why"] == "UO"


def test_an_answer_without_an_attempt_is_the_cache_s() -> None:
    assert told(record_of()) == [(11.0, "meshproxy.cache")]


def test_a_refusal_names_its_rule() -> None:
    rule = "inbound.rate_limits[0] (mesh.yaml:7)"
    record = record_of(status=429, refusal=Refusal(429, "RL", "used up", rule, 2.0))
    assert told(record) == [(11.0, "meshproxy.refused")]
    assert said(record) == {
        "meshproxy.reason": "RL",
        "meshproxy.rule": rule,
        "meshproxy.detail": "used up",
        "meshproxy.retry_after": 2,
    }


@pytest.mark.parametrize("status", [0, 499])
def test_a_caller_who_has_left_or_was_cut_off_was_not_served(status: int) -> None:
    assert events(record_of(status=status)) == []


def test_events_come_in_the_order_of_time() -> None:
    record = record_of(answered=True, notes=[(10.5, "meshproxy.circuit_breaker", {"x": "y"})])
    for began in (10.1, 10.4, 10.9):
        attempt_of(record, 503, began=began)
    assert [at for at, _ in told(record)] == [10.4, 10.5, 10.9]
