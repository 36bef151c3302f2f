"""Hedging: when a second attempt goes out, how often, and what is learned from whom."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from meshproxy.core.exchange import Exchange
from meshproxy.core.ledger import Ledger
from meshproxy.core.verdict import Failure
from meshproxy.policies.contract import Scope
from meshproxy.policies.hedge import BURST, Hedge, HedgeSpec, LearnedHedge
from tests.fakes import Client, FakeTransport, Stage

from .attempts import Outcome, depart, exchange_of, scope_of, settle

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"


def built(scope: Scope | None = None, **settings: Any) -> Hedge:
    policy = HedgeSpec.model_validate(settings).build(scope or scope_of("a", "b"))
    assert policy is not None
    return policy


def outcomes(scope: Scope) -> dict[str, float]:
    samples = list(scope.draft.used["hedges", "payments"].samples())
    assert {each.family for each in samples} <= {"meshproxy_hedges_total"}
    return {dict(each.labels)["outcome"]: each.value for each in samples}


def teach(
    policy: Hedge, seconds: float, count: int, outcome: Outcome = 200, attempt: int = 1
) -> None:
    """So many attempts that came to this."""
    (endpoint,) = scope_of("a").cluster.endpoints
    for _ in range(count):
        exchange = exchange_of()
        exchange.attempts = attempt - 1
        depart([policy], exchange, endpoint, 100.0)
        settle([policy], exchange, outcome, 100.0 + seconds)


def wait_of(policy: Hedge, method: bytes = b"GET", now: float = 200.0) -> float:
    return policy.hedge(exchange_of(method), now)


class Scene:
    """A stage of two endpoints with hedging after 100 ms, and its figures."""

    def __init__(self, *others: object, **settings: Any) -> None:
        self.scope = scope_of("a", "b")
        self.policy = built(self.scope, **{"after": "100ms", **settings})
        self.stage = Stage([self.policy, *others], endpoints=2)

    def asks(self, head: bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") -> Client:
        client = self.stage.client()
        client.says(head)
        return client

    def both(self) -> tuple[Client, FakeTransport, FakeTransport]:
        """A client, its slow first attempt, and the second beside it."""
        client = self.asks()
        first = self.stage.connect()
        self.stage.time.pass_by(0.12)
        return client, first, self.stage.connect()

    @property
    def outcomes(self) -> dict[str, float]:
        return outcomes(self.scope)


def test_the_documented_settings_are_read_and_written_as_they_stand() -> None:
    for after in ("p95", "p99.9", "p50", "50ms"):
        spec = HedgeSpec.model_validate({"after": after, "max_extra": "2%"})
        assert spec.model_dump(mode="json")["after"] == after
        assert HedgeSpec.model_validate(spec.model_dump(mode="json")) == spec
    assert HedgeSpec() == HedgeSpec.model_validate(
        {"after": "p95", "min": "1ms", "max_extra": "2%", "methods": ["GET", "HEAD", "OPTIONS"]}
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"after": "p100"}, "p50 to p99.9"),
        ({"after": "p49"}, "p50 to p99.9"),
        ({"after": "0ms"}, "p50 to p99.9"),
        ({"after": 50}, "p50 to p99.9"),
        ({"max_extra": "0%"}, "greater than 0"),
        ({"max_extra": 0.02}, "2%"),
        ({"methods": ["POST"]}, "GET"),
        ({"methods": []}, "at least 1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HedgeSpec.model_validate(settings)


def test_with_nowhere_else_to_go_there_is_no_policy() -> None:
    assert HedgeSpec().build(scope_of("a")) is None


def test_a_slow_first_attempt_gets_a_second_elsewhere_and_the_first_answer_counts() -> None:
    scene = Scene()
    client, first, second = scene.both()
    scene.stage.answer(second, OK)
    assert client.hears().endswith(b"ok")
    assert first.aborted
    assert scene.outcomes == {"sent": 1.0, "won": 1.0}


def test_a_second_attempt_that_comes_too_late_has_lost() -> None:
    scene = Scene()
    client, first, second = scene.both()
    scene.stage.answer(first, OK)
    assert client.hears().endswith(b"ok")
    assert second.aborted
    assert scene.outcomes == {"sent": 1.0, "lost": 1.0}


def test_a_second_attempt_that_makes_up_for_the_first_has_won() -> None:
    scene = Scene()
    client, first, second = scene.both()
    scene.stage.answer(first, BAD)
    scene.stage.answer(second, OK)
    assert client.hears().endswith(b"ok")
    assert scene.outcomes == {"sent": 1.0, "won": 1.0}


def test_when_both_fail_the_second_has_lost() -> None:
    scene = Scene()
    client, first, second = scene.both()
    scene.stage.hang_up(first, ConnectionResetError())
    scene.stage.hang_up(second, ConnectionResetError())
    assert client.hears().startswith(b"HTTP/1.1 503 ")
    assert scene.outcomes == {"sent": 1.0, "lost": 1.0}


def test_an_answer_in_time_needs_no_second() -> None:
    scene = Scene()
    client = scene.asks()
    upstream = scene.stage.connect()
    scene.stage.time.pass_by(0.08)
    scene.stage.answer(upstream, OK)
    scene.stage.time.pass_by(1.0)
    assert client.hears().endswith(b"ok")
    assert scene.outcomes == {}


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"PUT", b"DELETE", b"REPORT"])
def test_what_may_do_harm_twice_is_sent_once(method: bytes) -> None:
    scene = Scene()
    scene.asks(method + b" / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    scene.stage.connect()
    scene.stage.time.pass_by(1.0)
    assert scene.stage.dials == []
    assert scene.outcomes == {}


def test_other_idempotent_methods_are_hedged_where_the_file_says_so() -> None:
    policy = built(after="100ms", methods=["PUT"])
    assert wait_of(policy, b"PUT") == 0.1
    assert wait_of(policy, b"GET") == 0.0


def test_a_switch_of_protocols_is_not_hedged() -> None:
    scene = Scene()
    scene.asks(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    scene.stage.connect()
    scene.stage.time.pass_by(1.0)
    assert scene.stage.dials == []


class OnlyTheFirst:
    """The other endpoint's breaker is open."""

    def eligible(self, endpoint: Any, now: float) -> bool:
        return bool(endpoint.host == "10.0.0.1")


