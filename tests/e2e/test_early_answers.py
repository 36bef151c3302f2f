"""Answers that come before the request is whole, on real sockets, and clients that wait for 100.

The client gets the answer, whether or not it listens while it sends, and the upstream's
connection is given up, whether or not it reads. tests/conformance/test_answers_early.py has the
cases. RFC 9110 section 10.1.1, RFC 9112 sections 9.3 and 9.6.
"""

from __future__ import annotations

import threading

import pytest

from .harness import Client, Conversation, Origin, Sidecar, answering, eventually, fetch, reply
from .test_bad_origins import CONFIG as CONFIG

LATER = 10.0
UPLOAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6400000\r\n\r\n"
TOO_MUCH = reply(413, b"too much")
UNTIL_CLOSE = b"HTTP/1.1 413 Fine\r\n\r\ntoo much"


class Impatient:
    """Answers as soon as the head of an upload is here, and reads nothing of the body."""

    def __init__(self, answer: bytes, end: str) -> None:
        self.answer = answer
        self.end = end
        self.over = threading.Event()

    def __call__(self, peer: Conversation) -> None:
        if peer.head() is None:
            return
        # The upload gets stuck first: nothing of it fits into any buffer on the way any more.
        self.over.wait(0.2)
        peer.send(self.answer)
        if self.end == "fin":
            peer.finish()
        elif self.end == "rst":
            peer.reset()
            return
        self.over.wait(LATER)


@pytest.mark.parametrize("end", ["stays", "fin", "rst"])
def test_an_early_answer_reaches_a_client_that_sends_on(
    sidecar: Sidecar, origin: Origin, end: str
) -> None:
    origin.script = impatient = Impatient(TOO_MUCH, end)
    with Client(sidecar.inbound) as client:
        client.send(UPLOAD)
        client.send_pieces([b"x" * 64_000] * 100)  # until it is cut off; only then it looks
        answer = client.response()
        assert (answer.status, answer.body) == (413, b"too much")
        assert answer.get("connection") == "close"
        assert client.closed_by_peer()
    eventually(lambda: sidecar.total("meshproxy_upstream_connections") == 0, what="its end")
    impatient.over.set()
    origin.script = answering(reply())
    assert fetch(sidecar.inbound).status == 200


def test_an_early_answer_is_not_lost_to_the_reset_behind_it(
    sidecar: Sidecar, origin: Origin
) -> None:
    """Who closes with bytes unread resets the connection; the answer had come before that."""

    def script(peer: Conversation) -> None:
        if peer.head() is not None:
            peer.send(TOO_MUCH)

    origin.script = script
    for _ in range(20):
        with Client(sidecar.inbound) as client:
            client.send(UPLOAD)
            client.send_pieces([b"x" * 64_000] * 100)
            assert client.response().status == 413


def test_an_early_answer_until_close_ends_with_its_connection(
    sidecar: Sidecar, origin: Origin
) -> None:
    origin.script = impatient = Impatient(UNTIL_CLOSE, "fin")
    with Client(sidecar.inbound) as client:
        client.send(UPLOAD)
        client.send_pieces([b"x" * 64_000] * 100)
        answer = client.response()
        assert (answer.status, answer.body) == (413, b"too much")
    impatient.over.set()


def test_an_upload_that_nobody_wants_is_told_so(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = impatient = Impatient(b"", "fin")
    with Client(sidecar.inbound) as client:
        client.send(UPLOAD)
        client.send_pieces([b"x" * 64_000] * 100)
        answer = client.response()
        assert (answer.status, answer.get("x-meshproxy-reason")) == (503, "UC")
    impatient.over.set()


def test_of_an_unwanted_upload_little_is_read(sidecar: Sidecar, origin: Origin) -> None:
    """A client that waits for its answer and then sends on is cut off soon."""
    origin.script = impatient = Impatient(TOO_MUCH, "stays")
    with Client(sidecar.inbound) as client:
        client.send(UPLOAD)
        assert client.response().status == 413
        client.send_pieces([b"x" * 64_000] * 100)
        assert client.closed_by_peer()
    assert origin.received < 1000, "the upstream gets nothing that came after its answer"
    impatient.over.set()


# Expect: 100-continue


def test_the_origin_says_continue_and_then_answers(sidecar: Sidecar, origin: Origin) -> None:
    def script(peer: Conversation) -> None:
        head = peer.head()
        assert head is not None
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        peer.reader.body_of_request(head)
        peer.send(reply(body=head.body))

    origin.script = script
    with Client(sidecar.inbound) as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        )
        assert client.reader.response_head().status == 100
        client.send(b"body")
        assert client.response().body == b"body"


def test_the_origin_refuses_before_the_body(sidecar: Sidecar, origin: Origin) -> None:
    def script(peer: Conversation) -> None:
        if peer.head() is not None:
            peer.send(reply(401, b"who are you"))
            peer.until_left()

    origin.script = script
    with Client(sidecar.inbound) as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        )
        answer = client.response()
    assert (answer.status, answer.interim, answer.body) == (401, [], b"who are you")
    origin.forget()
    assert fetch(sidecar.inbound).status == 200, "a half-used connection was used again"


def test_a_client_need_not_wait_for_continue(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(lambda seen: reply(body=seen.body))
    with Client(sidecar.inbound) as client:
        answer = client.ask("POST", "/", {"Expect": "100-continue"}, b"at once")
    assert answer.body == b"at once"
