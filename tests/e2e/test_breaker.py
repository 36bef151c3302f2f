"""A broken endpoint is left alone for a while, probed by one request, and taken back.

What is a failure: 5xx, a lost or refused connection, a timeout. What is not: 4xx, and whatever
the proxy refused by itself.
"""

from __future__ import annotations

import threading
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
    eventually,
    fetch,
    reply,
)
from .harness.client import request

CONFIG = """
outbound:
  listen: <outbound>
  defaults:
    retry: off
    timeout: 5s
    circuit_breaker:
      consecutive_failures: 3
      failure_rate: 50%
      window: 10s
      min_requests: 1000
      open_for: 300ms
      max_open_for: 2s
      half_open_requests: 1
      close_after: 2
  services:
    status: {endpoints: [<app>]}
    lost: {endpoints: [<app>]}
    slow: {endpoints: [<app>], timeout: 100ms}
    refused: {endpoints: [<closed>]}
    recovers: {endpoints: [<app>]}
    probes: {endpoints: [<app>]}
    doubles: {endpoints: [<app>, <well>], load_balancer: round_robin}
    mild: {endpoints: [<app>]}
    rate:
      endpoints: [<app>]
      circuit_breaker:
        {consecutive_failures: 1000, min_requests: 10, open_for: 60s, max_open_for: 60s}
    pair:
      endpoints: [<closed>, <app>]
      load_balancer: round_robin
      circuit_breaker: {open_for: 60s, max_open_for: 60s}
    none: {endpoints: [<app>], circuit_breaker: off}
    busy:
      endpoints: [<app>]
      concurrency: {max: 2, queue: 1, queue_timeout: 300ms}
"""


@pytest.fixture(scope="module")
def sidecar(app: Origin) -> Iterator[Sidecar]:
    with (
        Origin.running() as well,
        Sidecar.running(
            CONFIG, app=app.address, closed=closed_port(), well=well.address
        ) as running,
    ):
        yield running


def ask(sidecar: Sidecar, host: str, target: str = "/") -> Message:
    return fetch(sidecar.outbound, target, headers={"Host": host})


def told(answer: Message) -> tuple[int, str | None]:
    return answer.status, answer.get("x-meshproxy-reason")


def state(sidecar: Sidecar, service: str) -> list[float]:
    return sidecar.samples("meshproxy_breaker_state", upstream=service)


def hang_up(peer: Conversation) -> None:
    if peer.request() is not None:
        peer.finish()


def silent(peer: Conversation) -> None:
    while peer.request() is not None:
        pass


@pytest.mark.parametrize("service", ["status", "lost", "slow", "refused"])
def test_failures_in_a_row_open_it(sidecar: Sidecar, origin: Origin, service: str) -> None:
    scripts = {"status": answering(reply(500)), "lost": hang_up, "slow": silent}
    origin.script = scripts.get(service, answering(reply()))
    own = [told(ask(sidecar, service)) for _ in range(3)]
    assert (503, "UO") not in own
    before = len(origin.requests)
    answer = ask(sidecar, service)
    assert told(answer) == (503, "UO")
    assert answer.get("retry-after") is not None
    assert answer.get("content-type") == "application/problem+json"
    assert len(origin.requests) == before, "an open breaker let a request through"
    assert 1.0 in state(sidecar, service)


