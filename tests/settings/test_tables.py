"""Which route a request takes: by host, by prefix, by rule."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.core.exchange import Exchange, Peer, Start
from meshproxy.core.ledger import Ledger
from meshproxy.core.route import Plan, Route
from meshproxy.core.verdict import Refusal
from meshproxy.logic.match import RouteIndex, Rule
from meshproxy.settings import tables
from meshproxy.settings.tables import ServiceTable
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


METHODS, PATHS, VALUES = [b"GET", b"POST"], [b"/a", b"/a/b", b"/c/b"], [b"1", b"2"]
RULES = st.lists(
    st.builds(
        Rule,
        st.frozensets(st.sampled_from(METHODS), max_size=1),
        st.sampled_from([b"", b"/a", b"/a/*", b"/*/b", b"/c/b"]),
        st.lists(st.tuples(st.just(b"x"), st.sampled_from(VALUES)), max_size=1).map(tuple),
    ),
    max_size=4,
)
ASKS = st.tuples(
    st.integers(0, 1), st.sampled_from(METHODS), st.sampled_from(PATHS), st.sampled_from(VALUES)
)
PEER = Peer("127.0.0.1", trusted=False, forwarded=b"")
PLAN = build(FILE, Ledger()).plans["inbound"]


def table_of(rules: list[Rule]) -> ServiceTable:
    """A table that leads to its number of a row, however senseless as a route."""
    routes: list[Any] = [*range(len(rules)), "default"]
    return ServiceTable(rules, routes[:-1], routes[-1])


def begun(start: Start, x: bytes) -> Exchange:
    exchange = Exchange(None, PEER, PLAN, 0.0)
    exchange.start, exchange.method, exchange.path = start, start.method, start.path
    exchange.taken = {b"x": x}
    return exchange


@given(both=st.tuples(RULES, RULES), asks=st.lists(ASKS, max_size=30))
def test_a_line_that_is_remembered_comes_to_the_route_it_would_come_to_anew(
    both: tuple[list[Rule], list[Rule]], asks: list[tuple[int, bytes, bytes, bytes]]
) -> None:
    """Whichever of two tables it is asked for, and whatever fields the request has."""
    tables = [table_of(rules) for rules in both]
    starts = {(m, path): Start(m, path, 1) for m in METHODS for path in PATHS}
    for which, method, path, x in asks:
        exchange = begun(starts[method, path], x)
        found = tables[which].match(exchange)
        assert found == tables[which].match_at(exchange, path)


def test_a_line_that_is_remembered_is_not_looked_up_again_but_for_the_sake_of_its_fields() -> None:
    table = table_of([Rule(path=b"/a"), Rule(path=b"/c/*", headers=((b"x", b"1"),))])
    plain, headed = Start(b"GET", b"/a", 1), Start(b"GET", b"/c/b", 1)
    for x, expected in ((b"1", 1), (b"2", "default"), (b"1", 1)):
        assert table.match(begun(headed, x)) == expected
        assert table.match(begun(plain, x)) == 0
    elsewhere = begun(plain, b"1")
    elsewhere.path = b"/nobody/looks/here"
    assert table.match(elsewhere) == 0


def lookups(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The paths that the index is asked for from now on."""
    asked: list[bytes] = []
    find = RouteIndex.find

    def noting(index: RouteIndex, method: bytes, path: bytes, header: Any) -> int | None:
        asked.append(path)
        return find(index, method, path, header)

    monkeypatch.setattr(RouteIndex, "find", noting)
    return asked


def test_fields_that_have_a_say_are_looked_up_once_for_each_of_their_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = table_of([Rule(path=b"/c/*", headers=((b"x", b"1"),))])
    asked = lookups(monkeypatch)
    start = Start(b"GET", b"/c/b", 1)
    for _ in range(3):
        for x, expected in ((b"1", 0), (b"2", "default"), (b"3", "default")):
            assert table.match(begun(start, x)) == expected
    assert len(asked) == 1 + 3


def test_what_is_remembered_of_fields_is_bounded_in_number_and_in_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "MAX_REMEMBERED", 3)
    table = table_of([Rule(path=b"/c/*", headers=((b"x", b"1"),))])
    asked = lookups(monkeypatch)
    start = Start(b"GET", b"/c/b", 1)
    for x in (b"2", b"3", b"4", b"5", b"2"):
        assert table.match(begun(start, x)) == "default"
    assert len(asked) == 1 + 5, "with the fourth all others were forgotten"
    long = b"9" * (tables.LONGEST_REMEMBERED + 1)
    for _ in range(2):
        assert table.match(begun(start, long)) == "default"
    assert len(asked) == 1 + 5 + 2
