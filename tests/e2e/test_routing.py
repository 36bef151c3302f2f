"""An outbound request finds its service by Host, by path, by port or by its absolute target."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .harness import Client, Message, Origin, Sidecar, answering, fetch, reply

CONFIG = """
outbound:
  listen: <outbound>
  services:
    users: {endpoints: [<users>]}
    payments:
      endpoints: [<payments>]
      hosts: [payments, payments.shop.svc.cluster.local]
      listen: <own>
      prefix: /payments
      routes:
        - {name: quotes, match: GET /quotes/*, timeout: 300ms}
        - match: {methods: [POST], path: /orders, headers: {x-tenant: premium}}
"""


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Origin, Origin]]:
    def named(name: bytes) -> Origin:
        return Origin(answering(lambda seen: reply(body=name + b" " + seen.target.encode())))

    users, payments = named(b"users"), named(b"payments")
    yield users, payments
    users.stop()
    payments.stop()


@pytest.fixture(scope="module")
def sidecar(pair: tuple[Origin, Origin]) -> Iterator[Sidecar]:
    users, payments = pair
    with Sidecar.running(CONFIG, users=users.address, payments=payments.address) as running:
        yield running


def by_host(sidecar: Sidecar, host: str, target: str = "/x") -> Message:
    return fetch(sidecar.outbound, target, headers={"Host": host})


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("users", b"users"),
        ("payments", b"payments"),
        ("PAYMENTS", b"payments"),
        ("payments:80", b"payments"),
        ("payments:15001", b"payments"),
        ("payments.shop.svc.cluster.local", b"payments"),
    ],
)
def test_by_host(sidecar: Sidecar, host: str, service: bytes) -> None:
    assert by_host(sidecar, host).body == service + b" /x"


def test_the_host_is_kept(sidecar: Sidecar, pair: tuple[Origin, Origin]) -> None:
    by_host(sidecar, "payments.shop.svc.cluster.local")
    assert pair[1].last.get("host") == "payments.shop.svc.cluster.local"


@pytest.mark.parametrize(
    ("target", "forwarded"),
    [
        ("/payments/a/b?c=d", b"/a/b?c=d"),
        ("/payments", b"/"),
        ("/payments/", b"/"),
        ("/payments?x=1", b"/?x=1"),
    ],
)
def test_by_prefix_which_is_stripped(sidecar: Sidecar, target: str, forwarded: bytes) -> None:
    host = f"127.0.0.1:{sidecar.outbound[1]}"
    assert by_host(sidecar, host, target).body == b"payments " + forwarded


def test_a_prefix_ends_at_a_segment(sidecar: Sidecar) -> None:
    assert by_host(sidecar, "127.0.0.1", "/paymentsx").status == 404


def test_by_its_own_port(sidecar: Sidecar) -> None:
    answer = fetch(sidecar.where("own"), "/y", headers={"Host": "whatever.test"})
    assert answer.body == b"payments /y"


def test_by_absolute_target(sidecar: Sidecar, pair: tuple[Origin, Origin]) -> None:
    with Client(sidecar.outbound) as client:
        for target in ("http://payments/z?q", "http://payments:80/z?q", "HTTP://Payments/z?q"):
            client.send(f"GET {target} HTTP/1.1\r\nHost: users\r\n\r\n".encode())
            assert client.response().body == b"payments /z?q"
            assert (pair[1].last.get("host") or "").lower().split(":")[0] == "payments"
        client.send(b"GET http://users HTTP/1.1\r\nHost: users\r\n\r\n")
        assert client.response().body == b"users /"


@pytest.mark.parametrize("target", ["/x", "http://nobody.test/x", "http://169.254.169.254/latest"])
def test_an_unknown_host_is_refused(sidecar: Sidecar, target: str) -> None:
    answer = by_host(sidecar, "nobody.test", target)
    assert (answer.status, answer.get("x-meshproxy-reason")) == (404, "NR")
    assert answer.get("content-type") == "application/problem+json"
    assert json.loads(answer.body)["status"] == 404


def test_one_connection_may_ask_for_many_services(sidecar: Sidecar) -> None:
    with Client(sidecar.outbound) as client:
        bodies = [client.ask("GET", "/", {"Host": h}).body for h in ("users", "payments") * 5]
    assert bodies == [b"users /", b"payments /"] * 5


def test_routes_are_named_in_the_metrics(sidecar: Sidecar) -> None:
    by_host(sidecar, "payments", "/quotes/1")
    by_host(sidecar, "payments", "/unmatched/1")
    by_host(sidecar, "nobody.test", "/unmatched/1")
    assert sidecar.total("meshproxy_requests_total", route="quotes", upstream="payments") == 1
    assert sidecar.total("meshproxy_requests_total", route="__unmatched__") >= 1
    assert "/unmatched/1" not in sidecar.metrics_text()


def test_a_missing_direction_listens_nowhere(app: Origin) -> None:
    with Sidecar.running("inbound: {listen: <inbound>, app: http://<app>}", app=app.address) as it:
        assert fetch(it.inbound).status == 200
