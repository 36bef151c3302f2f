"""Faults: exactly what was asked for, as often as was asked for, and to no more at once."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from meshproxy.core.exchange import Exchange, Peer
from meshproxy.core.ledger import Ledger
from meshproxy.core.verdict import Hold, Refusal, Reset
from meshproxy.policies.contract import Scope
from meshproxy.policies.faults import Faults, FaultsSpec
from tests.fakes import Client, Stage

from .attempts import exchange_of, scope_of

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ABORT = Refusal(503, "FI", "fault injection: refused on purpose", "outbound.defaults (mesh.yaml:7)")


def built(*inject: dict[str, Any], scope: Scope | None = None, **settings: Any) -> Faults:
    spec = FaultsSpec.model_validate({"inject": list(inject), **settings})
    policy = spec.build(scope or scope_of("a"))
    assert policy is not None
    return policy


def request(*, trusted: bool = True, **headers: str) -> Exchange:
    exchange = exchange_of(**headers)
    exchange.peer = Peer("127.0.0.1", trusted, b"")
    exchange.route = Stage().route
    return exchange


def verdict(policy: Faults, *, trusted: bool = True, **headers: str) -> Any:
    return policy.admit(request(trusted=trusted, **headers), 100.0)


def counts(scope: Scope) -> dict[str, float]:
    (cell,) = (cell for key, cell in scope.draft.used.items() if key[0] == "faults")
    samples = list(cell.samples())
    assert {each.family for each in samples} <= {"meshproxy_faults_total"}
    return {dict(each.labels)["fault"]: each.value for each in samples}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"delay": "200ms"}, Hold(0.2, None)),
        ({"abort": 503}, ABORT),
        ({"reset": True}, Reset()),
        ({"bandwidth": "10KiB/s"}, None),
        ({"delay": "200ms", "abort": 503}, Hold(0.2, ABORT)),
        ({"delay": "200ms", "bandwidth": "1KiB/s"}, Hold(0.2, None)),
    ],
)
def test_a_fault_is_what_the_file_says(fault: dict[str, Any], expected: Any) -> None:
    assert verdict(built(fault)) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "write delay, abort, reset or bandwidth"),
        ({"percent": "5%"}, "write delay, abort, reset or bandwidth"),
        ({"reset": False}, "write delay, abort, reset or bandwidth"),
        ({"abort": 200}, "abort must be a status from 400 to 599"),
        ({"abort": 600}, "abort must be a status from 400 to 599"),
        ({"delay": 200}, "add a unit"),
        ({"abort": 503, "reset": True}, "reset goes with no other fault"),
        ({"delay": "1s", "reset": True}, "reset goes with no other fault"),
        ({"abort": 503, "bandwidth": "1KiB/s"}, "abort leaves no answer"),
        ({"abort": 503, "percent": 0.5}, "write a percentage: 50%"),
        ({"abort": 503, "status": 5}, "Extra inputs"),
    ],
)
def test_a_fault_that_cannot_be_meant_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FaultsSpec.model_validate({"inject": [settings]})


def test_nothing_asked_for_is_no_policy() -> None:
    assert FaultsSpec().build(scope_of("a")) is None


def test_a_share_of_the_requests_meets_it() -> None:
    scope = scope_of("a")
    policy = built({"abort": 503, "percent": "5%"}, scope=scope, max_active=100_000)
    met = sum(verdict(policy) == ABORT for _ in range(10_000))
    assert 430 <= met <= 570
    assert counts(scope) == {"abort": float(met)}


def test_none_of_no_percent_and_all_of_a_hundred() -> None:
    never = built({"abort": 503, "percent": "0%"}, max_active=1000)
    always = built({"abort": 503}, max_active=1000)
    assert [verdict(never) for _ in range(500)] == [None] * 500
    assert [verdict(always) for _ in range(500)] == [ABORT] * 500


def test_faults_are_drawn_for_apart() -> None:
    policy = built(
        {"delay": "1s", "percent": "50%"}, {"abort": 503, "percent": "50%"}, max_active=100_000
    )
    seen = [repr(verdict(policy)) for _ in range(4000)]
    for each in (None, ABORT, Hold(1.0, None), Hold(1.0, ABORT)):
        assert 850 <= seen.count(repr(each)) <= 1150


def test_of_two_of_a_kind_the_first_counts() -> None:
    assert verdict(built({"delay": "1s"}, {"delay": "2s"}, {"abort": 503})) == Hold(1.0, ABORT)


def test_who_is_cut_off_suffers_nothing_else() -> None:
    scope = scope_of("a")
    policy = built({"delay": "1s"}, {"abort": 503}, {"reset": True}, scope=scope)
    assert verdict(policy) == Reset()
    assert counts(scope) == {"reset": 1.0}


def test_who_is_refused_has_no_answer_to_slow_down() -> None:
    scope = scope_of("a")
    policy = built({"bandwidth": "1KiB/s"}, {"abort": 503}, scope=scope)
    assert verdict(policy) == ABORT
    assert counts(scope) == {"abort": 1.0}


def test_what_is_suffered_is_counted_and_flagged() -> None:
    scope = scope_of("a")
    exchange = request()
    built({"delay": "1s"}, {"bandwidth": "1KiB/s"}, scope=scope).admit(exchange, 100.0)
    assert counts(scope) == {"delay": 1.0, "bandwidth": 1.0}
    assert exchange.flags == "FI"
    assert exchange.extras is not None
    assert exchange.extras.throttle == 1024.0


def test_a_request_that_was_spared_carries_no_trace_of_it() -> None:
    exchange = request()
    built({"abort": 503, "percent": "0%"}).admit(exchange, 100.0)
    assert (exchange.flags, exchange.extras, exchange.deferred) == ("", None, [])


def test_no_more_than_so_many_are_under_a_fault_at_once() -> None:
    scope = scope_of("a")
    policy = built({"delay": "1s"}, scope=scope, max_active=2)
    exchanges = [request() for _ in range(3)]
    assert [policy.admit(each, 100.0) for each in exchanges] == [Hold(1.0), Hold(1.0), None]
    assert counts(scope) == {"delay": 2.0, "capped": 1.0}
    assert exchanges[2].flags == ""
    for release in exchanges[0].deferred:
        release(101.0)
    assert verdict(policy) == Hold(1.0)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x_fault_delay": "200ms"}, Hold(0.2, None)),
        ({"x_fault_abort": "503"}, ABORT),
        ({"x_fault_reset": "on"}, Reset()),
        ({"x_fault_delay": "1s", "x_fault_abort": "503"}, Hold(1.0, ABORT)),
        ({"x_fault_delay": "200"}, None),
        ({"x_fault_delay": "1s, 2s"}, None),
        ({"x_fault_abort": "200"}, None),
        ({"x_fault_abort": "5030"}, None),
        ({"x_fault_abort": "\xb2\xb2\xb2"}, None),
        ({"x_fault_reset": "off"}, None),
        ({"x_fault_bandwidth": "fast"}, None),
        ({"x_other": "503"}, None),
    ],
)
def test_a_trusted_caller_may_ask_for_itself(headers: dict[str, str], expected: Any) -> None:
    assert verdict(built(headers=True), **headers) == expected


def test_a_caller_s_bandwidth_is_that_of_its_answer() -> None:
    exchange = request(x_fault_bandwidth="2KiB/s")
    assert built(headers=True).admit(exchange, 100.0) is None
    assert exchange.extras is not None
    assert exchange.extras.throttle == 2048.0


def test_nobody_else_may_ask() -> None:
    assert verdict(built(headers=True), trusted=False, x_fault_abort="503") is None
    assert verdict(built({"delay": "1s"}), x_fault_abort="503") == Hold(1.0)


def test_what_the_file_says_goes_before_what_a_caller_asks() -> None:
    policy = built({"abort": 500}, headers=True)
    assert verdict(policy, x_fault_abort="503").status == 500


def test_a_reload_forgets_neither_counts_nor_who_is_under_a_fault() -> None:
    ledger = Ledger()
    draft = ledger.open()
    assert verdict(built({"delay": "1s"}, scope=scope_of("a", draft=draft), max_active=1))
    ledger.keep(draft)
    draft = ledger.open()
    scope = scope_of("a", draft=draft)
    assert verdict(built({"abort": 503}, scope=scope, max_active=1)) is None
    assert counts(scope) == {"delay": 1.0, "capped": 1.0}
    (cell,) = (cell for key, cell in draft.used.items() if key[0] == "faults")
    assert cell.report(0.0) == {
        "upstream": "payments",
        "active": 1,
        "faults": {"default": {"delay": 1, "capped": 1}},
    }


def on_stage(*inject: dict[str, Any], **settings: Any) -> tuple[Stage, Client]:
    stage = Stage([built(*inject, **settings)])
    return stage, stage.client()


def test_a_delayed_request_is_sent_later() -> None:
    stage, client = on_stage({"delay": "200ms"})
    client.says(GET)
    stage.time.pass_by(0.19)
    assert stage.dials == []
    stage.time.pass_by(0.02)
    stage.answer(stage.connect(), OK)
    assert client.hears().endswith(b"ok")
    assert stage.logged[0].flags == "FI"


def test_a_refused_request_reaches_nobody_and_the_answer_says_why() -> None:
    stage, client = on_stage({"abort": 429})
    client.says(GET)
    answer = client.hears()
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"x-meshproxy-reason: FI\r\n" in answer
    assert b"refused on purpose" in answer
    assert stage.dials == []
    assert stage.counts.in_flight == 0


def test_a_connection_that_is_reset_hears_nothing() -> None:
    stage, client = on_stage({"reset": True})
    client.says(GET)
    assert client.hears() == b""
    assert client.transport.aborted
    assert stage.dials == []
    assert [each.flags for each in stage.logged] == ["FI"]
    assert stage.counts.in_flight == 0


def test_a_slow_answer_comes_at_that_rate() -> None:
    stage, client = on_stage({"bandwidth": "1KiB/s"})
    client.says(GET)
    stage.answer(stage.connect(), b"HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n" + b"x" * 4096)
    heard = 0
    for _ in range(2):
        stage.time.pass_by(1.0)
        seen = len(client.hears())
        assert seen <= 1024 + 200
        heard += seen
    assert 1900 <= heard <= 2300
    stage.time.pass_by(3.0)
    assert heard + len(client.hears()) > 4096


def test_who_leaves_in_a_delay_makes_room_for_another_fault() -> None:
    stage, client = on_stage({"delay": "1s"}, max_active=1)
    client.says(GET)
    client.leaves()
    other = stage.client()
    other.says(GET)
    assert stage.dials == []


def test_the_fields_are_not_passed_on_where_they_mean_something_here() -> None:
    stage, client = on_stage(headers=True)
    client.says(GET.replace(b"\r\n\r\n", b"\r\nX-Fault-Delay: 10ms\r\n\r\n"))
    stage.time.pass_by(0.02)
    assert b"x-fault" not in stage.connect().take().lower()


def test_they_are_passed_on_where_they_mean_nothing() -> None:
    stage, client = on_stage({"delay": "10ms"})
    client.says(GET.replace(b"\r\n\r\n", b"\r\nX-Fault-Delay: 10s\r\n\r\n"))
    stage.time.pass_by(0.02)
    assert b"X-Fault-Delay: 10s\r\n" in stage.connect().take()
