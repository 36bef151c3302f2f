"""Heads larger than the limits allow."""

from __future__ import annotations

from tests.conformance.case import About

_FIELDS = About("6585 5", "T16", frozenset({431}))
_TARGET = About("9112 3", "T16", frozenset({414}))
_EMPTY = About("stricter: 9112 2.2 forgives an empty line before a request, not many", "T16")

CASES = (
    _FIELDS.get("a value of 64 kB", b"X: " + b"a" * 65_536),
    _FIELDS.get("a name of 64 kB", b"a" * 65_536 + b": x"),
    _FIELDS.get("200 fields", b"\r\n".join(b"X-%d: a" % i for i in range(200))),
    _FIELDS.get("101 fields", b"\r\n".join(b"X-%d: a" % i for i in range(100))),
    _FIELDS.get("many values of 1 kB", b"\r\n".join(b"X: " + b"a" * 1000 for _ in range(50))),
    _FIELDS.raw("a head without end", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 20_000),
    _FIELDS.raw("a value without end", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200_000),
    _TARGET.first("a target of 16 kB", b"GET /" + b"a" * 16_384 + b" HTTP/1.1"),
    _TARGET.first("a target just too long", b"GET /" + b"a" * 8192 + b" HTTP/1.1"),
    _TARGET.first("a query of 16 kB", b"GET /?" + b"a" * 16_384 + b" HTTP/1.1"),
    _TARGET.raw("a target without end", b"GET /" + b"a" * 200_000),
    _EMPTY.raw("two empty lines", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    _EMPTY.raw("empty lines without end", b"\r\n" * 50_000 + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
)