def test_no_second_attempt_where_every_other_endpoint_is_shut_off() -> None:
    scene = Scene(OnlyTheFirst())
    scene.asks()
    scene.stage.connect()
    scene.stage.time.pass_by(1.0)
    assert scene.stage.dials == []
    assert scene.outcomes == {}


def test_no_second_attempt_goes_out_when_the_time_is_over() -> None:
    policy = built(after="1ms", max_extra="100%")
    assert not policy.rival(exchange_of(deadline=100.0), 100.0)
    assert policy.rival(exchange_of(deadline=100.0), 99.9)


def asked(policy: Hedge, times: int) -> int:
    """How many of so many slow requests get a second attempt."""
    granted = 0
    for _ in range(times):
        exchange: Exchange = exchange_of()
        policy.hedge(exchange, 100.0)
        granted += policy.rival(exchange, 100.1)
    return granted


@pytest.mark.parametrize(("share", "least", "most"), [("2%", 20, 21), ("10%", 100, 101)])
def test_second_attempts_are_a_share_of_the_requests(share: str, least: int, most: int) -> None:
    scope = scope_of("a", "b")
    assert least <= asked(built(scope, after="1ms", max_extra=share), 1000) <= most
    assert outcomes(scope)["no_budget"] >= 1000 - most


def test_a_stall_after_a_long_calm_finds_no_more_than_a_few() -> None:
    policy = built(after="1ms", max_extra="2%")
    for _ in range(100_000):
        wait_of(policy)
    granted = sum(policy.rival(exchange_of(), 100.0) for _ in range(1000))
    assert granted == BURST


def test_a_connection_that_had_died_earns_nothing_twice() -> None:
    policy = built(after="1ms", max_extra="100%")
    assert asked(policy, 1) == 1
    exchange = exchange_of()
    exchange.fresh = True
    for _ in range(10):
        policy.hedge(exchange, 100.0)
    assert [policy.rival(exchange_of(), 100.0) for _ in range(2)] == [True, False]


