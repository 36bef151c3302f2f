"""Which route a request takes: by host, by prefix, by rule."""

from __future__ import annotations

from typing import Any

import pytest

from meshproxy.core.exchange import Exchange, Peer
from meshproxy.core.ledger import Ledger
from meshproxy.core.route import Plan, Route
from meshproxy.core.verdict import Refusal
from tests.settings.build import build

FILE = """
outbound:
  services:
    payments:
      hosts: [payments, payments.shop.svc, "pay:8443", Upper]
      prefix: /payments
      listen: 127.0.0.1:15101
      endpoints: [127.0.0.1:9000]
      routes:
        - match: GET /quotes/*
        - {name: mine, match: {headers: {x-mine: "1"}}}
    deep:
      prefix: /payments/deep/er
      endpoints: [127.0.0.1:9001]
inbound:
  app: 127.0.0.1:8080
  routes: [{match: POST /orders}]
"""


def ask(plan: Plan, path: str, host: str = "", method: str = "GET", **fields: str) -> Exchange:
    peer = Peer("127.0.0.1", trusted=False, forwarded=b"")
    client: Any = None
    exchange = Exchange(client, peer, plan, 0.0)
    exchange.method, exchange.path, exchange.host = method.encode(), path.encode(), host.encode()
    exchange.taken = {name.replace("_", "-").encode(): v.encode() for name, v in fields.items()}
    exchange.route = plan.table.match(exchange)
    return exchange


def taken(route: Route) -> tuple[str, str, int]:
    return route.cluster.name if route.cluster else "", route.name, route.strip


@pytest.mark.parametrize(
    "host",
    ["payments", "payments.shop.svc", "payments:9999", "payments.shop.svc.", "pay:8443", "upper"],
)
def test_a_service_is_found_by_any_of_its_hosts(host: str) -> None:
    plan = build(FILE, Ledger()).plans["outbound"]
    assert taken(ask(plan, "/quotes/1", host).route) == ("payments", "GET /quotes/*", 0)
    assert taken(ask(plan, "/other", host).route) == ("payments", "default", 0)


def test_a_service_is_found_by_its_longest_prefix_which_is_stripped() -> None:
    plan = build(FILE, Ledger()).plans["outbound"]
    assert taken(ask(plan, "/payments/quotes/1", "127.0.0.1:15001").route) == (
        "payments",
        "GET /quotes/*",
        9,
    )
    assert taken(ask(plan, "/payments", "x").route) == ("payments", "default", 9)
    assert taken(ask(plan, "/payments/deep/er/x", "x").route) == ("deep", "default", 17)
    assert taken(ask(plan, "/payments/deep/e", "x").route) == ("payments", "default", 9)


@pytest.mark.parametrize("path", ["//quotes/1", "/quotes;v=1/1", "/;/quotes//1", "/quotes%3Bv/1"])
def test_no_spelling_gets_around_a_rule(path: str) -> None:
    plan = build(FILE, Ledger()).plans["outbound"]
    assert taken(ask(plan, path, "payments").route) == ("payments", "GET /quotes/*", 0)
    assert taken(ask(plan, "/payments" + path, "x").route) == ("payments", "GET /quotes/*", 9)


@pytest.mark.parametrize("path", ["//payments/x", "/payments;v=1/x", "/;/payments/x"])
def test_a_prefix_is_stripped_only_where_it_stands_as_it_is(path: str) -> None:
    plan = build(FILE, Ledger()).plans["outbound"]
    assert ask(plan, path, "x").route is plan.unmatched


def test_a_host_decides_before_a_prefix() -> None:
    plan = build(FILE, Ledger()).plans["outbound"]
    assert taken(ask(plan, "/payments/quotes/1", "deep").route) == ("deep", "default", 0)


@pytest.mark.parametrize(
    ("host", "path"),
    [("nobody", "/x"), ("", "/paymentss"), ("pay:81", "/"), ("[::1]:80", "/x"), ("x", "*")],
)
def test_what_belongs_to_no_service_is_refused(host: str, path: str) -> None:
    plan = build(FILE, Ledger()).plans["outbound"]
    exchange = ask(plan, path, host)
    assert exchange.route is plan.unmatched
    assert exchange.route.name == "__unmatched__"
    verdicts = [admit(exchange, 0.0) for admit in exchange.route.phases.admit]
    refusal = verdicts[-1]
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (404, "NR")
    assert refusal.detail == f"no service for host {host!r}"
    assert refusal.rule == "outbound (f.yaml:2)"


def test_the_port_of_a_service_leads_to_it_whatever_the_host() -> None:
    plan = build(FILE, Ledger()).plans["outbound.services.payments"]
    assert (plan.host, plan.port, plan.direction) == ("127.0.0.1", 15101, "outbound")
    assert taken(ask(plan, "/quotes/1", "127.0.0.1:15101").route) == (
        "payments",
        "GET /quotes/*",
        0,
    )


def test_a_route_may_ask_for_a_field_and_the_head_reader_is_told_its_name() -> None:
    plan = build(FILE, Ledger()).plans["outbound"]
    assert taken(ask(plan, "/x", "payments", x_mine="1").route) == ("payments", "mine", 0)
    assert taken(ask(plan, "/x", "payments", x_mine="2").route) == ("payments", "default", 0)
    assert b"x-mine" in plan.kinds.table
    assert b"x-mine" not in build(FILE, Ledger()).plans["inbound"].kinds.table


def test_everything_inbound_goes_to_the_app() -> None:
    plan = build(FILE, Ledger()).plans["inbound"]
    assert taken(ask(plan, "/orders", "x", "POST").route) == ("app", "POST /orders", 0)
    assert taken(ask(plan, "/orders", "x").route) == ("app", "default", 0)
    assert taken(ask(plan, "*", "x", "OPTIONS").route) == ("app", "default", 0)
