"""Answers that look odd and are right: they arrive, and their connection is used again.

What a proxy must not refuse. RFC 9112 sections 4, 5.1 and 7.1, RFC 9110 section 15.2.
"""

from __future__ import annotations

from tests.conformance.answers_case import GET_OK, WHOLE, Case
from tests.conformance.answers_extra import EARLY, MAX_INTERIM

_FOUR = b"Content-Length: 4\r\n\r\ngood"
_CHUNKED = GET_OK + b"Transfer-Encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"


def _odd(name: str, data: bytes, rfc: str, status: int = 200, interim: int = 0) -> Case:
    return Case(name, data, WHOLE, rfc, "", status=status, body=b"good", interim=interim)


def _chunked(name: str, data: bytes, rfc: str = "9112 7.1") -> Case:
    return _odd(f"chunks: {name}", _CHUNKED + data, rfc)


ALL = (
    _odd("an empty reason", b"HTTP/1.1 200 \r\n" + _FOUR, "9112 4"),
    _odd("a reason with high bytes", b"HTTP/1.1 200 \xc3\xa9\xff\r\n" + _FOUR, "9112 4"),
    _odd("a reason with controls", b"HTTP/1.1 200 O\x01K\x1b[0m\r\n" + _FOUR, "9112 4"),
    _odd("a long reason", b"HTTP/1.1 200 " + b"a b" * 90 + b"\r\n" + _FOUR, "9112 4"),
    _odd("an unknown status", b"HTTP/1.1 299 Odd\r\n" + _FOUR, "9110 15", 299),
    _odd("the highest status", b"HTTP/1.1 599 Odd\r\n" + _FOUR, "9110 15", 599),
    _odd("no space around a value", GET_OK + b"X:a\r\nContent-Length:4\r\n\r\ngood", "9112 5"),
    _odd("much space around a length", GET_OK + b"Content-Length: \t 4 \t\r\n\r\ngood", "9112 5"),
    _odd("zeros before a length", GET_OK + b"Content-Length: 0004\r\n\r\ngood", "9110 8.6"),
    _odd("an empty value", GET_OK + b"X:\r\n" + _FOUR, "9110 5.5"),
    _odd("high bytes in a value", GET_OK + b"X: \xff\xfe\r\n" + _FOUR, "9110 5.5"),
    _odd("odd but valid names", GET_OK + b"!#$%&'*+-.^_`|~9: 1\r\n" + _FOUR, "9110 5.6.2"),
    _odd("names in capitals", GET_OK + b"CONTENT-LENGTH: 4\r\n\r\ngood", "9110 5.1"),
    _odd("200 fields", GET_OK + b"X: 1\r\n" * 200 + _FOUR, "9110 5.4"),
    _odd("an old server that stays", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + _FOUR,
         "9112 9.3"),
    _odd("a length that Connection names", GET_OK + b"Connection: content-length\r\n" + _FOUR,
         "9110 7.6.1"),
    _odd("one hint", EARLY + GET_OK + _FOUR, "9110 15.2", interim=1),
    _odd("8 hints", EARLY * MAX_INTERIM + GET_OK + _FOUR, "9110 15.2", interim=MAX_INTERIM),
    _odd("continue unasked", b"HTTP/1.1 100 Continue\r\n\r\n" + GET_OK + _FOUR, "9110 15.2.1",
         interim=1),
    _odd("an unknown hint", b"HTTP/1.1 199 Odd\r\n\r\n" + GET_OK + _FOUR, "9110 15.2", interim=1),
    _odd("coding in capitals", GET_OK + b"Transfer-Encoding: CHUNKED\r\n\r\n4\r\ngood\r\n" + _END,
         "9112 7"),
    _chunked("one each byte", b"1\r\ng\r\n1\r\no\r\n1\r\no\r\n1\r\nd\r\n0\r\n\r\n"),
    _chunked("zeros before a size", b"0004\r\ngood\r\n000\r\n\r\n"),
    _chunked("extensions", b'4;a=b;c="d e";f\r\ngood\r\n0;g\r\n\r\n', "9112 7.1.1"),
    _chunked("trailers", b"4\r\ngood\r\n0\r\nX: 1\r\nSet-Cookie: a=b\r\n\r\n", "9112 7.1.2"),
)  # fmt: skip