def test_client_errors_do_not_open_it(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(lambda seen: reply(int(seen.target[1:])))
    for status in (400, 404, 429):
        answers = {ask(sidecar, "mild", f"/{status}").status for _ in range(10)}
        assert answers == {status}
    assert set(state(sidecar, "mild")) <= {0.0}


def test_a_success_between_failures_keeps_it_closed(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(lambda seen: reply(int(seen.target[1:])))
    for _ in range(5):
        for status in (500, 500, 200):
            assert ask(sidecar, "mild", f"/{status}").status == status


def test_it_closes_after_enough_successes(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(reply(500))
    for _ in range(3):
        ask(sidecar, "recovers")
    assert told(ask(sidecar, "recovers")) == (503, "UO")
    origin.script = answering(reply())
    origin.forget()
    eventually(lambda: ask(sidecar, "recovers").status == 200, what="a probe")
    eventually(lambda: ask(sidecar, "recovers").status == 200, what="a second probe")
    assert {ask(sidecar, "recovers").status for _ in range(10)} == {200}
    assert state(sidecar, "recovers") == [0.0]
    assert sidecar.total("meshproxy_breaker_transitions_total", upstream="recovers") >= 3


def test_one_request_probes_and_the_rest_are_refused(sidecar: Sidecar, origin: Origin) -> None:
    probed, answer = threading.Event(), threading.Event()

    def script(peer: Conversation) -> None:
        while peer.request() is not None:
            probed.set()
            assert answer.wait(10)
            peer.send(reply())

    origin.script = answering(reply(500))
    for _ in range(3):
        ask(sidecar, "probes")
    origin.forget(script)
    clients: list[Client] = []
    try:
        while not probed.is_set():
            clients.append(Client(sidecar.outbound))
            clients[-1].send(request("GET", "/", {"Host": "probes"}))
            probed.wait(0.02)
        assert {told(ask(sidecar, "probes")) for _ in range(5)} == {(503, "UO")}
        assert len(origin.requests) == 1
        answer.set()
        assert clients[-1].response().status == 200
    finally:
        answer.set()
        for client in clients:
            client.close()


def open_time(sidecar: Sidecar, origin: Origin, service: str) -> float:
    """How long it refuses until the next (failing) probe goes out."""
    seen = len(origin.requests)
    started = time.monotonic()
    eventually(
        lambda: ask(sidecar, service) and len(origin.requests) > seen, 10, what="the next probe"
    )
    return time.monotonic() - started


def test_each_failed_probe_opens_it_for_longer(sidecar: Sidecar, origin: Origin) -> None:
    """One that is not the last of its cluster, that is: the last is probed at a steady pace."""
    origin.script = answering(reply(500))
    for _ in range(6):
        ask(sidecar, "doubles")
    times = [open_time(sidecar, origin, "doubles") for _ in range(3)]
    assert times[0] >= 0.1
    assert times[2] > times[0] * 1.5, times


def test_a_rate_of_failures_opens_it(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(lambda seen: reply(int(seen.target[1:])))
    statuses = [ask(sidecar, "rate", f"/{(200, 500)[i % 2]}") for i in range(12)]
    assert told(statuses[-1]) == (503, "UO")
    assert [answer.status for answer in statuses[:9]] == [(200, 500)[i % 2] for i in range(9)]


def test_a_broken_endpoint_is_passed_over(sidecar: Sidecar, origin: Origin) -> None:
    statuses = [ask(sidecar, "pair").status for _ in range(30)]
    assert statuses.count(503) == 3
    assert set(statuses[8:]) == {200}


def test_it_can_be_off(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(reply(500))
    assert {ask(sidecar, "none").status for _ in range(30)} == {500}
    assert len(origin.requests) == 30


def test_concurrency_is_bounded_and_the_rest_waits_a_little(
    sidecar: Sidecar, origin: Origin
) -> None:
    answer = threading.Event()

    def script(peer: Conversation) -> None:
        while peer.request() is not None:
            assert answer.wait(10)
            peer.send(reply())

    origin.script = script
    clients = [Client(sidecar.outbound) for _ in range(5)]
    try:
        for i, client in enumerate(clients):
            client.send(request("GET", f"/{i}", {"Host": "busy"}))
            if i < 2:
                origin.saw(i + 1)
        refused = ask(sidecar, "busy")
        assert told(refused) == (503, "UO")
        assert refused.get("retry-after") is not None
        assert told(clients[4].response()) == (503, "UO")
        assert len(origin.requests) == 2
        waited = [told(client.response()) for client in clients[2:4]]
        assert waited == [(503, "UO")] * 2, "the queue has an end, too"
        answer.set()
        assert [client.response().status for client in clients[:2]] == [200, 200]
        assert set(state(sidecar, "busy")) <= {0.0}, "our own refusals broke the circuit"
    finally:
        answer.set()
        for client in clients:
            client.close()


def test_a_queued_request_is_served_when_there_is_room(sidecar: Sidecar, origin: Origin) -> None:
    first, rest = threading.Event(), threading.Event()

    def script(peer: Conversation) -> None:
        while (seen := peer.request()) is not None:
            assert (first if seen.target == "/0" else rest).wait(10)
            peer.send(reply(body=seen.target.encode()))

    origin.script = script
    with Client(sidecar.outbound) as a, Client(sidecar.outbound) as b:
        a.send(request("GET", "/0", {"Host": "busy"}))
        b.send(request("GET", "/1", {"Host": "busy"}))
        origin.saw(2)
        with Client(sidecar.outbound) as queued:
            queued.send(request("GET", "/2", {"Host": "busy"}))
            first.set()
            origin.saw(3)
            rest.set()
            assert [each.response().body for each in (a, b, queued)] == [b"/0", b"/1", b"/2"]