def test_nothing_is_hedged_before_enough_was_learned() -> None:
    policy = built(after="p95")
    assert wait_of(policy) == 0.0
    teach(policy, 0.05, 99)
    assert wait_of(policy) == 0.0
    teach(policy, 0.05, 1)
    assert wait_of(policy, now=201.0) == pytest.approx(0.05, rel=0.1)


def test_the_wait_is_the_percentile_of_the_answers() -> None:
    policy = built(after="p90")
    teach(policy, 0.01, 900)
    teach(policy, 0.1, 90)
    assert wait_of(policy) == pytest.approx(0.01, rel=0.1)
    teach(policy, 0.1, 20)
    assert wait_of(policy, now=201.0) == pytest.approx(0.1, rel=0.1)


def test_it_is_never_shorter_than_the_least() -> None:
    policy = built(after="p50", min="20ms")
    teach(policy, 0.0001, 100)
    assert wait_of(policy) == 0.02
    assert wait_of(built(after="5ms", min="20ms")) == 0.02


@pytest.mark.parametrize("outcome", [200, 404, Failure.OUTRUN, Failure.TIMEOUT])
def test_what_was_answered_or_waited_for_in_vain_is_learned(outcome: Outcome) -> None:
    policy = built(after="p50")
    teach(policy, 0.05, 100, outcome)
    assert wait_of(policy) == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize("outcome", [503, Failure.CONNECT, Failure.RESET, Failure.CLIENT_GONE])
def test_fast_failures_do_not_make_it_seem_fast(outcome: Outcome) -> None:
    policy = built(after="p50")
    teach(policy, 0.05, 100, outcome)
    assert wait_of(policy) == 0.0


def test_second_attempts_teach_nothing() -> None:
    policy = built(after="p50")
    teach(policy, 0.05, 100, attempt=2)
    assert wait_of(policy) == 0.0


def test_an_attempt_that_was_outrun_took_at_least_so_long() -> None:
    """Were only winners learned from, slow answers would disappear and hedging would grow."""
    scene = Scene(after="p50", max_extra="100%")
    teach(scene.policy, 0.1, 10)
    _, _, second = scene.both()
    scene.stage.answer(second, OK)
    learned = scene.scope.draft.used["hedge", "outbound", "payments", "default", 0.5].sketch
    assert learned.total == 11.0


def test_routes_learn_apart_and_share_what_is_put_by() -> None:
    ledger = Ledger()
    draft = ledger.open()
    fast, slow = (
        built(_on_route(scope_of("a", "b", draft=draft), name), after="p50")
        for name in ("fast", "slow")
    )
    teach(fast, 0.01, 100)
    assert wait_of(fast) == pytest.approx(0.01, rel=0.1)
    assert wait_of(slow) == 0.0
    assert fast.rival(exchange_of(), 100.0)
    assert not slow.rival(exchange_of(), 100.0)


def _on_route(scope: Scope, name: str) -> Scope:
    return Scope(**{field: getattr(scope, field) for field in Scope.__slots__} | {"route": name})


def test_what_was_learned_outlives_a_reload() -> None:
    ledger = Ledger()
    known = 0.0
    for _ in range(2):
        draft = ledger.open()
        policy = built(scope_of("a", "b", draft=draft), after="p50")
        assert isinstance(policy, LearnedHedge)
        known = wait_of(policy)
        teach(policy, 0.05, 100)
        ledger.keep(draft)
    assert known == pytest.approx(0.05, rel=0.1)


def test_the_admin_port_is_told_what_was_learned() -> None:
    scope = scope_of("a", "b")
    teach(built(scope, after="p50"), 0.05, 100)
    reports = {
        cell.section: cell.report(300.0)
        for key, cell in scope.draft.used.items()
        if key[0] in ("hedge", "hedges")
    }
    assert reports["hedges"] == {"upstream": "payments", "outcomes": {}, "saved": 1.0}
    assert reports["hedge_delays"] == {
        "upstream": "payments",
        "route": "default",
        "after_seconds": pytest.approx(0.05, rel=0.1),
    }
