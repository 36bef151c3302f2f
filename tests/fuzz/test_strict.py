"""The second opinion: what it takes, what it does not, and where a message ends."""

from __future__ import annotations

import pytest

from tests.fuzz.strict import read_answer, read_requests

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


def test_requests_in_a_row_are_told_apart() -> None:
    data = GET + POST + b"Content-Length: 2\r\n\r\nhi" + GET
    assert [(one.first[0], one.body) for one in read_requests(data)] == [
        (b"GET", b""),
        (b"POST", b"hi"),
        (b"GET", b""),
    ]


def test_a_chunked_body_is_decoded_and_ends_where_it_ends() -> None:
    first, second = read_requests(CHUNKED + b"2\r\nhi\r\n1;x\r\n!\r\n0\r\n\r\n" + GET)
    assert (first.body, first.complete, first.plain) == (b"hi!", True, False)
    assert second.complete


@pytest.mark.parametrize(
    "rest", [b"2", b"2\r\n", b"2\r\nh", b"2\r\nhi", b"2\r\nhi\r", b"2\r\nhi\r\n0\r\n"]
)
def test_a_part_of_a_chunked_body_is_not_complete(rest: bytes) -> None:
    (only,) = read_requests(CHUNKED + rest)
    assert not only.complete
    assert b"hi".startswith(only.body)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
        POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        POST + b"Content-Length: +1\r\n\r\nx",
        POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_has_no_single_meaning_is_no_request(data: bytes) -> None:
    assert read_requests(data) == []


@pytest.mark.parametrize(
    "chunks", [b"2 \r\nhi\r\n", b"2\nhi\r\n", b"2\r\nhi!\r\n", b"0x2\r\nhi\r\n"]
)
def test_nothing_follows_a_broken_chunk(chunks: bytes) -> None:
    (only,) = read_requests(CHUNKED + chunks + b"0\r\n\r\n" + GET)
    assert not only.complete


def test_interim_answers_come_before_the_final_one() -> None:
    interim, final = read_answer(
        b"HTTP/1.1 100 \r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx", 0, b"GET"
    )
    assert [one.status for one in interim] == [100]
    assert final is not None
    assert (final.status, final.body, final.complete) == (200, b"x", True)


@pytest.mark.parametrize(
    ("data", "method"),
    [
        (OK + b"Content-Length: 5\r\n\r\n", b"HEAD"),
        (b"HTTP/1.1 204 \r\n\r\n", b"GET"),
        (b"HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n", b"GET"),
    ],
)
def test_some_answers_end_with_their_head(data: bytes, method: bytes) -> None:
    _, final = read_answer(data + OK, 0, method)
    assert final is not None
    assert (final.complete, final.end) == (True, len(data))


def test_a_body_until_close_is_complete_only_by_the_connection() -> None:
    _, final = read_answer(OK + b"\r\nall of it", 0, b"GET")
    assert final is not None
    assert (final.body, final.complete) == (b"all of it", False)


@pytest.mark.parametrize(
    "data",
    [b"HTTP/2 200 OK\r\n\r\n", b"HTTP/1.1 600 \r\n\r\n", OK + b"X : 1\r\n\r\n", OK + b"X: 1"],
)
def test_what_is_no_answer_is_none(data: bytes) -> None:
    assert read_answer(data, 0, b"GET") == ([], None)
