"""Upstreams that refuse, swallow, say nothing and hang up (F23 to F27).

The caller is told in time and by name, a request that may have had an effect is not sent twice,
and retries stay within their budget. RFC 9110 section 9.2.2.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.harness import (
    BlackHole,
    Client,
    Conversation,
    Message,
    Origin,
    Sidecar,
    closed_port,
    eventually,
    fetch,
    lasting,
    reply,
)

CONFIG = """
outbound:
  listen: <outbound>
  defaults:
    circuit_breaker: off
    timeout: 8s
    connect_timeout: 300ms
    retry:
      attempts: 1
      backoff: {strategy: fixed, base: 5ms, jitter: none}
      budget: {ratio: 100%, min_per_second: 1000}
  services:
    twice: {endpoints: [<app>]}
    once: {endpoints: [<app>], retry: off}
    patient: {endpoints: [<app>], retry: {attempts: 0, per_try_timeout: 300ms}}
    refused:
      endpoints: [<closed>]
      retry: {attempts: 3, budget: {ratio: 20%, min_per_second: 0}}
    hole: {endpoints: [<hole>], retry: off}
"""


@pytest.fixture(scope="module")
def sidecar(app: Origin) -> Iterator[Sidecar]:
    with (
        BlackHole.running() as hole,
        Sidecar.running(
            CONFIG, app=app.address, closed=closed_port(), hole=hole.address
        ) as running,
    ):
        yield running


def ask(sidecar: Sidecar, service: str, method: str = "GET") -> Message:
    return fetch(sidecar.outbound, "/", method, {"Host": service}, b"pay" * (method == "POST"))


def told(answer: Message) -> tuple[int, str | None]:
    return answer.status, answer.get("x-meshproxy-reason")


def test_f23_a_refusal_is_told_and_retried_within_the_budget(sidecar: Sidecar) -> None:
    with Client(sidecar.outbound) as client:
        answers = [client.ask("GET", "/", {"Host": "refused"}) for _ in range(200)]
    assert {answer.status for answer in answers} == {503}
    assert {answer.get("x-meshproxy-reason") for answer in answers} <= {"UF", "URX", "UF,URX"}
    attempts = sidecar.total("meshproxy_upstream_attempts_total", upstream="refused")
    assert 220 <= attempts <= 240, "a fifth more, and it was used"


def test_f24_a_connection_that_nobody_answers_ends_in_time(sidecar: Sidecar) -> None:
    for method in ("GET", "POST"):
        with lasting(0.3):
            assert told(ask(sidecar, "hole", method)) == (503, "UF")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_f25_an_upstream_that_never_answers_ends_in_time(
    sidecar: Sidecar, origin: Origin, method: str
) -> None:
    def script(peer: Conversation) -> None:
        while peer.request() is not None:
            pass

    origin.script = script
    with lasting(0.3):
        assert told(ask(sidecar, "patient", method)) == (504, "UT")
    assert origin.conversations[0].closed_by_peer.wait(5)
    assert len(origin.requests) == 1


def hang_up(peer: Conversation, by: str) -> None:
    """End the connection after a request, with not a byte said."""
    if peer.request() is not None:
        peer.finish() if by == "fin" else peer.reset()


@pytest.mark.parametrize("by", ["fin", "rst"])
def test_f26_a_get_that_met_a_hang_up_is_tried_once_more(
    sidecar: Sidecar, origin: Origin, by: str
) -> None:
    origin.script = lambda peer: hang_up(peer, by)
    assert ask(sidecar, "twice").status == 503
    assert len(origin.requests) == 2


@pytest.mark.parametrize("by", ["fin", "rst"])
@pytest.mark.parametrize("service", ["twice", "once"])
def test_f26_a_post_that_met_a_hang_up_is_not(
    sidecar: Sidecar, origin: Origin, by: str, service: str
) -> None:
    origin.script = lambda peer: hang_up(peer, by)
    assert told(ask(sidecar, service, "POST")) == (503, "UC")
    assert len(origin.requests) == 1


@pytest.mark.parametrize("by", ["fin", "rst"])
@pytest.mark.parametrize(("method", "status", "seen"), [("GET", 200, 2), ("POST", 503, 1)])
def test_f27_a_kept_connection_that_dies_under_a_request(
    sidecar: Sidecar, origin: Origin, by: str, method: str, status: int, seen: int
) -> None:
    """Retries are off: what saves the GET is that a reused connection proves nothing."""

    def script(peer: Conversation) -> None:
        for _ in range(1 if peer.number == 0 else 10):
            if peer.request() is not None:
                peer.send(reply())
        hang_up(peer, by)

    origin.script = script
    assert ask(sidecar, "once").status == 200
    answer = ask(sidecar, "once", method)
    assert answer.status == status
    assert [each.method for each in origin.requests[1:]] == [method] * seen


@pytest.mark.parametrize("by", ["fin", "rst"])
def test_f27_a_kept_connection_that_was_closed_is_not_used(
    sidecar: Sidecar, origin: Origin, by: str
) -> None:
    def script(peer: Conversation) -> None:
        if peer.request() is not None:
            peer.send(reply())
            peer.finish() if by == "fin" else peer.reset()

    origin.script = script
    for method in ("GET", "POST") * 5:
        assert ask(sidecar, "once", method).status == 200
        eventually(
            lambda: sidecar.total("meshproxy_upstream_connections", upstream="once") == 0,
            what="the end of the connection",
        )
    assert len(origin.requests) == 10
