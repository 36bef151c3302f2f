"""Active checks as policies see them: what is asked, what an answer is worth, who is left out."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pydantic import ValidationError

from meshproxy.core.checkup import Checked, Heard
from meshproxy.core.ledger import Draft, Ledger
from meshproxy.core.route import Endpoint
from meshproxy.core.verdict import Refusal
from meshproxy.policies.circuit_breaker import CircuitBreaker, CircuitBreakerSpec
from meshproxy.policies.contract import Scope
from meshproxy.policies.health_check import Check, HealthCheck, HealthCheckSpec, Verdict
from meshproxy.policies.load_balancer import LoadBalancerSpec

from .attempts import Told, Walk, depart, exchange_of, scope_of, settle

GOOD, BAD = Heard(200), Heard(503)


class Scene:
    """A cluster with checks, whose answers a test gives."""

    def __init__(self, *names: str, draft: Draft | None = None, **settings: Any) -> None:
        self.scope = scope_of(*names, draft=draft)
        self.policy: HealthCheck = HealthCheckSpec.model_validate(settings).build(self.scope)
        self.now = 100.0
        for check in self.checks.values():
            check.taken_up()

    @property
    def endpoints(self) -> list[Endpoint]:
        return list(self.scope.cluster.endpoints)

    @property
    def checks(self) -> dict[str, Check]:
        used = self.scope.draft.used
        return {
            str(key[2]): cell
            for key, cell in used.items()
            if isinstance(key, tuple) and key[0] == "check"
        }

    def verdict(self, name: str) -> Verdict:
        return cast(Verdict, self.scope.draft.used["health", "payments", name])

    def hears(self, name: str, heard: Heard, times: int = 1) -> None:
        for _ in range(times):
            self.checks[name].heard(heard, self.now, self.now + 0.1)
            self.now += 10.0


def test_defaults_are_those_of_the_documentation() -> None:
    assert HealthCheckSpec().model_dump(mode="json") == {
        "path": "/healthz", "interval": "10s", "jitter": "10%", "timeout": "2s", "healthy": 2,
        "unhealthy": 3, "expect": ["200-399"], "host": None, "port": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "healthz"}, "path"),
        ({"path": "/x\r\nEvil: 1"}, "path"),
        ({"host": "a\r\nEvil: 1"}, "host"),
        ({"interval": "1ms"}, "greater than or equal to 0.1"),
        ({"timeout": "0s"}, "greater than 0"),
        ({"unhealthy": 0}, "greater than or equal to 1"),
        ({"expect": "2xx"}, "write a status as 200 or a range as 200-399"),
        ({"expect": []}, "write at least one status"),
        ({"port": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HealthCheckSpec.model_validate(settings)


def test_a_question_is_one_plain_request_to_the_endpoint() -> None:
    scene = Scene("a", path="/live?deep=1", timeout="500ms")
    question = scene.checks["a"].question
    assert (question.host, question.port, question.timeout) == ("a", 80, 0.5)
    first, host, *_ = question.head.split(b"\r\n")
    assert (first, host) == (b"GET /live?deep=1 HTTP/1.1", b"Host: a")
    assert question.head.endswith(b"Connection: close\r\n\r\n")


def test_host_and_port_of_the_question_can_be_others() -> None:
    question = Scene("a", host="health.internal", port=9000).checks["a"].question
    assert question.port == 9000
    assert b"\r\nHost: health.internal\r\n" in question.head


def test_what_the_ledger_holds_is_what_the_prober_looks_for() -> None:
    assert all(isinstance(check, Checked) for check in Scene("a", "b").checks.values())


def test_an_endpoint_is_eligible_until_its_checks_fail() -> None:
    scene = Scene("a", "b")
    a, b = scene.endpoints
    scene.hears("a", BAD, 2)
    assert scene.policy.eligible(a, scene.now)
    scene.hears("a", BAD)
    assert not scene.policy.eligible(a, scene.now)
    assert scene.policy.eligible(b, scene.now)


@pytest.mark.parametrize("trouble", ["timeout", "connect-failure", "reset", "bad-response"])
def test_no_answer_fails_like_a_bad_one(trouble: str) -> None:
    scene = Scene("a")
    scene.hears("a", Heard(0, trouble), 3)
    assert not scene.endpoints[0].healthy
    assert scene.verdict("a").results == {trouble: 3}


@pytest.mark.parametrize(
    ("expect", "status", "passes"),
    [("200-399", 302, True), ("200-399", 404, False), ([200, 204], 204, True),
     ([200, 204], 201, False), (418, 418, True)],
)  # fmt: skip
def test_the_expected_statuses_pass_and_no_other(expect: Any, status: int, passes: bool) -> None:
    scene = Scene("a", expect=expect)
    scene.hears("a", Heard(status), 3)
    assert scene.endpoints[0].healthy is passes


def test_who_comes_back_starts_slowly() -> None:
    scene = Scene("a")
    scene.hears("a", BAD, 3)
    assert scene.endpoints[0].ramp_since == 0.0
    scene.hears("a", GOOD, 2)
    assert scene.endpoints[0].ramp_since == pytest.approx(140.1)
    scene.hears("a", GOOD, 5)
    assert scene.endpoints[0].ramp_since == pytest.approx(140.1), "only a return counts"


def test_who_was_never_out_does_not_start_slowly() -> None:
    scene = Scene("a")
    scene.hears("a", GOOD, 5)
    assert scene.endpoints[0].ramp_since == 0.0


def test_the_refusal_is_ours_only_if_nobody_is_healthy() -> None:
    scene = Scene("a", "b")
    scene.hears("a", BAD, 3)
    assert scene.policy.barred(exchange_of(), scene.now) is None
    scene.hears("b", BAD, 3)
    refusal = scene.policy.barred(exchange_of(), scene.now)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason, refusal.retry_after) == (503, "UH", 10.0)
    assert refusal.detail == "health checks: all 2 endpoints of payments fail"


def test_each_change_of_a_verdict_is_one_line_of_the_log() -> None:
    scene = Scene("a")
    scene.hears("a", BAD, 5)
    scene.hears("a", GOOD, 5)
    lines = cast(Told, scene.scope.tell)
    assert [(line["event"], line["healthy"], line["why"]) for line in lines] == [
        ("health", False, "status 503"), ("health", True, "status 200"),
    ]  # fmt: skip


def test_metrics_show_the_verdict_and_count_results() -> None:
    scene = Scene("a")
    scene.hears("a", GOOD, 2)
    scene.hears("a", Heard(0, "timeout"), 3)
    samples = {
        (each.family, *dict(each.labels).values()): each.value
        for each in scene.verdict("a").samples()
    }
    assert samples == {
        ("meshproxy_endpoint_healthy", "payments", "a"): 0.0,
        ("meshproxy_health_checks_total", "payments", "a", "success"): 2.0,
        ("meshproxy_health_checks_total", "payments", "a", "timeout"): 3.0,
    }


def test_a_reload_keeps_the_verdict_and_makes_a_changed_check_anew() -> None:
    ledger = Ledger()
    before = Scene("a", draft=ledger.open())
    before.hears("a", BAD, 3)
    ledger.keep(before.scope.draft)
    same = Scene("a", draft=ledger.open())
    assert same.checks["a"] is before.checks["a"], "nothing changed: it goes on undisturbed"
    other = Scene("a", draft=ledger.open(), interval="1s")
    assert other.checks["a"] is not before.checks["a"]
    assert other.verdict("a") is before.verdict("a")
    assert not other.endpoints[0].healthy


def test_checks_that_are_given_up_leave_nobody_out() -> None:
    scene = Scene("a")
    scene.hears("a", BAD, 3)
    scene.checks["a"].given_up()
    assert scene.endpoints[0].healthy


def both(*names: str, **settings: Any) -> tuple[Scope, Scene, CircuitBreaker]:
    """Checks and a breaker on one cluster, as they stand on one route."""
    scene = Scene(*names)
    spec = CircuitBreakerSpec.model_validate(settings)
    breaker = cast(CircuitBreaker, spec.build(scene.scope))
    return scene.scope, scene, breaker


def opened(scene: Scene, breaker: CircuitBreaker, endpoint: Endpoint) -> None:
    for _ in range(7):
        exchange = exchange_of()
        depart([breaker], exchange, endpoint, scene.now)
        settle([breaker], exchange, 500, scene.now)


def test_a_check_that_went_well_lets_an_open_circuit_be_probed_at_once() -> None:
    scope, scene, breaker = both("a", "b", open_for="60s")
    a = scene.endpoints[0]
    opened(scene, breaker, a)
    scene.now += 1.0
    assert not breaker.eligible(a, scene.now)
    scene.hears("a", GOOD)
    assert breaker.eligible(a, scene.now)
    exchange = exchange_of()
    depart([breaker], exchange, a, scene.now)
    told = [(line["from"], line["to"]) for line in cast(Told, scope.tell)]
    assert told == [("closed", "open"), ("open", "half_open")], "it must not close by itself"
    assert not breaker.eligible(a, scene.now), "one probe, not all"
    settle([breaker], exchange, 500, scene.now + 0.1)
    assert not breaker.eligible(a, scene.now + 0.2), "the next probe needs a newer check"
    scene.now += 1.0
    scene.hears("a", GOOD)
    assert breaker.eligible(a, scene.now)


def test_a_check_from_before_it_opened_proves_nothing() -> None:
    _, scene, breaker = both("a", "b", open_for="60s")
    check, a = scene.checks["a"], scene.endpoints[0]
    opened(scene, breaker, a)
    check.heard(GOOD, scene.now - 0.5, scene.now + 0.5)
    assert not breaker.eligible(a, scene.now + 1.0)


def test_an_open_circuit_is_the_barrier_where_the_rest_fails_its_checks() -> None:
    _, scene, breaker = both("a", "b", "c", open_for="60s")
    opened(scene, breaker, scene.endpoints[0])
    scene.hears("b", BAD, 3)
    scene.now = 100.5
    scene.hears("c", BAD, 3)
    scene.now = 100.5
    assert scene.policy.barred(exchange_of(), scene.now) is None
    refusal = breaker.barred(exchange_of(), scene.now)
    assert refusal is not None
    assert refusal.detail == (
        "circuit breaker: the only endpoint of payments is open; 2 fail their health checks"
    )


def test_the_last_one_that_passes_its_checks_is_not_ejected() -> None:
    _, scene, breaker = both("a", "b")
    scene.hears("b", BAD, 3)
    opened(scene, breaker, scene.endpoints[0])
    assert breaker.eligible(scene.endpoints[0], scene.now)


def test_in_panic_those_that_fail_are_used_too() -> None:
    scope = scope_of("a", "b")
    spec = CircuitBreakerSpec.model_validate({"panic": "60%"})
    beside = {"circuit_breaker": spec}.get
    told = Told()
    scope = Scope(
        **{name: getattr(scope, name) for name in scope.__slots__}
        | {"beside": beside, "tell": told}
    )
    policy = HealthCheckSpec().build(scope)
    a, b = scope.cluster.endpoints
    check = cast(Any, scope.draft.used)["check", "payments", "a", HealthCheckSpec()]
    assert policy.eligible(a, 0.0)
    for _ in range(3):
        check.heard(BAD, 1.0, 1.1)
    assert not a.healthy
    assert policy.eligible(a, 2.0)
    assert policy.eligible(b, 2.0)
    assert [line for line in told if line["event"] == "panic"] == [
        {"event": "panic", "level": "warning", "on": True, "upstream": "payments", "usable": 1,
         "endpoints": 2},
    ]  # fmt: skip


def test_a_breaker_in_shadow_makes_nobody_panic() -> None:
    scope = scope_of("a", "b")
    spec = CircuitBreakerSpec.model_validate({"panic": "100%", "mode": "shadow"})
    values = {name: getattr(scope, name) for name in scope.__slots__}
    scope = Scope(**values | {"beside": lambda key: spec})
    policy = HealthCheckSpec().build(scope)
    scope.cluster.endpoints[0].healthy = False  # type: ignore[index]  # a tuple here
    assert not policy.eligible(scope.cluster.endpoints[0], 0.0)  # type: ignore[index]


def test_a_walk_passes_over_who_fails_its_checks() -> None:
    scene = Scene("a", "b")
    scene.hears("a", BAD, 3)
    balancer = LoadBalancerSpec.model_validate("round_robin").build(scene.scope)
    walk = Walk([scene.policy, balancer], lambda endpoint, now: 200)
    for _ in range(10):
        walk.ask()
    assert {endpoint.name for endpoint in walk.sent} == {"b"}
