"""Heads: what llhttp takes, whatever it was asked before, and what cannot become a head."""

from __future__ import annotations

import httptools
import pytest

from meshproxy.dataplane.heads import Check, may_go_on

GOOD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSES = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\n\r\n"
UPGRADES = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
WITH_BODY = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
HEAD_ONLY = WITH_BODY[:-2]
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
BAD = [
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
    b"GET / HTTP/1.1\r\n: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nA b: c\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
]
ALL_GOOD = [GOOD, CLOSES, OLD, UPGRADES, WITH_BODY, HEAD_ONLY, CHUNKED]


@pytest.mark.parametrize("before", [*ALL_GOOD, *BAD])
@pytest.mark.parametrize("message", ALL_GOOD)
def test_a_good_message_passes_whatever_came_before_it(before: bytes, message: bytes) -> None:
    check = Check(httptools.HttpRequestParser)
    check.passes(before)
    assert check.passes(message)


@pytest.mark.parametrize("before", [*ALL_GOOD, *BAD])
@pytest.mark.parametrize("message", BAD)
def test_a_bad_message_never_passes_whatever_came_before_it(before: bytes, message: bytes) -> None:
    check = Check(httptools.HttpRequestParser)
    check.passes(before)
    assert not check.passes(message)


@pytest.mark.parametrize("end", range(1, len(GOOD)))
def test_every_beginning_of_a_good_head_may_go_on(end: int) -> None:
    assert may_go_on(GOOD[:end])


@pytest.mark.parametrize("part", [b"GET / HTTP/1.1\n", b"GET /\r HTTP", b"A: b\r\n\n"])
def test_a_line_that_ends_in_lf_or_cr_alone_cannot_go_on(part: bytes) -> None:
    assert not may_go_on(part)


def test_a_head_must_begin_as_it_should() -> None:
    assert may_go_on(b"HT", b"HTTP/1.")
    assert may_go_on(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.")
    assert not may_go_on(b"SSH-2.0", b"HTTP/1.")


@pytest.mark.parametrize("end", range(1, len(GOOD)))
def test_what_was_seen_is_not_looked_at_again(end: int) -> None:
    for seen in range(end):
        assert may_go_on(GOOD[:end], seen=seen)
    assert not may_go_on(GOOD[:end] + b"x\n", seen=end)
    assert not may_go_on(GOOD[:end] + b"\rx", seen=end)


def test_a_cr_that_was_seen_wants_its_lf() -> None:
    assert may_go_on(b"GET / HTTP/1.1\r\n", seen=15)
    assert not may_go_on(b"GET / HTTP/1.1\rx", seen=15)
