"""The decision in an answer: who gets it, what it says, and what never gets into it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshproxy.core.exchange import Exchange, Peer
from meshproxy.core.ledger import Ledger
from meshproxy.policies import told
from tests.dataplane.foreseen import GOOD
from tests.fakes import Client, Stage
from tests.settings.build import build

OK = b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 503 Bad\r\nContent-Length: 0\r\n\r\n"
FILE = """
version: 1
outbound:
  defaults: {retry: {attempts: 2, backoff: {base: 10ms, jitter: none}}}
  services:
    pay:
      endpoints: [10.0.3.11:8080]
      rate_limits: [{name: per-client, limit: 1/h, burst: 2, per: "header:x-client-id"}]
      routes:
        - {name: create-order, match: POST /orders}
        - {match: "GET /a"}
    down: {endpoints: [10.0.3.12:8080], fallback: {static: {status: 207}}}
    weak: {endpoints: [10.0.3.13:8080], retry: off, fallback: {service: pay}}
"""
ASK = "x-meshproxy-explain: 1"


class Proxy(Stage):
    """The stage with the outbound listener of FILE, which counts nothing."""

    def __init__(self, trusted: bool = True) -> None:
        super().__init__()
        plan = build(FILE, Ledger(), self.time()).plans["outbound"]
        for route in plan.routes:
            series: Any = route.series
            series.ended = series.sampled = lambda row, exchange, now: None
            if route.cluster is not None:
                counts: Any = route.cluster.series
                counts.successes = 0
                counts.attempted = lambda result: None
        self.listener.plan = plan
        if not trusted:
            self.listener.peer = Peer("192.0.2.1", False, self.listener.peer.forwarded)

    def ask(self, target: str, *lines: str, host: str = "pay", method: str = "GET") -> Client:
        client = self.client()
        head = [f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "", ""]
        client.says("\r\n".join(head).encode())
        return client


def explained(client: Client) -> list[str]:
    lines = client.hears().partition(b"\r\n\r\n")[0].decode().split("\r\n")
    return [line.partition(": ")[2] for line in lines if line.startswith("x-meshproxy-explain:")]


def test_an_answer_tells_where_it_came_from_and_what_it_took() -> None:
    proxy = Proxy()
    client = proxy.ask("/orders", ASK, "x-client-id: 7", "idempotency-key: k", method="POST")
    wire = proxy.connect()
    assert b"x-meshproxy-explain" not in wire.take()
    proxy.answer(wire, BAD)
    proxy.time.pass_by(0.1)
    proxy.answer(wire, OK)
    assert explained(client) == [
        (
            "route=create-order; rule=f.yaml:10; upstream=pay; endpoint=10.0.3.11:8080; "
            "attempts=2; limits=per-client 1/2 left; breaker=closed; retried=503"
        )
    ]


def test_a_refusal_tells_who_refused() -> None:
    proxy = Proxy()
    for _ in range(2):
        proxy.ask("/", "x-client-id: 7")
    assert explained(proxy.ask("/", ASK, "x-client-id: 7")) == [
        (
            "route=default; rule=f.yaml:6; upstream=pay; attempts=0; limits=per-client 0/2 left; "
            "refused=429 RL; by=f.yaml:8"
        )
    ]


def test_a_request_for_nobody_and_one_that_cannot_be_read_are_told_too() -> None:
    assert explained(Proxy().ask("/", ASK, host="nobody")) == [
        "route=__unmatched__; rule=f.yaml:3; attempts=0; refused=404 NR; by=f.yaml:3"
    ]
    assert explained(Proxy().ask("/", ASK, "content-length: x")) == [
        "route=__unmatched__; rule=f.yaml:3; attempts=0; refused=400 IH"
    ]


def test_an_answer_from_the_file_is_called_served() -> None:
    proxy = Proxy()
    client = proxy.ask("/", ASK, host="down")
    for _ in range(3):
        proxy.refuse()
        proxy.time.pass_by(0.1)
    (found,) = explained(client)
    assert "attempts=3" in found
    assert "retried=connect-failure,connect-failure" in found
    assert found.endswith("served=207")


def test_another_service_that_stood_in_is_told() -> None:
    proxy = Proxy()
    client = proxy.ask("/", ASK, host="weak")
    proxy.refuse()
    proxy.answer(proxy.connect(), OK)
    (found,) = explained(client)
    assert found.startswith("route=default; rule=f.yaml:6; upstream=pay; ")
    assert found.endswith("breaker=closed; retried=connect-failure>pay")


@pytest.mark.parametrize(
    ("lines", "trusted"), [((ASK,), False), ((), True), (("x-meshproxy-explain: 0",), True)]
)
def test_nobody_else_is_told(lines: tuple[str, ...], trusted: bool) -> None:
    proxy = Proxy(trusted)
    client = proxy.ask("/", *lines)
    wire = proxy.connect()
    assert b"explain" not in wire.take()
    proxy.answer(wire, OK)
    heard = client.hears()
    assert heard.startswith(b"HTTP/1.1 200")
    assert b"explain" not in heard


def test_no_value_of_the_request_is_in_it() -> None:
    proxy = Proxy()
    names = {name.lower() for name, _ in GOOD} - {"expect", "upgrade", "content-length"}
    client = proxy.ask("/a?q=canary", ASK, *(f"{name}: canary" for name in sorted(names)))
    proxy.answer(proxy.connect(), OK)
    (found,) = explained(client)
    assert found.startswith("route=GET /a; ")
    assert "canary" not in found


def test_what_would_break_the_line_is_replaced_and_it_is_never_long() -> None:
    proxy = Proxy()
    made = Exchange(None, proxy.listener.peer, proxy.listener.plan, 0.0)
    made.route = replace(made.route, name="\u00e9;\r\nset-cookie: a=b" * 500)
    line = told.line(made, 1.0)
    assert line.startswith(b"x-meshproxy-explain: route=\\xe9,??set-cookie: a=b")
    assert line.count(b"\r\n") == 1
    assert line.endswith(b"\r\n")
    assert len(line) < told.MOST + 50
