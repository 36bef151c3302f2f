"""A client's connection: order, framing, limits, and how it ends."""

from __future__ import annotations

import pytest

from meshproxy.core.route import Limits
from tests.fakes import Stage

GET = b"GET /%d HTTP/1.1\r\nHost: app\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d"


def test_pipelined_requests_are_answered_in_order_one_at_a_time() -> None:
    stage = Stage()
    client = stage.client()
    client.says(b"".join(GET % n for n in range(5)))
    up = stage.connect()
    for n in range(5):
        assert up.take().startswith(b"GET /%d " % n)
        stage.answer(up, OK % n)
    heard = client.hears()
    assert [heard.index(b"\r\n\r\n%d" % n) for n in range(5)] == sorted(
        heard.index(b"\r\n\r\n%d" % n) for n in range(5)
    )
    assert stage.dials == []


def test_what_comes_while_an_exchange_is_in_flight_waits_unread() -> None:
    stage = Stage()
    client = stage.client()
    client.says(GET % 0)
    up = stage.connect()
    client.says(GET % 1)
    assert not client.transport.reading
    stage.answer(up, OK % 0)
    assert up.take().endswith(b"\r\n\r\n")
    stage.answer(up, OK % 1)
    assert client.transport.reading
    assert client.hears().count(b"200 OK") == 2


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_split_of_the_bytes_changes_nothing(size: int) -> None:
    whole = b"POST /x HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\n\r\nhello" + GET % 7
    stage = Stage()
    client = stage.client()
    for at in range(0, len(whole), size):
        client.says(whole[at : at + size])
    up = stage.connect()
    sent = up.take()
    assert sent.startswith(b"POST /x HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\n")
    assert sent.endswith(b"\r\n\r\nhello")
    stage.answer(up, OK % 1)
    assert up.take().startswith(b"GET /7 ")


