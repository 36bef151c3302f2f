"""Origins that refuse, hang up and reset, and clients that leave: who is told what, and when.

What an origin may say wrong is in tests/conformance/answers.py; tests/e2e/test_bad_answers.py
plays it. RFC 9112 sections 6.3 and 8, RFC 9110 section 9.2.2.
"""

from __future__ import annotations

import threading

import pytest

from .harness import (
    Client,
    Conversation,
    Origin,
    Sidecar,
    TruncatedError,
    closed_port,
    eventually,
    fetch,
    reply,
)
from .harness.client import request
from .harness.origin import Script

CONFIG = """
inbound:
  listen: <inbound>
  app: http://<app>
  retry: off
  circuit_breaker: off
"""


def verdict(sidecar: Sidecar, method: str = "GET", body: bytes = b"") -> tuple[int, str | None]:
    answer = fetch(sidecar.inbound, "/", method, body=body)
    reason = answer.get("x-meshproxy-reason")
    if reason is not None:
        assert answer.get("content-type") == "application/problem+json"
    return answer.status, reason


def cut(peer: Conversation, by: str) -> None:
    """End the connection with FIN or with RST."""
    peer.finish() if by == "fin" else peer.reset()


def after_request(then: bytes, by: str) -> Script:
    """Read a request, send some bytes, cut."""

    def script(peer: Conversation) -> None:
        if peer.request() is not None:
            peer.send(then)
            cut(peer, by)

    return script


def test_a_refused_connection_is_told(app: Origin) -> None:
    config = CONFIG.replace("<app>", closed_port())
    with Sidecar.running(config) as sidecar:
        assert verdict(sidecar) == (503, "UF")


@pytest.mark.parametrize("by", ["fin", "rst"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_hanging_up_on_a_fresh_connection(
    sidecar: Sidecar, origin: Origin, method: str, by: str
) -> None:
    origin.script = after_request(b"", by)
    assert verdict(sidecar, method, b"x" * (method == "POST")) == (503, "UC")
    assert len(origin.requests) == 1


def once_good_then(by: str) -> Script:
    """The first connection answers one request and hangs up on the next; later ones are good."""

    def script(peer: Conversation) -> None:
        good = 1 if peer.number == 0 else 1000
        for _ in range(good):
            if peer.request() is None:
                return
            peer.send(reply())
        if peer.request() is not None:
            cut(peer, by)

    return script


@pytest.mark.parametrize("by", ["fin", "rst"])
def test_a_get_is_replayed_when_a_reused_connection_dies(
    sidecar: Sidecar, origin: Origin, by: str
) -> None:
    origin.script = once_good_then(by)
    with Client(sidecar.inbound) as client:
        assert client.ask("GET", "/first").status == 200
        assert client.ask("GET", "/second").status == 200
    assert [seen.target for seen in origin.requests] == ["/first", "/second", "/second"]
    assert len(origin.conversations) == 2


@pytest.mark.parametrize("by", ["fin", "rst"])
def test_a_post_is_not_replayed_when_a_reused_connection_dies(
    sidecar: Sidecar, origin: Origin, by: str
) -> None:
    origin.script = once_good_then(by)
    with Client(sidecar.inbound) as client:
        assert client.ask("GET", "/first").status == 200
        answer = client.ask("POST", "/second", body=b"pay")
        assert (answer.status, answer.get("x-meshproxy-reason")) == (503, "UC")
    assert [seen.target for seen in origin.requests] == ["/first", "/second"]


@pytest.mark.parametrize("by", ["fin", "rst"])
def test_a_large_body_that_is_cut_is_never_shown_as_complete(
    sidecar: Sidecar, origin: Origin, by: str
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n"
    origin.script = after_request(head + b"x" * 3_000_000, by)
    with Client(sidecar.inbound) as client:
        client.send(request("GET", "/"))
        with pytest.raises(TruncatedError):
            client.response()


def test_a_reset_until_close_body_is_never_shown_as_complete(
    sidecar: Sidecar, origin: Origin
) -> None:
    got_some = threading.Event()

    def script(peer: Conversation) -> None:
        if peer.request() is not None:
            peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
            assert got_some.wait(10)
            peer.reset()

    origin.script = script
    for version in ("1.1", "1.0"):
        got_some.clear()
        with Client(sidecar.inbound) as client:
            client.send(f"GET / HTTP/{version}\r\nHost: a\r\n\r\n".encode())
            client.reader.response_head()
            got_some.set()
            with pytest.raises((TruncatedError, ConnectionResetError)):
                drain(client, chunked=version == "1.1")


def drain(client: Client, chunked: bool) -> None:
    """Read to the end of the connection; raise when it does not look like an end."""
    rest = b"".join(iter(lambda: client.reader.take(65536), b""))
    if chunked and not rest.endswith(b"0\r\n\r\n"):
        raise TruncatedError(None, rest, reset=False)


def test_a_client_that_resets_before_the_head_ends_the_attempt(
    sidecar: Sidecar, origin: Origin
) -> None:
    origin.script = after_which_nothing(b"")
    with Client(sidecar.inbound) as client:
        client.send(request("GET", "/"))
        origin.saw(1)
        client.reset()
        assert origin.conversations[0].closed_by_peer.wait(5)


def test_a_client_that_resets_inside_the_body_ends_the_attempt(
    sidecar: Sidecar, origin: Origin
) -> None:
    origin.script = after_which_nothing(
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 40
    )
    with Client(sidecar.inbound) as client:
        client.send(request("GET", "/"))
        client.reader.response_head()
        client.reset()
        assert origin.conversations[0].closed_by_peer.wait(5)


def test_a_client_that_closes_inside_the_body_ends_the_attempt(
    sidecar: Sidecar, origin: Origin
) -> None:
    ended = threading.Event()

    def script(peer: Conversation) -> None:
        try:
            if peer.request() is not None:
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n")
                for _ in range(900):
                    peer.send(b"x" * 1_000_000)
        finally:
            ended.set()

    origin.script = script
    with Client(sidecar.inbound) as client:
        client.send(request("GET", "/"))
        client.reader.response_head()
        client.close()
        assert ended.wait(5)
    assert origin.conversations[0].sent < 100_000_000


def after_which_nothing(part: bytes) -> Script:
    """Read a request, send a part of the answer, and wait for the proxy to leave."""

    def script(peer: Conversation) -> None:
        if peer.request() is not None:
            peer.send(part)
            peer.until_left()

    return script


def test_a_client_that_leaves_inside_its_upload_ends_the_attempt(
    sidecar: Sidecar, origin: Origin
) -> None:
    with Client(sidecar.inbound) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000)
        eventually(lambda: origin.received > 50_000, what="half of the upload")
    eventually(lambda: origin.cut_requests, what="the end of the attempt")
    assert origin.requests == []
