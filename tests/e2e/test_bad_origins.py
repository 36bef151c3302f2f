"""Origins that refuse, hang up, cut, babble or say more than they were asked.

Each fault has one status and one reason, no connection that saw one is used again, and a body
that was cut is never shown as complete. RFC 9112 sections 6.3, 8 and 9.2.
"""

from __future__ import annotations

import itertools
import threading

import pytest

from .harness import (
    Client,
    Conversation,
    Message,
    Origin,
    Sidecar,
    TruncatedError,
    answering,
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


PARTS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 40,
    "length, no body yet": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
    "inside a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nxxxxx",
    "between chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n",
    "before the last CRLF": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
    "large": b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 3_000_000,
}


@pytest.mark.parametrize("by", ["fin", "rst"])
@pytest.mark.parametrize("kind", PARTS)
def test_a_cut_body_is_never_shown_as_complete(
    sidecar: Sidecar, origin: Origin, kind: str, by: str
) -> None:
    origin.script = after_request(PARTS[kind], by)
    with Client(sidecar.inbound) as client:
        client.send(request("GET", "/"))
        answer, whole = begun(client)
    assert answer is not None, "there was no answer at all"
    assert answer.status >= 500 if whole else answer.status == 200, answer.head


def begun(client: Client) -> tuple[Message | None, bool]:
    """An answer as far as it came, and whether it looked complete."""
    try:
        return client.response(), True
    except TruncatedError as told:
        return told.message, False


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


GARBAGE = {
    "noise": b"\x00\x01\x02 garbage\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "version 2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nhi",
    "status 600": b"HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\nhi",
    "status of letters": b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nhi",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
    "length and coding": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n",
    "signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi",
    "folded field": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nhi",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nhi",
    "space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi",
    "lone CR in a value": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nhi",
    "switching unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "a head of 200 kB": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    "a thousand hints": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000 + reply(),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_a_bad_response(sidecar: Sidecar, origin: Origin, kind: str) -> None:
    def script(peer: Conversation) -> None:
        if peer.request() is not None:
            peer.send(GARBAGE[kind] if peer.number == 0 else reply())
            peer.until_left()

    origin.script = script
    assert verdict(sidecar) == (502, "UPE")
    assert fetch(sidecar.inbound).status == 200
    assert len(origin.conversations) == 2, "the connection was used again"


@pytest.mark.parametrize("by", ["fin", "rst"])
def test_a_cut_head_is_a_failure(sidecar: Sidecar, origin: Origin, by: str) -> None:
    origin.script = after_request(b"HTTP/1.1 200 OK\r\nContent-Len", by)
    status, reason = verdict(sidecar)
    assert (status, reason) in {(502, "UPE"), (503, "UC")}


EXTRA = {
    "a second answer": reply(200, b"poison"),
    "noise": b"poison",
    "a line and an answer": b"\r\n" + reply(200, b"poison"),
}


@pytest.mark.parametrize("kind", EXTRA)
@pytest.mark.parametrize("framing", ["length", "chunked", "204", "head"])
def test_a_connection_with_more_than_its_answer_is_dropped(
    sidecar: Sidecar, origin: Origin, framing: str, kind: str
) -> None:
    answers = {
        "length": reply(200, b"good"),
        "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
        "204": b"HTTP/1.1 204 No\r\n\r\n",
        "head": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
    }
    origin.script = answering(answers[framing] + EXTRA[kind])
    method = "HEAD" if framing == "head" else "GET"
    with Client(sidecar.inbound) as client:
        for _ in range(3):
            answer = client.ask(method, "/")
            assert answer.status in (200, 204)
            assert b"poison" not in answer.body
    assert len(origin.conversations) == 3


def test_an_idle_connection_that_speaks_is_dropped(sidecar: Sidecar, origin: Origin) -> None:
    speak = threading.Event()

    def script(peer: Conversation) -> None:
        while peer.request() is not None:
            peer.send(reply(200, b"good"))
            if peer.number == 0:
                assert speak.wait(10)
                peer.send(reply(200, b"poison"))

    origin.script = script
    with Client(sidecar.inbound) as client:
        assert client.ask("GET", "/").body == b"good"
        speak.set()
        assert origin.conversations[0].closed_by_peer.wait(5)
        assert client.ask("GET", "/").body == b"good"


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
    origin.script = after_which_nothing(PARTS["length"])
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
                peer.send(b"x" * 900_000_000)
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


def test_the_next_request_is_sane_after_every_fault(sidecar: Sidecar, origin: Origin) -> None:
    faults = [*PARTS.values(), *GARBAGE.values(), *(reply() + extra for extra in EXTRA.values())]
    for fault, by in itertools.product(faults, ("fin", "rst")):
        if len(fault) > 100_000:
            continue
        origin.forget(after_request(fault, by))
        with Client(sidecar.inbound) as client:
            client.send(request("GET", "/faulty"))
            try:
                client.response()
            except TruncatedError:
                pass
        origin.script = answering(lambda seen: reply(body=seen.target.encode()))
        assert fetch(sidecar.inbound, "/sane").body == b"/sane", fault[:60]