def test_a_chunked_body_is_chunked_again() -> None:
    stage = Stage()
    client = stage.client()
    client.says(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    up = stage.connect()
    assert up.take().endswith(b"\r\n\r\n3\r\nabc\r\n")
    client.says(b"2;ext=1\r\nde\r\n0\r\nTrailer: no\r\n\r\n")
    assert up.take() == b"2\r\nde\r\n0\r\n\r\n"


def test_a_truncated_upload_never_looks_complete() -> None:
    stage = Stage()
    client = stage.client()
    client.says(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    up = stage.connect()
    assert client.protocol.eof_received() is False
    client.leaves()
    assert up.aborted
    assert not up.take().endswith(b"0\r\n\r\n")


def test_a_bad_chunk_ends_the_attempt() -> None:
    stage = Stage()
    client = stage.client()
    client.says(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    up = stage.connect()
    client.says(b"zz\r\n")
    assert up.aborted
    assert client.hears().startswith(b"HTTP/1.1 400 ")


def test_a_client_may_close_its_side_and_still_get_its_answers() -> None:
    stage = Stage()
    client = stage.client()
    client.says(GET % 0 + GET % 1)
    assert client.protocol.eof_received() is True
    up = stage.connect()
    stage.answer(up, OK % 0)
    stage.answer(up, OK % 1)
    assert client.hears().count(b"200 OK") == 2
    assert client.transport.closed


def test_an_early_answer_closes_after_a_moment() -> None:
    stage = Stage()
    client = stage.client()
    client.says(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\nabc")
    up = stage.connect()
    stage.answer(up, b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    heard = client.hears()
    assert heard.startswith(b"HTTP/1.1 413 Too Large\r\n")
    assert b"connection: close\r\n" in heard
    assert up.closed
    assert client.transport.eof
    stage.time.pass_by(1.5)
    client.protocol.sweep(stage.time.now)
    assert client.transport.closed


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"a" * 40000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
    ],
)
@pytest.mark.parametrize("size", [700, 100000])
def test_a_head_over_a_limit_is_refused(request_bytes: bytes, code: int, size: int) -> None:
    stage = Stage(limits=Limits())
    client = stage.client()
    for at in range(0, len(request_bytes), size):
        client.says(request_bytes[at : at + size])
    assert client.hears().startswith(b"HTTP/1.1 %d " % code)
    assert stage.dials == []


def test_a_head_that_takes_too_long_is_408() -> None:
    stage = Stage()
    client = stage.client()
    client.says(b"GET / HTTP/1.1\r\nHos")
    stage.time.pass_by(9.0)
    client.protocol.sweep(stage.time.now)
    assert client.hears() == b""
    stage.time.pass_by(1.0)
    client.protocol.sweep(stage.time.now)
    assert client.hears().startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed() -> None:
    stage = Stage()
    client = stage.client()
    stage.time.pass_by(75.0)
    client.protocol.sweep(stage.time.now)
    assert client.transport.closed


def test_a_slow_upstream_holds_the_client() -> None:
    stage = Stage()
    client = stage.client()
    client.says(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\nabc")
    up = stage.connect()
    up.protocol.pause_writing()
    assert not client.transport.reading
    up.protocol.resume_writing()
    assert client.transport.reading


def test_a_slow_client_holds_the_upstream() -> None:
    stage = Stage()
    client = stage.client()
    client.says(GET % 1)
    up = stage.connect()
    stage.answer(up, b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\nabc")
    client.protocol.pause_writing()
    assert not up.reading
    client.protocol.resume_writing()
    assert up.reading


def test_an_upload_waits_for_the_connection_with_a_bounded_buffer() -> None:
    stage = Stage()
    client = stage.client()
    client.says(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n")
    client.says(b"a" * 70000)
    assert not client.transport.reading
    up = stage.connect()
    assert client.transport.reading
    assert len(up.take()) > 70000


def test_an_http_1_0_client_gets_a_body_that_ends_with_the_connection() -> None:
    stage = Stage()
    client = stage.client()
    client.says(b"GET / HTTP/1.0\r\n\r\n")
    up = stage.connect()
    stage.answer(up, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    heard = client.hears()
    assert heard.endswith(b"\r\n\r\nhi")
    assert b"chunked" not in heard
    assert client.transport.closed


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
def test_a_close_delimited_answer_is_whole_only_after_a_clean_end(error: Exception | None) -> None:
    stage = Stage()
    client = stage.client()
    client.says(GET % 1)
    up = stage.connect()
    stage.answer(up, b"HTTP/1.1 200 OK\r\n\r\nhi")
    stage.hang_up(up, error)
    assert client.hears().endswith(b"2\r\nhi\r\n0\r\n\r\n") is (error is None)
    assert client.transport.closed is (error is not None)


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 10\r\n\r\nhi", b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"],
)
def test_a_truncated_answer_is_never_shown_as_complete(head: bytes) -> None:
    stage = Stage()
    client = stage.client()
    client.says(GET % 1)
    up = stage.connect()
    stage.answer(up, b"HTTP/1.1 200 OK\r\n" + head)
    stage.hang_up(up)
    assert client.transport.closed
    assert not client.hears().endswith(b"0\r\n\r\n")
    assert stage.logged[0].flags == "UC"


@pytest.mark.parametrize("code", [b"204 No Content", b"304 Not Modified"])
def test_answers_without_a_body_end_with_their_head(code: bytes) -> None:
    stage = Stage()
    client = stage.client()
    client.says(GET % 1)
    up = stage.connect()
    stage.answer(up, b"HTTP/1.1 " + code + b"\r\n\r\n")
    client.says(GET % 2)
    stage.answer(up, OK % 2)
    assert client.hears().endswith(b"\r\n\r\n2")
    assert stage.dials == []


def test_a_head_answer_keeps_its_length_and_the_connection() -> None:
    stage = Stage()
    client = stage.client()
    client.says(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    up = stage.connect()
    stage.answer(up, b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    assert b"Content-Length: 5000\r\n" in client.hears()
    client.says(GET % 2)
    stage.answer(up, OK % 2)
    assert client.hears().endswith(b"\r\n\r\n2")


def test_a_body_behind_another_request_is_read_on() -> None:
    stage = Stage()
    client = stage.client()
    client.says(GET % 1 + b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")
    up = stage.connect()
    up.take()
    assert not client.transport.reading
    stage.answer(up, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert client.transport.reading
    client.says(b"56789")
    assert up.take().endswith(b"\r\n\r\n0123456789")


def test_a_client_that_we_did_not_read_is_not_blamed() -> None:
    stage = Stage(idle_timeout=5.0, limits=Limits(body_rate=0.0))
    client = stage.client()
    client.says(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")
    stage.connect().protocol.pause_writing()
    stage.time.pass_by(6.0)
    assert client.hears().startswith(b"HTTP/1.1 504 ")


EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"


def test_a_client_that_half_closes_has_left_a_stream_of_events() -> None:
    stage = Stage(timeout=1.0)
    client = stage.client()
    client.says(GET % 1)
    stage.answer(stage.connect(), EVENTS)
    assert not client.protocol.eof_received()


def test_events_end_with_the_call_for_a_client_that_half_closed_before() -> None:
    stage = Stage(timeout=1.0)
    client = stage.client()
    client.says(GET % 1)
    assert client.protocol.eof_received()
    up = stage.connect()
    stage.answer(up, EVENTS)
    stage.time.pass_by(1.1)
    assert up.aborted


def test_events_go_on_for_longer_than_a_call() -> None:
    stage = Stage(timeout=1.0)
    client = stage.client()
    client.says(GET % 1)
    up = stage.connect()
    stage.answer(up, EVENTS)
    stage.time.pass_by(20.0)
    stage.answer(up, b"data: 2\n\n")
    assert client.hears().endswith(b"data: 2\n\n\r\n")


def test_a_plain_answer_ends_with_the_call() -> None:
    stage = Stage(timeout=1.0)
    client = stage.client()
    client.says(GET % 1)
    up = stage.connect()
    stage.answer(up, EVENTS.replace(b"text/event-stream", b"text/plain"))
    stage.time.pass_by(1.1)
    assert up.aborted
