"""One route: its timeouts, its policies in order, and where their rules are said to stand."""

from __future__ import annotations

from typing import Any

from meshproxy.core.ledger import Ledger
from meshproxy.core.route import Route
from tests.settings.build import build

FILE = """
inbound:
  app: 127.0.0.1:8080
  timeout: 4s
  concurrency: {max: 5}
  rate_limits: [{limit: 10/s}]
  routes:
    - {name: slow, match: /slow, timeout: off, idle_timeout: 1m, connect_timeout: 2s}
    - {name: free, match: /free, rate_limits: off, concurrency: off}
    - {name: tight, match: /tight, rate_limits: [{limit: 1/s}]}
outbound:
  defaults: {retry: {per_try_timeout: 800ms}, failures: [429]}
  services:
    a: {endpoints: ['10.0.0.1:80'], routes: [{match: /x, circuit_breaker: off, retry: off}]}
"""


def routes(key: str) -> dict[str, Route]:
    return {route.name: route for route in build(FILE, Ledger()).plans[key].routes}


def kinds(phase: tuple[Any, ...]) -> list[str]:
    return [type(method.__self__).__name__ for method in phase]


def test_times_are_seconds_and_off_is_zero() -> None:
    slow = routes("inbound")["slow"]
    assert (slow.timeout, slow.idle_timeout, slow.connect_timeout) == (0.0, 60.0, 2.0)
    default = routes("inbound")["default"]
    assert (default.timeout, default.idle_timeout, default.connect_timeout) == (4.0, 300.0, 1.0)
    assert routes("outbound")["default"].per_try_timeout == 0.8
    assert routes("outbound")["/x"].per_try_timeout == 0.0


def test_policies_stand_in_the_order_of_the_registry() -> None:
    admit = kinds(routes("inbound")["default"].phases.admit)
    assert admit == ["Tracing", "RateLimits", "Concurrency"]


def test_off_leaves_a_policy_out() -> None:
    assert kinds(routes("inbound")["free"].phases.admit) == ["Tracing"]
    assert kinds(routes("outbound")["/x"].phases.eligible) == []
    assert kinds(routes("outbound")["default"].phases.eligible) == ["CircuitBreaker"]
    assert routes("outbound")["/x"].phases.retry == ()


def test_what_is_no_request_of_any_service_is_still_traced() -> None:
    unmatched = build(FILE, Ledger()).plans["outbound"].unmatched
    assert kinds(unmatched.phases.admit) == ["Tracing", "NoService"]
    assert unmatched.cluster is None


def test_a_route_says_where_it_stands_and_what_is_in_force() -> None:
    tight = routes("inbound")["tight"]
    assert tight.rule == "inbound.routes[2] (f.yaml:10)"
    assert tight.about["match"]["path"] == "/tight"
    assert tight.about["concurrency"]["max"] == 5


def test_figures_go_by_direction_route_and_upstream() -> None:
    series: Any = routes("outbound")["/x"].series
    assert series.labels == ("outbound", "/x", "a")


def test_what_counts_as_a_failure_is_inherited() -> None:
    classifier: Any = routes("outbound")["/x"].classifier
    exchange: Any = type("Ended", (), {"failure": None, "status": 429})()
    assert classifier.failed(exchange)
    exchange.status = 500
    assert not classifier.failed(exchange)


STANDS_IN = """
outbound:
  unknown_hosts: pass
  defaults: {retry: off, fallback: {service: spare}}
  services:
    a: {endpoints: ['10.0.0.1:80'], listen: '127.0.0.1:15102'}
    spare:
      endpoints: ['10.0.0.1:81', '10.0.0.1:82']
      fallback: off
      load_balancer: {strategy: ring_hash, hash: 'header:x-user'}
"""


def test_a_listener_reads_what_a_service_that_stands_in_goes_by() -> None:
    table = build(STANDS_IN, Ledger()).plans["outbound.services.a"].kinds.table
    assert b"x-user" in table
    alone = STANDS_IN.replace("fallback: {service: spare}", "fallback: off")
    table = build(alone, Ledger()).plans["outbound.services.a"].kinds.table
    assert b"x-user" not in table


def test_a_service_stands_in_for_services_and_not_for_hosts_of_the_callers_choice() -> None:
    routes = {
        (route.name, route.cluster.name): route.phases.rescue
        for route in build(STANDS_IN, Ledger()).plans["outbound"].routes
        if route.cluster is not None
    }
    assert {name for name, rescue in routes.items() if rescue} == {("default", "a")}
    assert len(routes) > 2
