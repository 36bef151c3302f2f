"""Answers that come before the request is whole, and clients that wait to be told to go on.

The client gets the answer and a close, the rest of its body goes nowhere and is read for a
moment only, and the upstream's connection is given up. RFC 9110 section 10.1.1, RFC 9112
sections 9.3 and 9.6.
"""

from __future__ import annotations

import pytest

from tests.conformance.answers_case import Fate
from tests.conformance.answers_seen import Seen
from tests.conformance.answers_stage import Ear, own_answer
from tests.fakes import Client, FakeTransport, Stage

POST = b"POST /upload HTTP/1.1\r\nHost: a\r\n"
EXPECT = POST + b"Expect: 100-continue\r\n"
COUNTED = b"Content-Length: 100000\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
TOO_MUCH = b"HTTP/1.1 413 Too Much\r\nContent-Length: 8\r\n\r\ntoo much"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"

framings = pytest.mark.parametrize(
    "part",
    [COUNTED + b"x" * 10, CHUNKED + b"a\r\n" + b"x" * 10 + b"\r\n"],
    ids=["length", "chunks"],
)


class Upload:
    """A client in the middle of a request, and the connection that it goes out on."""

    def __init__(self, data: bytes, *, reused: bool = False) -> None:
        self.stage = Stage(timeout=5.0, idle_timeout=5.0)
        if reused:
            first = self.stage.client()
            first.says(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.stage.answer(self.stage.connect(), OK)
        self.client = self.stage.client()
        self.client.says(data)
        self.up: FakeTransport = self.stage.connections[0] if reused else self.stage.connect()
        self.ear = Ear(self.client)

    def answered(self, data: bytes) -> Seen:
        self.stage.answer(self.up, data)
        return self.ear.look()

    def next_is_sane(self) -> bool:
        """The next client gets its own answer, on a new connection."""
        client = Client(self.stage)
        client.says(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        self.stage.answer(self.stage.connect(), own_answer(b"/next"))
        return Ear(client).look().body == b"/next"


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
@framings
def test_an_early_answer_arrives_and_both_connections_end(part: bytes, reused: bool) -> None:
    upload = Upload(POST + part, reused=reused)
    seen = upload.answered(TOO_MUCH)
    assert (seen.fate, seen.status, seen.body) == (Fate.WHOLE, 413, b"too much")
    assert b"\r\nconnection: close\r\n" in seen.head
    assert upload.up.aborted, "closing would wait until the rest was sent"
    assert upload.next_is_sane()


def test_the_client_is_told_the_end_before_it_is_cut_off() -> None:
    upload = Upload(POST + COUNTED)
    upload.answered(TOO_MUCH)
    transport = upload.client.transport
    assert (transport.eof, transport.closed) == (True, False)


@framings
def test_the_rest_of_the_body_goes_nowhere(part: bytes) -> None:
    upload = Upload(POST + part)
    upload.answered(TOO_MUCH)
    sent = len(upload.up.written)
    upload.client.says(b"x" * 1000)
    assert len(upload.up.written) == sent
    assert not upload.up.written.endswith(b"0\r\n\r\n")


BOUND = 64 * 1024


def test_of_the_rest_no_more_than_the_bound_is_read() -> None:
    upload = Upload(POST + b"Content-Length: 6400000\r\n\r\n")
    upload.answered(TOO_MUCH)
    read = 0
    while not upload.client.transport.closed:
        upload.client.says(b"x" * 1024)
        read += 1024
    assert BOUND < read <= BOUND + 1024


def test_of_the_rest_nothing_is_read_after_the_moment() -> None:
    upload = Upload(POST + COUNTED)
    upload.answered(TOO_MUCH)
    upload.client.protocol.sweep(upload.stage.time.now + 0.5)
    assert not upload.client.transport.closed
    upload.client.protocol.sweep(upload.stage.time.now + 1.0)
    assert upload.client.transport.closed


def test_an_unread_body_is_never_taken_for_a_request() -> None:
    upload = Upload(POST + COUNTED)
    upload.answered(TOO_MUCH)
    upload.client.says(b"GET /poison HTTP/1.1\r\nHost: a\r\n\r\n" * 10)
    assert upload.stage.dials == []
    assert b"/poison" not in upload.up.written
    assert upload.client.hears() == b""


def test_an_answer_that_runs_beside_the_upload_may_end_after_it() -> None:
    upload = Upload(POST + b"Content-Length: 20\r\n\r\n" + b"x" * 10)
    upload.stage.answer(upload.up, OK[:-2])
    upload.client.says(b"y" * 10)
    assert upload.up.written.endswith(b"x" * 10 + b"y" * 10)
    seen = upload.answered(OK[-2:])
    assert (seen.fate, seen.body) == (Fate.WHOLE, b"good")
    assert not upload.up.closed, "request and answer both ended where they said they would"


def test_an_early_answer_until_close_is_whole_at_the_end_of_its_connection() -> None:
    upload = Upload(POST + COUNTED)
    upload.stage.answer(upload.up, b"HTTP/1.1 413 No\r\n\r\ntoo much")
    upload.up.protocol.eof_received()
    seen = upload.ear.look()
    assert (seen.fate, seen.status, seen.body) == (Fate.WHOLE, 413, b"too much")
    assert upload.up.aborted


def test_an_upstream_that_hangs_up_on_an_upload_is_told_at_once() -> None:
    upload = Upload(POST + COUNTED)
    upload.up.protocol.eof_received()
    seen = upload.ear.look()
    assert (seen.fate, seen.status, seen.reason) == (Fate.REFUSED, 503, "UC")
    assert upload.up.aborted


def test_an_early_answer_that_is_cut_stays_cut() -> None:
    upload = Upload(POST + COUNTED)
    upload.stage.answer(upload.up, TOO_MUCH[:-1])
    upload.stage.hang_up(upload.up, ConnectionResetError())
    assert upload.ear.look().fate is Fate.CUT


# Expect: 100-continue


def test_the_body_follows_the_word_to_go_on() -> None:
    upload = Upload(EXPECT + b"Content-Length: 4\r\n\r\n")
    assert b"\r\nExpect: 100-continue\r\n" in upload.up.take()
    upload.stage.answer(upload.up, GO_ON)
    assert upload.client.hears() == GO_ON
    upload.client.says(b"body")
    assert upload.up.take() == b"body"
    assert upload.answered(OK).body == b"good"
    assert not upload.up.closed


@pytest.mark.parametrize("status", [200, 401, 413, 417, 500])
def test_a_final_answer_without_the_word_to_go_on_ends_both(status: int) -> None:
    """The upstream may still wait for the body, or take the next request for it."""
    upload = Upload(EXPECT + b"Content-Length: 4\r\n\r\n")
    upload.up.take()
    seen = upload.answered(b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\nno" % status)
    assert (seen.fate, seen.status, seen.interim) == (Fate.WHOLE, status, ())
    assert b"\r\nconnection: close\r\n" in seen.head
    assert upload.up.aborted
    upload.client.says(b"body")
    assert upload.up.take() == b""
    assert upload.next_is_sane()


def test_a_body_that_came_unasked_leaves_both_connections_in_order() -> None:
    upload = Upload(EXPECT + b"Content-Length: 4\r\n\r\nbody")
    assert upload.answered(TOO_MUCH).status == 413
    assert not upload.up.closed
    assert not upload.client.transport.eof


def test_after_the_word_to_go_on_an_early_answer_is_early_still() -> None:
    upload = Upload(EXPECT + COUNTED)
    upload.stage.answer(upload.up, GO_ON)
    upload.client.says(b"x" * 10)
    seen = upload.answered(TOO_MUCH)
    assert (seen.status, seen.interim) == (413, (100,))
    assert upload.up.aborted


def test_an_upstream_that_says_go_on_and_leaves_is_a_failure() -> None:
    upload = Upload(EXPECT + COUNTED)
    upload.stage.answer(upload.up, GO_ON)
    upload.stage.hang_up(upload.up)
    seen = upload.ear.look()
    assert (seen.fate, seen.status, seen.interim) == (Fate.REFUSED, 503, (100,))


def test_a_reused_connection_that_dies_after_the_word_is_not_tried_again() -> None:
    upload = Upload(b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n" + COUNTED, reused=True)
    upload.stage.answer(upload.up, GO_ON)
    upload.stage.hang_up(upload.up)
    assert upload.ear.look().status == 503
    assert upload.stage.dials == []


def test_an_old_client_cannot_expect_and_is_told_nothing() -> None:
    old = EXPECT.replace(b"HTTP/1.1", b"HTTP/1.0")
    upload = Upload(old + b"Content-Length: 4\r\n\r\n")
    assert b"xpect" not in upload.up.take()
    upload.stage.answer(upload.up, GO_ON)
    assert upload.client.hears() == b""
    upload.client.says(b"body")
    assert upload.answered(OK).body == b"good"
