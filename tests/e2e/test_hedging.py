"""A second attempt beside a slow one: first good answer wins, and the other is cancelled."""

from __future__ import annotations

import threading
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

CONFIG = """
outbound:
  listen: <outbound>
  defaults: {circuit_breaker: off, retry: off, load_balancer: round_robin, timeout: 8s}
  services:
    pair: {endpoints: [<slow>, <fast>], hedge: {after: 60ms, max_extra: 100%}}
    learned: {endpoints: [<slow>, <fast>], hedge: {after: p90, min: 20ms, max_extra: 100%}}
    thrifty: {endpoints: [<slow>, <fast>], hedge: {after: 20ms, max_extra: 10%}}
    alone: {endpoints: [<slow>], hedge: {after: 20ms, max_extra: 100%}}
    guarded:
      endpoints: [<slow>, <closed>]
      hedge: {after: 20ms, max_extra: 100%}
      circuit_breaker: {consecutive_failures: 1, open_for: 60s, max_open_for: 60s}
"""


@pytest.fixture(scope="module")
def slow() -> Iterator[Origin]:
    with Origin.running() as running:
        yield running


@pytest.fixture(scope="module")
def sidecar(app: Origin, slow: Origin) -> Iterator[Sidecar]:
    with Sidecar.running(
        CONFIG, slow=slow.address, fast=app.address, closed=closed_port()
    ) as running:
        yield running


@pytest.fixture
def both(sidecar: Sidecar, app: Origin, slow: Origin) -> Iterator[tuple[Origin, Origin]]:
    """The slow origin and the fast one, with nothing left of the test before."""
    slow.forget(silent)
    app.forget(answering(reply(body=b"fast")))
    yield slow, app
    slow.forget()
    app.forget()


def silent(peer: Conversation) -> None:
    if peer.request() is not None:
        peer.until_left()


def ask(sidecar: Sidecar, service: str, method: str = "GET") -> Message:
    return fetch(sidecar.outbound, "/", method, {"Host": service})


def outcomes(sidecar: Sidecar, service: str) -> dict[str, float]:
    """What became of this service's second attempts so far."""
    return {
        outcome: sidecar.total("meshproxy_hedges_total", upstream=service, outcome=outcome)
        for outcome in ("sent", "won", "lost", "no_budget")
    }


def test_an_origin_that_never_answers_costs_the_caller_little(
    sidecar: Sidecar, both: tuple[Origin, Origin]
) -> None:
    slow, fast = both
    for _ in range(10):
        assert ask(sidecar, "pair").body == b"fast"
    late = len(slow.requests)
    assert late >= 3
    assert len(fast.requests) == 10
    for conversation in slow.conversations:
        assert conversation.closed_by_peer.wait(5.0), "the slow attempt was not cancelled"
    assert outcomes(sidecar, "pair") == {"sent": late, "won": late, "lost": 0.0, "no_budget": 0.0}
    attempts = [seen.get("x-meshproxy-attempt") for seen in fast.requests]
    assert (attempts.count("2"), attempts.count("1")) == (late, 10 - late)


def test_a_post_is_waited_for_and_sent_once(sidecar: Sidecar, both: tuple[Origin, Origin]) -> None:
    slow, fast = both
    go_on = threading.Event()

    def late(peer: Conversation) -> None:
        while peer.request() is not None:
            go_on.wait(0.3)  # five times as long as a second attempt would wait
            peer.send(reply(body=b"slow"))

    slow.forget(late)
    bodies = [ask(sidecar, "pair", "POST").body for _ in range(4)]
    go_on.set()
    assert sorted(bodies) == [b"fast", b"fast", b"slow", b"slow"]
    assert len(slow.requests) + len(fast.requests) == 4


def test_when_both_are_slow_there_are_two_attempts_and_one_answer(
    sidecar: Sidecar, both: tuple[Origin, Origin]
) -> None:
    slow, fast = both
    go_on = threading.Event()

    def late(peer: Conversation) -> None:
        while peer.request() is not None:
            go_on.wait(5.0)
            peer.send(reply(body=b"late"))

    slow.forget(late)
    fast.forget(late)
    with Client(sidecar.outbound) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: pair\r\n\r\n")
        slow.saw(1)
        fast.saw(1)
        go_on.set()
        assert client.response().body == b"late"
        go_on.set()
        assert client.ask("GET", "/", {"Host": "pair"}).body == b"late"


def test_second_attempts_stay_within_their_share(
    sidecar: Sidecar, both: tuple[Origin, Origin]
) -> None:
    slow, fast = both

    def hesitant(peer: Conversation) -> None:
        while peer.request() is not None:
            if not peer.closed_by_peer.wait(0.06):
                peer.send(reply(body=b"slow"))

    slow.forget(hesitant)
    with Client(sidecar.outbound) as client:
        for _ in range(60):
            assert client.ask("GET", "/", {"Host": "thrifty"}).status == 200
    seen = outcomes(sidecar, "thrifty")
    assert 1 <= seen["sent"] <= 60 * 0.1 + 1
    assert seen["won"] + seen["lost"] == seen["sent"]
    assert seen["no_budget"] >= 10
    assert len(slow.requests) + len(fast.requests) == 60 + seen["sent"]


def test_a_learned_percentile_comes_from_the_route_s_own_answers(
    sidecar: Sidecar, both: tuple[Origin, Origin]
) -> None:
    slow, fast = both
    slow.forget(answering(reply(body=b"not slow yet")))
    with Client(sidecar.outbound) as client:
        for _ in range(120):
            assert client.ask("GET", "/", {"Host": "learned"}).status == 200
        asked = len(slow.requests) + len(fast.requests)
        slow.forget(silent)
        for _ in range(6):
            assert client.ask("GET", "/", {"Host": "learned"}).body == b"fast"
    assert asked >= 120
    assert outcomes(sidecar, "learned")["won"] >= 3
    delays = sidecar.admin_json("/stats")["hedge_delays"]
    (known,) = [each for each in delays if each["upstream"] == "learned"]
    assert known["after_seconds"] is not None


def test_a_lone_endpoint_is_waited_for(sidecar: Sidecar, both: tuple[Origin, Origin]) -> None:
    slow, _ = both

    def late(peer: Conversation) -> None:
        while peer.request() is not None:
            peer.closed_by_peer.wait(0.15)
            peer.send(reply(body=b"slow"))

    slow.forget(late)
    assert ask(sidecar, "alone").body == b"slow"
    assert len(slow.requests) == 1


def test_nothing_is_hedged_to_an_endpoint_whose_breaker_is_open(
    sidecar: Sidecar, both: tuple[Origin, Origin]
) -> None:
    slow, _ = both

    def late(peer: Conversation) -> None:
        while peer.request() is not None:
            peer.closed_by_peer.wait(0.15)
            peer.send(reply(body=b"slow"))

    slow.forget(late)
    statuses = {ask(sidecar, "guarded").status for _ in range(4)}  # opens the dead one's circuit
    assert 200 in statuses
    before = outcomes(sidecar, "guarded")["sent"]
    assert [ask(sidecar, "guarded").status for _ in range(4)] == [200] * 4
    assert outcomes(sidecar, "guarded")["sent"] == before
