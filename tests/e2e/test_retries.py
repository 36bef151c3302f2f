"""A failed try is tried again where it is safe, a few times, elsewhere first, within a budget.

RFC 9110 section 9.2.2: a proxy must not repeat a request that may have had an effect.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from .harness import (
    Client,
    Conversation,
    Message,
    Origin,
    Sidecar,
    answering,
    closed_port,
    fetch,
    reply,
)
from .harness.origin import Script

CONFIG = """
outbound:
  listen: <outbound>
  defaults:
    circuit_breaker: off
    timeout: 8s
    retry:
      attempts: 2
      when: [connect-failure, reset, 502, 503, 504]
      backoff: {strategy: fixed, base: 5ms, jitter: none}
      budget: {ratio: 100%, min_per_second: 1000}
  services:
    shop: {endpoints: [<app>]}
    pair: {endpoints: [<closed>, <app>], load_balancer: round_robin}
    dead: {endpoints: [<closed>]}
    budget:
      endpoints: [<app>]
      retry: {budget: {ratio: 20%, min_per_second: 0}}
    once: {endpoints: [<app>], retry: off}
    routed:
      endpoints: [<app>]
      routes:
        - {match: GET /never, retry: off}
        - {match: GET /more, retry: {attempts: 4}}
"""


@pytest.fixture(scope="module")
def sidecar(app: Origin) -> Iterator[Sidecar]:
    with Sidecar.running(CONFIG, app=app.address, closed=closed_port()) as running:
        yield running


def failing(times: int, failure: bytes | str, headers: dict[str, str] | None = None) -> Script:
    """Fail the first requests, whichever connection they come on; then answer."""
    left = [times]

    def script(peer: Conversation) -> None:
        while (seen := peer.request()) is not None:
            left[0] -= 1
            if left[0] < 0:
                peer.send(reply(body=seen.body or b"recovered"))
            elif isinstance(failure, bytes):
                peer.send(failure)
            else:
                peer.finish() if failure == "fin" else peer.reset()
                return

    return script


def ask(
    sidecar: Sidecar,
    host: str = "shop",
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    target: str = "/",
) -> Message:
    return fetch(sidecar.outbound, target, method, {"Host": host, **(headers or {})}, body)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_listed_status_is_retried(sidecar: Sidecar, origin: Origin, status: int) -> None:
    origin.script = failing(2, reply(status))
    answer = ask(sidecar)
    assert (answer.status, answer.body) == (200, b"recovered")
    assert [seen.get("x-meshproxy-attempt") for seen in origin.requests] == ["1", "2", "3"]


@pytest.mark.parametrize("status", [400, 404, 429, 500, 501])
def test_any_other_status_is_not(sidecar: Sidecar, origin: Origin, status: int) -> None:
    origin.script = failing(1, reply(status))
    assert ask(sidecar).status == status
    assert len(origin.requests) == 1


@pytest.mark.parametrize("by", ["fin", "rst"])
def test_a_lost_connection_is_retried(sidecar: Sidecar, origin: Origin, by: str) -> None:
    origin.script = failing(2, by)
    assert ask(sidecar).body == b"recovered"
    assert len(origin.requests) == 3


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_idempotent_methods_are_retried(sidecar: Sidecar, origin: Origin, method: str) -> None:
    origin.script = failing(1, reply(503, b""))
    answer = ask(sidecar, method=method, body=b"x" * (method == "PUT"))
    assert answer.status == 200
    assert len(origin.requests) == 2


@pytest.mark.parametrize("failure", [reply(503), "fin", "rst"])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_other_methods_are_sent_once(
    sidecar: Sidecar, origin: Origin, method: str, failure: bytes | str
) -> None:
    origin.script = failing(1, failure)
    assert ask(sidecar, method=method, body=b"pay").status == 503
    assert len(origin.requests) == 1


@pytest.mark.parametrize("failure", [reply(503), "fin", "rst"])
def test_a_key_makes_a_post_safe(sidecar: Sidecar, origin: Origin, failure: bytes | str) -> None:
    origin.script = failing(1, failure)
    answer = ask(sidecar, method="POST", headers={"Idempotency-Key": "k1"}, body=b"pay")
    assert (answer.status, answer.body) == (200, b"pay")
    assert [seen.body for seen in origin.requests] == [b"pay", b"pay"]


def test_a_post_goes_elsewhere_when_nothing_was_reached(sidecar: Sidecar, origin: Origin) -> None:
    for _ in range(10):
        assert ask(sidecar, "pair", "POST", body=b"pay").status == 200
    assert len(origin.requests) == 10


def test_the_last_failure_is_told_when_tries_are_used_up(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = failing(100, reply(503, b"sorry", {"X-From": "origin"}))
    answer = ask(sidecar)
    assert answer.status == 503
    assert len(origin.requests) == 3


def test_a_service_that_is_down_is_told(sidecar: Sidecar, origin: Origin) -> None:
    answer = ask(sidecar, "dead")
    assert answer.status == 503
    assert answer.get("x-meshproxy-reason") in {"UF", "URX"}
    assert answer.get("content-type") == "application/problem+json"
    assert json.loads(answer.body)["status"] == 503


def test_retries_can_be_off(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = failing(1, reply(503))
    assert ask(sidecar, "once").status == 503
    assert len(origin.requests) == 1


def test_a_route_has_its_own(sidecar: Sidecar, origin: Origin) -> None:
    for target, tries in (("/never", 1), ("/more", 5), ("/other", 3)):
        origin.forget(failing(100, reply(503)))
        assert ask(sidecar, "routed", target=target).status == 503
        assert len(origin.requests) == tries, target


def test_a_small_body_is_kept_for_another_try(sidecar: Sidecar, origin: Origin) -> None:
    body = b"b" * 60_000
    origin.script = failing(2, reply(503))
    assert ask(sidecar, method="PUT", body=body).body == body
    assert [len(seen.body) for seen in origin.requests] == [60_000] * 3


def test_a_large_body_is_sent_once(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = failing(1, reply(503))
    assert ask(sidecar, method="PUT", body=b"b" * 200_000).status == 503
    assert len(origin.requests) == 1


def test_a_chunked_body_is_kept_too(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = failing(1, reply(503))
    with Client(sidecar.outbound) as client:
        client.send(
            b"PUT / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n0\r\n\r\n"
        )
        assert client.response().body == b"hello"
    assert [seen.body for seen in origin.requests] == [b"hello"] * 2


def test_an_answer_that_has_begun_is_not_retried(sidecar: Sidecar, origin: Origin) -> None:
    def script(peer: Conversation) -> None:
        if peer.request() is not None:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 90_000)
            peer.until_left()

    origin.script = script
    with Client(sidecar.outbound) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        client.reader.response_head()
        assert client.reader.take(10) == b"x" * 10
        origin.conversations[0].part(1)
        while client.reader.take(65536):
            pass
    assert len(origin.requests) == 1


def test_retry_after_is_waited_for(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = failing(1, reply(503, headers={"Retry-After": "1"}))
    started = time.monotonic()
    assert ask(sidecar).status == 200
    assert 0.95 <= time.monotonic() - started < 3.0


def test_an_outage_costs_a_fifth_more_at_most(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(reply(503))
    with Client(sidecar.outbound) as client:
        for _ in range(500):
            assert client.ask("GET", "/", {"Host": "budget"}).status == 503
    assert 500 <= len(origin.requests) <= 600
    assert len(origin.requests) >= 550, "the budget was not used"


def test_retries_are_counted(sidecar: Sidecar, origin: Origin) -> None:
    before = sidecar.total("meshproxy_retries_total", upstream="shop")
    attempts = sidecar.total("meshproxy_upstream_attempts_total", upstream="shop")
    origin.script = failing(2, reply(503))
    assert ask(sidecar).status == 200
    assert sidecar.total("meshproxy_retries_total", upstream="shop") > before
    assert sidecar.total("meshproxy_upstream_attempts_total", upstream="shop") == attempts + 3
