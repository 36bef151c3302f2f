"""Every wait has an end: connect, one try, the whole call, an idle stream, a stalled client.

A limit is kept to within a tenth of a second on a quiet machine; the tests allow half a second,
and never less than the limit itself.
"""

from __future__ import annotations

import threading

import pytest

from .harness import (
    BlackHole,
    Client,
    Conversation,
    Origin,
    Sidecar,
    TruncatedError,
    fetch,
    lasting,
    reply,
)
from .harness.client import request

CONFIG = """
outbound:
  listen: <outbound>
  defaults: {circuit_breaker: off, retry: off, timeout: 10s}
  services:
    call: {endpoints: [<app>], timeout: 300ms}
    try:
      endpoints: [<app>]
      timeout: 1s
      retry: {attempts: 5, when: [timeout, 503], per_try_timeout: 200ms,
              backoff: {strategy: fixed, base: 10ms, jitter: none}}
    one-try:
      endpoints: [<app>]
      timeout: 5s
      retry: {attempts: 0, per_try_timeout: 300ms}
    stream: {endpoints: [<app>], timeout: 700ms}
"""


def ask(sidecar: Sidecar, service: str, method: str = "GET", body: bytes = b"") -> tuple[int, str]:
    answer = fetch(sidecar.outbound, "/", method, {"Host": service}, body)
    return answer.status, answer.get("x-meshproxy-reason") or ""


def silent(peer: Conversation) -> None:
    """Take requests and never answer."""
    while peer.request() is not None:
        pass


def test_the_whole_call_ends_in_time(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = silent
    with lasting(0.3):
        assert ask(sidecar, "call") == (504, "UT")
    assert origin.conversations[0].closed_by_peer.wait(5), "the attempt was left running"


def test_one_try_ends_in_time(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = silent
    with lasting(0.3):
        assert ask(sidecar, "one-try") == (504, "UT")


def test_tries_never_exceed_the_whole_call(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = silent
    with lasting(1.0):
        status, reason = ask(sidecar, "try")
    assert (status, reason) in {(504, "UT"), (504, "URX")}
    assert 2 <= len(origin.requests) <= 5


def test_a_later_try_may_succeed(sidecar: Sidecar, origin: Origin) -> None:
    def script(peer: Conversation) -> None:
        while (seen := peer.request()) is not None:
            if seen.get("x-meshproxy-attempt") == "3":
                peer.send(reply(body=b"third"))

    origin.script = script
    assert fetch(sidecar.outbound, headers={"Host": "try"}).body == b"third"
    assert [seen.get("x-meshproxy-attempt") for seen in origin.requests] == ["1", "2", "3"]


def test_a_timed_out_post_is_not_sent_again(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = silent
    assert ask(sidecar, "try", "POST", b"pay")[0] == 504
    assert len(origin.requests) == 1


def test_a_body_that_never_ends_is_cut_at_the_call_timeout(
    sidecar: Sidecar, origin: Origin
) -> None:
    def script(peer: Conversation) -> None:
        if peer.request() is not None:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
            peer.until_left()

    origin.script = script
    with Client(sidecar.outbound) as client, lasting(0.7):
        client.send(request("GET", "/", {"Host": "stream"}))
        with pytest.raises(TruncatedError):
            client.response()


def test_an_answer_in_time_is_left_alone(sidecar: Sidecar, origin: Origin) -> None:
    answered = threading.Event()

    def script(peer: Conversation) -> None:
        while peer.request() is not None:
            answered.wait(0.15)
            peer.send(reply())

    origin.script = script
    with Client(sidecar.outbound) as client:
        for _ in range(5):
            assert client.ask("GET", "/", {"Host": "call"}).status == 200


def test_a_connect_that_hangs_ends_in_time() -> None:
    config = """
outbound:
  listen: <outbound>
  defaults: {circuit_breaker: off, retry: off, timeout: 5s, connect_timeout: 300ms}
  services: {hole: {endpoints: [<hole>]}}
"""
    with BlackHole.running() as hole, Sidecar.running(config, hole=hole.address) as sidecar:
        with lasting(0.3):
            status, reason = ask(sidecar, "hole")
        assert (status, reason) == (503, "UF")


STALLED = """
inbound:
  listen: <inbound>
  app: http://<app>
  timeout: 20s
  idle_timeout: 500ms
"""


def test_a_stream_that_stands_still_is_ended(app: Origin) -> None:
    def script(peer: Conversation) -> None:
        if peer.request() is not None:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
            peer.until_left()

    app.forget(script)
    with Sidecar.running(STALLED, app=app.address) as sidecar, Client(sidecar.inbound) as client:
        client.send(request("GET", "/"))
        with lasting(0.5, 1.0), pytest.raises(TruncatedError):
            client.response()
    app.forget()


def test_a_client_that_stalls_is_told(app: Origin) -> None:
    app.forget()
    with Sidecar.running(STALLED, app=app.address) as sidecar, Client(sidecar.inbound) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello")
        with lasting(0.5, 1.0):
            answer = client.response()
        assert (answer.status, answer.get("x-meshproxy-reason")) == (408, "SI")
        assert client.closed_by_peer()
    app.forget()
