"""Answer heads: framing, what is dropped, and the answers the proxy makes itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshproxy.core.exchange import CHUNKED, Exchange, Peer
from meshproxy.core.verdict import Refusal
from meshproxy.dataplane import answers
from meshproxy.dataplane.answers import UNTIL_CLOSE, Answer
from tests.fakes import Stage

PEER = Peer("10.1.1.1", False, b"")


def exchange(method: bytes = b"GET", minor: int = 1, keep: bool = True) -> Exchange:
    made = Exchange(None, PEER, Stage().plan, 10.0)
    made.method, made.minor, made.keep_alive = method, minor, keep
    return made


def read(
    *fields: tuple[bytes, bytes],
    status: int = 200,
    minor: int = 1,
    reason: bytes = b"OK",
    asked: Exchange | None = None,
) -> Answer | str:
    start = b"HTTP/1.%d %d %b" % (minor, status, reason)
    head = b"\r\n".join([start, *(b": ".join(field) for field in fields), b"", b""])
    return answers.read_answer(asked or exchange(), head)


def good(*fields: tuple[bytes, bytes], **more: Any) -> Answer:
    answer = read(*fields, **more)
    assert isinstance(answer, Answer)
    return answer


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Content-Length", b"1"), (b"Content-Length", b"1")],
        [(b"Content-Length", b"-1")],
        [(b"Content-Length", b"1, 1")],
        [(b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"gzip, chunked")],
        [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
    ],
)
def test_an_answer_without_a_single_meaning_is_not_passed_on(
    fields: list[tuple[bytes, bytes]],
) -> None:
    assert isinstance(read(*fields), str)


def test_chunks_in_http_1_0_are_not_passed_on() -> None:
    assert isinstance(read((b"Transfer-Encoding", b"chunked"), minor=0), str)


@pytest.mark.parametrize("status", [99, 600, 999])
def test_a_status_that_does_not_exist_is_not_passed_on(status: int) -> None:
    assert isinstance(read(status=status), str)


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ([(b"Content-Length", b"05")], 5),
        ([(b"transfer-encoding", b"chunked")], CHUNKED),
        ([], UNTIL_CLOSE),
    ],
)
def test_the_length_follows_rfc_9112(fields: list[tuple[bytes, bytes]], length: int) -> None:
    assert good(*fields).length == length


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_no_body_whatever_they_say(status: int) -> None:
    assert good((b"Content-Length", b"5"), status=status).length == 0


def test_a_head_answer_has_no_body() -> None:
    assert good((b"Content-Length", b"5"), asked=exchange(b"HEAD")).length == 0


def test_the_head_goes_on_as_it_came() -> None:
    asked = exchange()
    answer = good((b"X-B", b"1"), (b"x-a", b"2"), (b"X-B", b"3"), (b"Content-Length", b"2"))
    head, chunked = answers.answer_head(asked, answer, 10.5)
    assert head == (
        b"HTTP/1.1 200 OK\r\nX-B: 1\r\nx-a: 2\r\nX-B: 3\r\nContent-Length: 2\r\n"
        b"server-timing: meshproxy;dur=500.0\r\n\r\n"
    )
    assert not chunked


def test_a_printable_reason_stays_and_another_does_not() -> None:
    def passed_on(status: int, reason: bytes) -> bytes:
        return answers.interim_head(good(status=status, reason=reason))

    assert passed_on(103, b"Very Early") == b"HTTP/1.1 103 Very Early\r\n\r\n"
    assert passed_on(103, b"a\x01b") == b"HTTP/1.1 103 Early Hints\r\n\r\n"
    assert passed_on(299, b"") == b"HTTP/1.1 299 \r\n\r\n"


def test_hop_by_hop_fields_end_here() -> None:
    answer = good(
        (b"Connection", b"X-Once"), (b"x-once", b"1"), (b"Upgrade", b"h2c"), (b"X-Stays", b"1"),
        (b"Keep-Alive", b"timeout=7, max=5"),
    )  # fmt: skip
    assert answer.lines == [b"X-Stays: 1"]
    assert answer.idle_for == 7.0


@pytest.mark.parametrize(
    ("minor", "value", "kept"),
    [(1, b"close", False), (1, b"keep-alive", True), (0, b"keep-alive", True), (0, b"", False)],
)
def test_an_answer_says_whether_its_connection_may_be_used_again(
    minor: int, value: bytes, kept: bool
) -> None:
    assert good((b"Connection", value), minor=minor).keep_alive is kept


def test_a_body_without_a_length_goes_out_in_chunks() -> None:
    asked = exchange()
    head, chunked = answers.answer_head(asked, good(), 10.0)
    assert chunked
    assert b"\r\ntransfer-encoding: chunked\r\n" in head


def test_an_http_1_0_client_gets_no_chunks() -> None:
    asked = exchange(minor=0)
    head, chunked = answers.answer_head(asked, good(), 10.0)
    assert not chunked
    assert b"\r\nconnection: close\r\n" in head
    assert not asked.keep_alive


def test_retry_after_is_heard_in_seconds() -> None:
    asked = exchange()
    read((b"Retry-After", b"3"), asked=asked)
    assert asked.retry_after == 3.0


def test_a_refusal_says_what_and_why() -> None:
    asked = exchange()
    refusal = Refusal(429, "RL", "too many", "inbound.rate_limits[0]", 1.2, b"RateLimit: x\r\n")
    head, _, body = answers.refusal_bytes(asked, refusal).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 429 Too Many Requests"
    assert {b"x-meshproxy-reason: RL", b"retry-after: 2", b"RateLimit: x"} <= set(lines)
    assert b"content-length: %d" % len(body) in lines
    assert json.loads(body) == {
        "title": "Too Many Requests", "status": 429, "detail": "too many", "reason": "RL",
        "rule": "inbound.rate_limits[0]", "retry_after": 2,
    }  # fmt: skip


def test_a_refusal_of_head_has_no_body() -> None:
    data = answers.refusal_bytes(exchange(b"HEAD"), Refusal(503, "UO", "open"))
    assert data.endswith(b"\r\n\r\n")


def test_one_read_becomes_one_chunk() -> None:
    assert b"".join(answers.chunk([b"ab", b"c"])) == b"3\r\nabc\r\n"
