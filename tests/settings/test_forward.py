"""Calls to hosts of the client's choice: who is let through, by which route, to which endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from meshproxy.core.exchange import Exchange
from meshproxy.core.ledger import Ledger
from meshproxy.core.route import Cluster, Endpoint, Plan, Route
from meshproxy.core.verdict import Refusal
from meshproxy.settings.forward import MOST, Destinations
from tests.settings.build import build
from tests.settings.test_tables import ask

LISTED = """
outbound:
  unknown_hosts: {allow: ["*.example.com", "10.0.3.7:8080"]}
  connect:
    networks: [127.0.0.0/8]
    allow: [api.stripe.com, "10.0.3.7:8443"]
  defaults:
    timeout: 7s
    connect_timeout: 300ms
    concurrency: {max: 3}
    rate_limits: [{limit: 5/s}]
  services:
    payments: {endpoints: [127.0.0.1:9000], prefix: /payments, listen: 127.0.0.1:15101}
metrics: {listen: 127.0.0.1:15020}
admin: {listen: 127.0.0.1:15000}
"""
PASS = "outbound: {unknown_hosts: pass, services: {users: {endpoints: ['127.0.0.1:1']}}}"


def outbound(text: str, ledger: Ledger | None = None) -> Plan:
    return build(text, ledger or Ledger()).plans["outbound"]


def admitted(plan: Plan, host: str, method: str = "GET") -> Refusal | None:
    """What the first who objects says; a rate limit would be next."""
    exchange = ask(plan, "/", host, method)
    verdicts = (admit(exchange, 0.0) for admit in exchange.route.phases.admit)
    return next((one for one in verdicts if isinstance(one, Refusal)), None)


def picked(plan: Plan, host: str, method: str = "GET") -> Endpoint:
    exchange = ask(plan, "/", host, method)
    endpoint = exchange.route.pick(exchange, lambda one, now: True, 0.0)
    assert endpoint is not None
    return endpoint


@pytest.mark.parametrize("host", ["a.example.com", "b.a.example.com", "10.0.3.7:8080"])
def test_a_listed_host_is_let_through(host: str) -> None:
    assert admitted(outbound(LISTED), host) is None


@pytest.mark.parametrize("host", ["example.com", "a.example.com:81", "10.0.3.7", "api.stripe.com"])
def test_a_host_that_is_not_listed_is_refused_with_the_line_of_the_list(host: str) -> None:
    refusal = admitted(outbound(LISTED), host)
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (403, "FB")
    shown = host if ":" in host else f"{host}:80"
    assert refusal.detail == f"{shown!r} is not in outbound.unknown_hosts.allow"
    assert refusal.rule == "outbound.unknown_hosts (f.yaml:3)"


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "a..b", "", "a:0", "a:99999"])
def test_what_is_no_host_is_refused_even_where_all_pass(host: str) -> None:
    refusal = admitted(outbound(PASS), host)
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (403, "FB")
    assert repr(host.partition(":")[0])[:-1] in refusal.detail


@pytest.mark.parametrize("host", ["example.com", "example.com:8080", "10.0.0.1", "[fd00::1]:1"])
def test_pass_lets_every_host_through(host: str) -> None:
    assert admitted(outbound(PASS), host) is None


def test_a_tunnel_has_a_list_of_its_own_whose_port_is_443() -> None:
    plan = outbound(LISTED)
    assert admitted(plan, "api.stripe.com:443", "CONNECT") is None
    assert admitted(plan, "10.0.3.7:8443", "CONNECT") is None
    refusal = admitted(plan, "a.example.com:80", "CONNECT")
    assert refusal is not None
    assert refusal.detail == "'a.example.com:80' is not in outbound.connect.allow"
    assert refusal.rule == "outbound.connect (f.yaml:4)"


def test_a_tunnel_is_refused_where_they_are_off_even_to_a_service() -> None:
    for host in ("users:443", "users:80", "example.com:443"):
        refusal = admitted(outbound(PASS), host, "CONNECT")
        assert refusal is not None
        assert (refusal.status, refusal.reason) == (403, "FB")
        assert refusal.detail == "CONNECT is off; outbound.connect lists what may be reached"


def test_a_service_comes_before_the_list_and_reject_stays_a_404() -> None:
    route = ask(outbound(PASS), "/", "users").route
    assert route.cluster is not None
    assert route.cluster.name == "users"
    refusal = admitted(outbound("outbound: {}"), "example.com")
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (404, "NR")


def test_labels_never_hold_a_host() -> None:
    plan = outbound(LISTED)
    made: list[Any] = [
        ask(plan, "/", "a.example.com").route.series,
        ask(plan, "/", "api.stripe.com:443", "CONNECT").route.series,
    ]
    assert [one.labels for one in made] == [
        ("outbound", "__unknown_hosts__", "__unknown_hosts__"),
        ("outbound", "__connect__", "__connect__"),
    ]


@pytest.mark.parametrize(("host", "method"), [("a.example.com", "GET"), ("a:443", "CONNECT")])
def test_the_defaults_hold_but_for_what_a_service_alone_can_have(host: str, method: str) -> None:
    route: Route = ask(outbound(LISTED), "/", host, method).route
    assert (route.timeout, route.connect_timeout) == (7.0, 0.3)
    policies = [type(admit.__self__).__name__ for admit in route.phases.admit]  # type: ignore[attr-defined]
    assert policies == ["Tracing", "Forward", "RateLimits", "Concurrency"]
    assert route.phases.retry
    assert not route.phases.eligible
    assert "concurrency" in route.about
    assert not {"load_balancer", "circuit_breaker"} & route.about.keys()
    assert route.lone is None


def test_the_routes_are_among_those_that_are_shown() -> None:
    names = [route.name for route in outbound(LISTED).routes]
    assert {"__unmatched__", "__unknown_hosts__", "__connect__"} <= set(names)
    assert len(set(names) - {"default"}) == 3


def test_an_endpoint_is_made_once_per_host_and_guarded() -> None:
    plan = outbound(PASS)
    endpoint = picked(plan, "example.com")
    assert (endpoint.name, endpoint.host, endpoint.port) == ("example.com:80", "example.com", 80)
    assert endpoint.guard is not None
    assert picked(plan, "example.com") is endpoint
    assert picked(plan, "example.com:81") is not endpoint


def test_an_address_is_dialled_without_its_brackets() -> None:
    endpoint = picked(outbound(PASS), "[fd00::1]:8080")
    assert (endpoint.name, endpoint.host, endpoint.port) == ("[fd00::1]:8080", "fd00::1", 8080)


def test_tunnels_and_requests_share_no_connection() -> None:
    plan = outbound(LISTED)
    assert picked(plan, "10.0.3.7:8080") is not picked(plan, "10.0.3.7:8080", "CONNECT")


def test_a_host_that_no_policy_allows_is_not_picked() -> None:
    exchange = ask(outbound(PASS), "/", "example.com")
    assert exchange.route.pick(exchange, lambda one, now: False, 0.0) is None


def why_not(endpoint: Endpoint, ip: str) -> str | None:
    assert endpoint.guard is not None
    return endpoint.guard.why_not(ip, endpoint.port, lambda _: False)


def test_the_guard_closes_what_the_file_does_not_open() -> None:
    plan = outbound(LISTED)
    assert why_not(picked(plan, "a.example.com"), "127.0.0.1")
    assert why_not(picked(plan, "a.example.com:443", "CONNECT"), "127.0.0.1") is None
    assert why_not(picked(plan, "a.example.com:443", "CONNECT"), "169.254.169.254")


@pytest.mark.parametrize("port", [15001, 15101, 15020, 15000])
def test_every_port_of_the_file_is_its_own(port: int) -> None:
    endpoint = picked(outbound(LISTED), f"a.example.com:{port}", "CONNECT")
    assert why_not(endpoint, "127.0.0.1") == "is a port of this sidecar itself"


def cluster(text: str, ledger: Ledger) -> Cluster:
    clusters = {one.name: one for one in build(text, ledger).clusters}
    return clusters["__unknown_hosts__"]


def test_endpoints_survive_a_reload_as_long_as_the_same_is_closed() -> None:
    ledger = Ledger()
    kept = picked(outbound(LISTED, ledger), "a.example.com")
    assert list(cluster(LISTED, ledger).endpoints) == [kept]
    other_list = LISTED.replace('"*.example.com"', '"*.example.com", "b:*"')
    assert list(cluster(other_list, ledger).endpoints) == [kept]


@pytest.mark.parametrize(
    ("old", "new"),
    [("15000", "15009"), ('{allow: ["*.ex', '{networks: [127.0.0.0/8], allow: ["*.ex')],
)
def test_endpoints_are_made_anew_when_something_else_is_closed(old: str, new: str) -> None:
    ledger = Ledger()
    picked(outbound(LISTED, ledger), "a.example.com")
    assert list(cluster(LISTED.replace(old, new), ledger).endpoints) == []


class NoGuard:
    def why_not(self, ip: str, port: int, ours: Any) -> str | None:
        return None


def test_the_endpoint_that_was_called_longest_ago_makes_room() -> None:
    destinations = Destinations(NoGuard(), 80)
    first, second = destinations.find(b"first"), destinations.find(b"second")
    for number in range(MOST - 2):
        destinations.find(b"h%d" % number)
    assert destinations.find(b"first") is first
    destinations.find(b"one-more")
    assert len(destinations) == MOST
    assert first in destinations
    assert second not in destinations
    assert first is not None
    assert not first.retired
    assert second is not None
    assert second.retired


def test_what_is_no_host_has_no_endpoint() -> None:
    destinations = Destinations(NoGuard(), 80)
    assert destinations.find(b"127.1") is None
    assert len(destinations) == 0


def test_an_exchange_without_a_host_is_told_so() -> None:
    exchange: Exchange = ask(outbound(PASS), "/", "")
    refusal = next(
        one
        for admit in exchange.route.phases.admit
        if isinstance(one := admit(exchange, 0.0), Refusal)
    )
    assert refusal.detail == "'' is not a name that can be called"
